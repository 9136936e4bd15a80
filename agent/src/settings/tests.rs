use super::*;
use clap::{Args, Subcommand};
use std::time::Duration;

#[derive(Parser, Debug)]
#[command(name = "demo", version = "1.2.3 (abcdef)")]
struct Demo {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// For ever
    Watch(Box<Watch>),
    /// Digest
    Digest { directory: PathBuf },
}

#[derive(Args, Debug)]
struct Watch {
    /// Where from
    source: String,
    /// Between listings
    #[arg(long, help_heading = "Pace", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// Files in flight
    #[arg(long, default_value = "16", value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// An empty listing may delete
    #[arg(long)]
    allow_empty: bool,
    /// Patterns
    #[arg(long, value_delimiter = ',')]
    exclude: Vec<String>,
    /// Needed
    #[arg(long, env = "DEMO_OTHER_NAME", required = true)]
    needed: String,
    /// A secret's number
    #[arg(long, hide_env_values = true)]
    broker_url: Option<u32>,
    /// The password
    #[arg(long, hide_env_values = true, hide = true)]
    password: Option<String>,
    #[command(flatten)]
    metrics: MetricsSettings,
    #[command(flatten)]
    output: OutputSettings,
}

fn read(line: &str, variables: &[(&str, &str)]) -> Result<Parsed<Watch>, Refusal> {
    let args = line.split_whitespace().map(OsString::from);
    let parsed = parse::<Demo>(
        "DEMO_",
        args,
        &Environment::from_pairs(variables.iter().copied()),
    )?;
    match parsed.settings.command {
        Verb::Watch(settings) => Ok(Parsed {
            settings: *settings,
            warnings: parsed.warnings,
        }),
        Verb::Digest { directory } => panic!("digest {directory:?}"),
    }
}

fn watch(line: &str, variables: &[(&str, &str)]) -> Watch {
    read(&format!("demo watch s3://b --needed n {line}"), variables)
        .unwrap()
        .settings
}

fn refused(line: &str, variables: &[(&str, &str)]) -> String {
    match read(line, variables) {
        Err(Refusal::Usage(line)) => {
            assert_eq!(line.lines().count(), 1, "{line}");
            line
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn shown(line: &str, variables: &[(&str, &str)]) -> String {
    match read(line, variables) {
        Err(Refusal::Help(text)) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        other => panic!("not help: {other:?}"),
    }
}

#[test]
fn the_flag_wins_over_the_variable_over_the_default() {
    let variable = [("DEMO_INTERVAL", "7s")];
    assert_eq!(watch("", &[]).interval, Duration::from_secs(5));
    assert_eq!(watch("", &variable).interval, Duration::from_secs(7));
    assert_eq!(
        watch("--interval 9s", &variable).interval,
        Duration::from_secs(9)
    );
}

#[test]
fn a_bad_variable_is_overruled_by_a_good_flag() {
    assert_eq!(
        watch("--interval 9s", &[("DEMO_INTERVAL", "bad")]).interval,
        Duration::from_secs(9)
    );
}

#[test]
fn an_empty_variable_is_unset() {
    assert_eq!(
        watch("", &[("DEMO_INTERVAL", "")]).interval,
        Duration::from_secs(5)
    );
    assert_eq!(
        watch("", &[("DEMO_SERVICE", ""), ("TRIMTAB_SERVICE", "x")])
            .metrics
            .service,
        "x"
    );
}

#[test]
fn the_processs_own_environment_is_not_read() {
    // Cargo sets this one for every test.
    #[derive(Parser)]
    struct Own {
        #[arg(long, env = "CARGO_PKG_NAME")]
        name: Option<String>,
    }
    let parsed = parse::<Own>("OWN_", ["own".into()], &Environment::default()).unwrap();
    assert_eq!(std::env::var("CARGO_PKG_NAME").unwrap(), "agent");
    assert_eq!(parsed.settings.name, None);
}

#[test]
fn switches_take_words_from_the_variable() {
    for (word, on) in [
        ("true", true),
        ("1", true),
        ("YES", true),
        ("on", true),
        ("false", false),
        ("0", false),
        ("no", false),
        ("Off", false),
    ] {
        assert_eq!(
            watch("", &[("DEMO_ALLOW_EMPTY", word)]).allow_empty,
            on,
            "{word}"
        );
    }
    assert!(watch("--allow-empty", &[("DEMO_ALLOW_EMPTY", "no")]).allow_empty);
    assert_eq!(
        refused("demo watch s --needed n", &[("DEMO_ALLOW_EMPTY", "maybe")]),
        "--allow-empty (DEMO_ALLOW_EMPTY) cannot be 'maybe': it is true or false, 1 or 0, yes or no, on or off"
    );
}

#[test]
fn lists_have_commas() {
    assert_eq!(
        watch("--exclude a,b --exclude c", &[]).exclude,
        ["a", "b", "c"]
    );
    assert_eq!(
        watch("", &[("DEMO_EXCLUDE", "*.pyc,.git/")]).exclude,
        ["*.pyc", ".git/"]
    );
    assert_eq!(
        watch("--exclude x", &[("DEMO_EXCLUDE", "a,b")]).exclude,
        ["x"]
    );
}

#[test]
fn a_variable_satisfies_required() {
    let parsed = read("demo watch s", &[("DEMO_OTHER_NAME", "given")]).unwrap();
    assert_eq!(parsed.settings.needed, "given");
    assert_eq!(parsed.settings.source, "s");
    assert_eq!(
        refused("demo watch", &[]),
        "missing --needed (DEMO_OTHER_NAME), <SOURCE>, see --help"
    );
}

#[test]
fn a_bad_value_names_flag_and_variable_and_what_it_takes() {
    let bad_interval = "--interval (DEMO_INTERVAL) cannot be '5x': a duration is a whole number with ms, s, m or h, such as 500ms, 5s, 2m or 24h";
    assert_eq!(
        refused("demo watch s --needed n --interval 5x", &[]),
        bad_interval
    );
    assert_eq!(
        refused("demo watch s --needed n", &[("DEMO_INTERVAL", "5x")]),
        bad_interval
    );
    assert_eq!(
        refused("demo watch s --needed n --concurrency 65", &[]),
        "--concurrency (DEMO_CONCURRENCY) cannot be '65': 65 is not in 1..=64"
    );
    assert_eq!(
        refused("demo watch s --needed n", &[("DEMO_CONCURRENCY", "many")]),
        "--concurrency (DEMO_CONCURRENCY) cannot be 'many': it is a whole number"
    );
    assert_eq!(
        refused("demo watch s --needed n", &[("DEMO_METRICS", "statsd")]),
        "--metrics (DEMO_METRICS) cannot be 'statsd': it is one of none, emf, cloudwatch, prometheus"
    );
    assert_eq!(
        refused("demo watch s --needed n --metrics", &[]),
        "--metrics (DEMO_METRICS) needs a value: it is one of none, emf, cloudwatch, prometheus"
    );
}

#[test]
fn a_value_with_line_breaks_is_refused_in_one_line() {
    let line = refused("demo watch s --needed n", &[("DEMO_INTERVAL", "5s\n7s")]);
    assert!(line.contains("'5s 7s'"), "{line}");
}

#[test]
fn a_secrets_value_is_never_shown() {
    let line = refused("demo watch s --needed n", &[("DEMO_BROKER_URL", "hunter2")]);
    assert_eq!(
        line,
        "--broker-url (DEMO_BROKER_URL) has a value that cannot be used: it is a whole number"
    );
    let line = refused("demo watch s --needed n --broker-url hunter2", &[]);
    assert!(!line.contains("hunter2"), "{line}");
    let variables = [
        ("DEMO_BROKER_URL", "1234567"),
        ("DEMO_PASSWORD", "hunter2"),
        ("DEMO_PASSWORDS", "hunter2"),
    ];
    for text in [
        shown("demo watch --help", &variables),
        shown("demo --help", &variables),
    ] {
        assert!(
            !text.contains("1234567") && !text.contains("hunter2"),
            "{text}"
        );
    }
    let warnings = read("demo watch s --needed n", &variables)
        .unwrap()
        .warnings;
    assert_eq!(
        warnings,
        ["DEMO_PASSWORDS is not a setting, the nearest is DEMO_PASSWORD"]
    );
    assert!(!format!("{:?}", Environment::from_pairs(variables)).contains("hunter2"));
}

#[test]
fn a_secrets_value_is_not_shown_by_a_parser_that_quotes_it_either() {
    fn quoting(text: &str) -> Result<String, String> {
        Err(format!("'{text}' has no host"))
    }
    #[derive(Parser, Debug)]
    struct Quoted {
        #[arg(long, hide_env_values = true, value_parser = quoting)]
        url: Option<String>,
    }
    let environment = Environment::from_pairs([("Q_URL", "hunter2")]);
    let refused = parse::<Quoted>("Q_", ["q".into()], &environment).unwrap_err();
    let expected = "--url (Q_URL) has a value that cannot be used: see --help";
    assert_eq!(refused, Refusal::Usage(expected.to_owned()));
}

#[test]
fn a_secret_flag_is_a_warning_and_a_hidden_one_is_refused() {
    let parsed = read("demo watch s --needed n --broker-url 1", &[]).unwrap();
    assert_eq!(parsed.settings.broker_url, Some(1));
    assert_eq!(
        parsed.warnings,
        ["--broker-url is a secret and a process list shows it, set DEMO_BROKER_URL instead"]
    );
    assert_eq!(
        refused("demo watch s --needed n --password hunter2", &[]),
        "--password is a secret and has no flag: a process list would show it, set DEMO_PASSWORD instead"
    );
    assert_eq!(
        watch("", &[("DEMO_PASSWORD", "hunter2")])
            .password
            .as_deref(),
        Some("hunter2")
    );
}

#[test]
fn an_unknown_variable_is_a_warning_that_names_the_nearest() {
    let parsed = read(
        "demo watch s --needed n",
        &[
            ("DEMO_INTERVALL", "1s"),
            ("DEMONSTRATION", "1"),
            ("OTHER", "1"),
        ],
    )
    .unwrap();
    assert_eq!(
        parsed.warnings,
        ["DEMO_INTERVALL is not a setting, the nearest is DEMO_INTERVAL"]
    );
}

#[test]
fn an_unknown_option_names_the_nearest() {
    assert_eq!(
        refused("demo watch s --intervall 5s", &[]),
        "--intervall is not an option, the nearest is --interval"
    );
    assert_eq!(
        refused("demo digest . --interval 5s", &[]),
        "--interval is not an option of this command, see --help"
    );
    assert_eq!(
        refused("demo digest a b", &[]),
        "'b' is one argument too many, see --help"
    );
}

#[test]
fn commands_are_named_when_one_is_missing_or_unknown() {
    assert_eq!(
        refused("demo", &[]),
        "a command is missing: watch, digest, see --help"
    );
    assert_eq!(
        refused("demo wach", &[]),
        "'wach' is not a command, the commands are watch, digest"
    );
}

#[test]
fn an_option_given_twice_is_refused() {
    assert_eq!(
        refused("demo watch s --needed n --interval 5s --interval 6s", &[]),
        "--interval <INTERVAL> is given twice"
    );
}

#[test]
fn metrics_are_named_by_the_binary_unless_told() {
    let metrics = watch("", &[]).metrics;
    assert_eq!(
        (metrics.environment.as_str(), metrics.service.as_str()),
        ("default", "demo")
    );
    let shared = [("TRIMTAB_ENVIRONMENT", "prod"), ("TRIMTAB_SERVICE", "dags")];
    let metrics = watch("", &shared).metrics;
    assert_eq!(
        (metrics.environment.as_str(), metrics.service.as_str()),
        ("prod", "dags")
    );
    let own = [("TRIMTAB_ENVIRONMENT", "prod"), ("DEMO_ENVIRONMENT", "dev")];
    assert_eq!(watch("", &own).metrics.environment, "dev");
    assert_eq!(
        watch("--environment test", &own).metrics.environment,
        "test"
    );
}

#[test]
fn help_shows_groups_defaults_and_variables_but_no_values() {
    let help = shown("demo watch --help", &[("DEMO_INTERVAL", "7s")]);
    assert!(help.contains("Pace:"), "{help}");
    assert!(
        help.contains("Between listings [env: DEMO_INTERVAL] [default: 5s]"),
        "{help}"
    );
    assert!(help.contains("[env: DEMO_OTHER_NAME]"), "{help}");
    assert!(
        help.contains("[env: DEMO_SERVICE or TRIMTAB_SERVICE] [default: demo]"),
        "{help}"
    );
    assert!(
        help.contains("TRIMTAB_LOG_FORMAT") && help.contains("DEMO_PASSWORD The password"),
        "{help}"
    );
    assert!(!help.contains("--password"), "{help}");
}

#[test]
fn help_is_shown_even_where_a_variable_is_bad() {
    assert!(shown("demo watch --help", &[("DEMO_INTERVAL", "bad")]).contains("--interval"));
}

#[test]
fn the_version_has_name_version_and_commit() {
    assert_eq!(shown("demo --version", &[]), "demo 1.2.3 (abcdef)");
}
