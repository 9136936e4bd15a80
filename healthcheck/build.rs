//! Stamps the program with its commit, and links the freestanding program without a C library.

fn main() {
    stamp::stamp();
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
