//! The page about the program, held against the program.

use std::time::Duration;
use testkit::process::Program;

const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn the_page_names_every_option_and_every_metric() {
    use entrypoint::names::*;
    let page = include_str!("../../docs/entrypoint.md");
    let help = Program::new(env!("CARGO_BIN_EXE_entrypoint"))
        .arg("--help")
        .run(DEADLINE)
        .stdout;
    let words = help.split(|letter: char| letter.is_whitespace() || letter == '=');
    let flags: std::collections::BTreeSet<&str> = words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .collect();
    assert!(flags.len() > 25, "{flags:?}");
    for flag in flags {
        let is_shown = page.contains(&format!("`{flag}`")) || page.contains(&format!("`{flag} "));
        assert!(
            is_shown || ["--help", "--version"].contains(&flag),
            "{flag}"
        );
    }
    for metric in [
        SERVICE_HEALTHY,
        OOM_KILLS,
        RESOLVE_SECONDS,
        WAIT_SECONDS,
        MIGRATE_SECONDS,
        ADMIN_SECONDS,
        PREFLIGHT_SECONDS,
        agent::metrics::LOGS_DROPPED,
    ] {
        assert!(page.contains(&format!("`{metric}`")), "{metric}");
    }
}
