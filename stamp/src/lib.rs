//! What the programs' build scripts share: the stamp of the commit that a program is built from, as
//! `TRIMTAB_COMMIT`, for `--version` and the status file; and what makes a program smaller.
//!
//! A value in the environment wins, for builds where the sources come without their history (an
//! image's build context). Without either it is `unknown`: a missing stamp never fails a build.

#![allow(
    clippy::print_stdout,
    reason = "this is how a build script talks to cargo"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Fixed, because git's own choice of a length grows with the repository and differs between clones.
const LENGTH: &str = "--short=10";

/// Stamps the program whose build script calls this.
pub fn stamp() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TRIMTAB_COMMIT");
    let given = std::env::var("TRIMTAB_COMMIT").ok();
    let commit = given
        .filter(|commit| !commit.is_empty())
        .or_else(commit_checked_out)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=TRIMTAB_COMMIT={commit}");
}

/// Asks the linker for a smaller program, in release, whose panics abort.
///
/// - Generic code leaves thousands of functions alike to the last byte; folding them saves 2 % of the
///   program. Only the linker that comes with Rust for this target knows how.
/// - Tables for unwinding are another 12 %, and nothing unwinds.
pub fn make_smaller() {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    if is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/without-unwind-tables.ld");
        println!("cargo::rerun-if-changed={script}");
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
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
