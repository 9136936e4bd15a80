//! What settings take, and how they refuse.

use super::*;
use agent::settings::{Environment, Refusal};

fn parsed(words: &str, pairs: &[(&str, &str)]) -> Result<Settings, String> {
    let args = std::iter::once("entrypoint").chain(words.split_whitespace());
    let environment = Environment::from_pairs(pairs.iter().copied());
    match agent::settings::parse(PREFIX, args.map(OsString::from), &environment) {
        Ok(parsed) if parsed.warnings.is_empty() => Ok(parsed.settings),
        Ok(parsed) => Err(parsed.warnings.join("; ")),
        Err(Refusal::Help(_)) => Err("help".to_owned()),
        Err(Refusal::Usage(why)) => Err(why),
    }
}

#[test]
fn options_end_where_the_command_begins() {
    for (words, command, dry_run) in [
        ("scheduler", &["scheduler"][..], false),
        ("--dry-run scheduler", &["scheduler"], true),
        (
            "scheduler --dry-run -p 1 --help",
            &["scheduler", "--dry-run", "-p", "1", "--help"],
            false,
        ),
        ("-- bash -c x", &["bash", "-c", "x"], false),
        ("--dry-run -- -x", &["-x"], true),
        ("bash -- x", &["bash", "--", "x"], false),
    ] {
        let settings = parsed(words, &[]).unwrap();
        assert_eq!(
            (settings.words, settings.dry_run),
            (command.iter().map(OsString::from).collect(), dry_run),
            "{words}"
        );
    }
    assert_eq!(parsed("--help", &[]).unwrap_err(), "help");
    let why = parsed("--dry-rnu scheduler", &[]).unwrap_err();
    assert!(why.contains("--dry-run"), "{why}");
}

#[test]
fn what_is_made_from_parameters_may_be_a_reference() {
    for name in [
        "DB_HOST",
        "DB_PORT",
        "DB_NAME",
        "DB_USER",
        "DB_PASSWORD",
        "DB_SSLMODE",
        "DB_SSLROOTCERT",
        "ADMIN_USERNAME",
        "ADMIN_PASSWORD",
        "ADMIN_EMAIL",
        "ADMIN_FIRSTNAME",
        "ADMIN_LASTNAME",
        "ADMIN_ROLE",
    ] {
        let name = format!("ENTRYPOINT_{name}");
        assert!(parsed("x", &[(&name, "ssm:///x")]).is_ok(), "{name}");
    }
}

#[test]
fn flags_win_where_values_are_looked_up_and_secrets_have_none() {
    let settings = parsed("--db-host=flag x", &[("ENTRYPOINT_DB_HOST", "variable")]).unwrap();
    let mut variables = Variables::from_pairs([
        ("ENTRYPOINT_DB_HOST", "variable"),
        ("ENTRYPOINT_DB_PORT", "1"),
    ]);
    settings.apply_to(&mut variables);
    assert_eq!(variables.text("ENTRYPOINT_DB_HOST"), Some("flag"));
    assert_eq!(variables.text("ENTRYPOINT_DB_PORT"), Some("1"));
    for flag in ["--db-password", "--admin-password"] {
        let why = parsed(&format!("{flag}=marked x"), &[]).unwrap_err();
        assert!(
            why.contains("set ENTRYPOINT_") && !why.contains("marked"),
            "{why}"
        );
    }
}

#[test]
fn a_bad_value_names_the_setting_and_what_it_takes() {
    for (name, value, named) in [
        ("WAIT_TIMEOUT", "5", "a duration is"),
        ("PARAMETERS", "airflow", "begins with a slash"),
        ("SSM_PATHS", "/a,b", "begins with a slash"),
        ("MIGRATE", "yes", "auto, major, wait, never"),
        ("MIGRATE_TIMEOUT", "ssm:///x", "a duration is"),
        ("SCHEMA_AHEAD", "x", "minor, allow, refuse"),
        ("SIMPLE_AUTH", "x", "refuse, allow"),
        ("SIGNAL_SCOPE", "all", "group"),
        ("SIGNAL_REWRITE", "TERM", "TERM:QUIT"),
        ("TASK_PROTECTION", "on", "off, migrate"),
        ("FATAL_HOLD", "-1s", "a duration is"),
        ("STOP_GRACE", "x", "a duration is"),
        ("DRY_RUN", "maybe", "true or false"),
        ("INIT_ONLY", "maybe", "true or false"),
        ("METRICS", "statsd", "emf"),
    ] {
        let variable = format!("ENTRYPOINT_{name}");
        let why = parsed("x", &[(&variable, value)]).unwrap_err();
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        for word in [&variable, &flag, named] {
            assert!(why.contains(word), "{why}: {word}");
        }
        assert!(!why.contains('\n'), "{why}");
    }
}

#[test]
fn a_list_has_commas_and_a_path_no_slash_at_its_end() {
    let settings = parsed(
        "x",
        &[
            ("ENTRYPOINT_SSM_PATHS", "/a/b/,/c"),
            ("ENTRYPOINT_WAIT_FILES", "/x,/y"),
            ("ENTRYPOINT_SIGNAL_REWRITE", "TERM:QUIT,SIGHUP:15"),
        ],
    )
    .unwrap();
    assert_eq!(settings.parameters.ssm_paths, ["/a/b", "/c"]);
    assert_eq!(settings.wait.wait_files.len(), 2);
    assert_eq!(settings.run.signal_rewrite.len(), 2);
}

#[test]
fn a_variable_that_is_no_setting_is_named_with_the_nearest() {
    let why = parsed("x", &[("ENTRYPOINT_PARAMETER", "/x")]).unwrap_err();
    assert!(why.contains("ENTRYPOINT_PARAMETERS"), "{why}");
}
