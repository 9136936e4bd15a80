//! Stamps the program with the commit it is built from, as `TRIMTAB_COMMIT`, and links the freestanding
//! program without a C library.
//!
//! A value in the environment wins, for builds where the sources come without their history (an
//! image's build context). Without either it is `unknown`: a missing stamp never fails a build.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Fixed, because git's own choice of a length grows with the repository and differs between clones.
const LENGTH: &str = "--short=10";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TRIMTAB_COMMIT");
    let given = std::env::var("TRIMTAB_COMMIT").ok();
    let commit = given
        .filter(|commit| !commit.is_empty())
        .or_else(commit_checked_out)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=TRIMTAB_COMMIT={commit}");
    link_freestanding();
}

/// Only in release, whose panics abort: there main.rs is freestanding. CARGO_CFG_PANIC cannot say so,
/// as it knows only the flags and not the profile.
fn link_freestanding() {
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=freestanding.ld");
        let script = format!("-Wl,-T,{}/freestanding.ld", env!("CARGO_MANIFEST_DIR"));
        for argument in [
            "-nostartfiles",
            "-nostdlib",
            "-static",
            "-Wl,--build-id=none",
            "-Wl,--no-eh-frame-hdr",
            "-Wl,-z,norelro",
            &script,
        ] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}

fn commit_checked_out() -> Option<String> {
    watch(&path_in_git("HEAD")?);
    if let Some(branch) = git(&["symbolic-ref", "--quiet", "HEAD"]) {
        watch(&path_in_git(&branch)?);
    }
    git(&["rev-parse", LENGTH, "HEAD"])
}

/// Runs this again when the file changes. A file that is not there, as a branch is after a clone that
/// packs its references, would run it at every build; so its nearest directory stands in, which
/// changes with the next commit.
fn watch(file: &Path) {
    if let Some(present) = file.ancestors().find(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", present.display());
    }
}

/// Where git keeps it, also in a linked work tree.
fn path_in_git(name: &str) -> Option<PathBuf> {
    let path = git(&["rev-parse", "--git-path", name])?;
    std::path::absolute(path).ok()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
