//! What to do about a schema: a pure table.

use super::state::Standing;
use crate::airflow::version::Version;
use crate::settings::{Migrate, SchemaAhead};
use agent::exit::Exit;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the service may run.
    Go,
    /// The service may run, after a warning.
    GoWarned(String),
    /// Take the lock and migrate.
    Migrate {
        /// Whether services of the older release must be gone first.
        check_services: bool,
    },
    /// Until another has migrated.
    Wait,
    /// Let Airflow say how it stands.
    Ask,
    /// End, with this code and for this reason.
    Refuse(Exit, String),
}

/// The table. `version` is the installed release, where it is known.
///
/// | database | `auto` | `major` | `wait` | `never` |
/// |---|---|---|---|---|
/// | current | go | go | go | go |
/// | empty | migrate | migrate | wait | go, warned |
/// | behind, same major version | migrate | migrate | wait | go, warned |
/// | behind, older or unknown major version | 65 | migrate, if no older service lives | wait | go, warned |
/// | ahead, made by the same minor version | go; 76 with `refuse` | | | |
/// | ahead, made by another or unknown | 76; go, warned, with `allow` | | | |
/// | only Airflow can say | ask | ask | ask | go, warned |
pub fn decide(
    mode: Migrate,
    ahead: SchemaAhead,
    standing: &Standing,
    version: Option<Version>,
) -> Step {
    match standing {
        Standing::Current => Step::Go,
        Standing::Ahead { revision, by } => decide_ahead(ahead, revision, *by, version),
        _ if mode == Migrate::Never => Step::GoWarned(format!(
            "{}, and ENTRYPOINT_MIGRATE=never leaves it so: run airflow db migrate elsewhere",
            describe(standing, version)
        )),
        Standing::Unsure { .. } => Step::Ask,
        _ if mode == Migrate::Wait => Step::Wait,
        Standing::Empty => Step::Migrate {
            check_services: false,
        },
        Standing::Behind { from } => match (crosses(*from, version), mode) {
            (false, _) => Step::Migrate {
                check_services: false,
            },
            (true, Migrate::Major) => Step::Migrate {
                check_services: true,
            },
            (true, _) => Step::Refuse(
                Exit::Source,
                format!(
                    "{}, and ENTRYPOINT_MIGRATE=auto crosses no major version: stop the older services, back the database up, then set ENTRYPOINT_MIGRATE=major for one start",
                    describe(standing, version)
                ),
            ),
        },
    }
}

fn decide_ahead(
    ahead: SchemaAhead,
    revision: &str,
    by: Option<Version>,
    version: Option<Version>,
) -> Step {
    let ours = version.map_or_else(
        || "this Airflow".to_owned(),
        |version| format!("Airflow {version}"),
    );
    let maker = match by {
        Some(by) => format!("Airflow {by} made it"),
        None => "it is newer, older than any that can be migrated, or not Airflow's".to_owned(),
    };
    let seen = format!(
        "the database schema is at revision {revision}, which {ours} does not know: {maker}"
    );
    let same_minor = matches!((by, version), (Some(by), Some(version)) if by.same_minor(version));
    match ahead {
        SchemaAhead::Minor if same_minor => Step::Go,
        SchemaAhead::Allow if same_minor => Step::Go,
        SchemaAhead::Allow => Step::GoWarned(seen),
        SchemaAhead::Minor => Step::Refuse(
            Exit::SchemaAhead,
            format!(
                "{seen}; run that release, or one of its minor version, or set ENTRYPOINT_SCHEMA_AHEAD=allow if you know that it works"
            ),
        ),
        SchemaAhead::Refuse => Step::Refuse(
            Exit::SchemaAhead,
            format!("{seen}, and ENTRYPOINT_SCHEMA_AHEAD=refuse: run the release that made it"),
        ),
    }
}

/// Whether a migration goes over a major version, or may.
fn crosses(from: Option<Version>, version: Option<Version>) -> bool {
    match (from, version) {
        (Some(from), Some(version)) => from.major != version.major,
        _ => true,
    }
}

/// How a database stands, in words.
pub fn describe(standing: &Standing, version: Option<Version>) -> String {
    let to = version.map_or_else(String::new, |version| format!(" for Airflow {version}"));
    match standing {
        Standing::Empty => "the database has no schema of Airflow's".to_owned(),
        Standing::Current => format!("the database schema is up to date{to}"),
        Standing::Behind { from: Some(from) } if Some(*from) == version => {
            format!("tables of a provider are missing or behind{to}")
        }
        Standing::Behind { from: Some(from) } => {
            format!("the database schema is that of Airflow {from}, behind{to}")
        }
        Standing::Behind { from: None } => format!("the database schema is behind{to}"),
        Standing::Ahead { revision, .. } => {
            format!("the database schema is at revision {revision}, unknown{to}")
        }
        Standing::Unsure { why, .. } => {
            format!("only Airflow can tell whether the database schema is up to date: {why}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Migrate::{Auto, Major, Never, Wait};
    use proptest::prelude::*;

    const OURS: Version = Version::new(3, 1, 8);

    fn name(step: &Step) -> String {
        match step {
            Step::Go => "go".to_owned(),
            Step::GoWarned(_) => "warned".to_owned(),
            Step::Migrate { check_services } => if *check_services {
                "migrate if none lives"
            } else {
                "migrate"
            }
            .to_owned(),
            Step::Wait => "wait".to_owned(),
            Step::Ask => "ask".to_owned(),
            Step::Refuse(exit, _) => exit.code().to_string(),
        }
    }

    fn behind(from: Option<Version>) -> Standing {
        Standing::Behind { from }
    }

    fn ahead(by: Option<Version>) -> Standing {
        Standing::Ahead {
            revision: "r".to_owned(),
            by,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let unsure = Standing::Unsure {
            why: "x".to_owned(),
            from: None,
        };
        for (standing, expected) in [
            (Standing::Current, ["go", "go", "go", "go"]),
            (Standing::Empty, ["migrate", "migrate", "wait", "warned"]),
            (
                behind(Some(Version::new(3, 0, 0))),
                ["migrate", "migrate", "wait", "warned"],
            ),
            (behind(Some(OURS)), ["migrate", "migrate", "wait", "warned"]),
            (
                behind(Some(Version::new(2, 8, 1))),
                ["65", "migrate if none lives", "wait", "warned"],
            ),
            (
                behind(None),
                ["65", "migrate if none lives", "wait", "warned"],
            ),
            (ahead(Some(Version::new(3, 1, 9))), ["go", "go", "go", "go"]),
            (ahead(Some(Version::new(3, 2, 0))), ["76", "76", "76", "76"]),
            (ahead(None), ["76", "76", "76", "76"]),
            (unsure, ["ask", "ask", "ask", "warned"]),
        ] {
            let steps = [Auto, Major, Wait, Never]
                .map(|mode| name(&decide(mode, SchemaAhead::Minor, &standing, Some(OURS))));
            assert_eq!(steps, expected, "{standing:?}");
        }
    }

    #[test]
    fn the_rule_for_schemas_that_are_ahead() {
        for (rule, by, expected) in [
            (SchemaAhead::Minor, Some(Version::new(3, 1, 9)), "go"),
            (SchemaAhead::Minor, Some(Version::new(3, 0, 9)), "76"),
            (SchemaAhead::Minor, Some(Version::new(4, 1, 8)), "76"),
            (SchemaAhead::Allow, Some(Version::new(3, 1, 9)), "go"),
            (SchemaAhead::Allow, Some(Version::new(3, 2, 0)), "warned"),
            (SchemaAhead::Allow, None, "warned"),
            (SchemaAhead::Refuse, Some(Version::new(3, 1, 9)), "76"),
            (SchemaAhead::Refuse, None, "76"),
        ] {
            let step = decide(Auto, rule, &ahead(by), Some(OURS));
            assert_eq!(name(&step), expected, "{rule:?} {by:?}");
            // Of a release that is not known nothing is the same minor version.
            let step = decide(Auto, rule, &ahead(by), None);
            let expected = if rule == SchemaAhead::Allow {
                "warned"
            } else {
                "76"
            };
            assert_eq!(name(&step), expected, "{rule:?} {by:?}");
        }
    }

    #[test]
    fn a_refusal_names_what_is_there_and_what_to_set() {
        let Step::Refuse(_, why) = decide(
            Auto,
            SchemaAhead::Minor,
            &behind(Some(Version::new(2, 8, 1))),
            Some(OURS),
        ) else {
            panic!("not refused");
        };
        assert!(
            why.contains("Airflow 2.8.1")
                && why.contains("3.1.8")
                && why.contains("ENTRYPOINT_MIGRATE=major"),
            "{why}"
        );
        let Step::Refuse(_, why) = decide(
            Auto,
            SchemaAhead::Minor,
            &ahead(Some(Version::new(3, 3, 0))),
            Some(OURS),
        ) else {
            panic!("not refused");
        };
        assert!(
            why.contains("Airflow 3.3.0 made it") && why.contains("ENTRYPOINT_SCHEMA_AHEAD=allow"),
            "{why}"
        );
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        let version = proptest::option::of((2_u32..5, 0_u32..3, 0_u32..9)).prop_map(|version| {
            version.map(|(major, minor, patch)| Version::new(major, minor, patch))
        });
        prop_oneof![
            Just(Standing::Empty),
            Just(Standing::Current),
            version.clone().prop_map(|from| Standing::Behind { from }),
            version.clone().prop_map(|by| Standing::Ahead {
                revision: "r".to_owned(),
                by
            }),
            version.prop_map(|from| Standing::Unsure {
                why: "x".to_owned(),
                from
            }),
        ]
    }

    proptest! {
        /// Never a migration of what is ahead, current or unknown, nor under `wait` or `never`; and over
        /// a major version only when asked for and with the check of services.
        #[test]
        fn a_migration_is_only_for_what_is_empty_or_behind(standing in any_standing(), mode in 0_usize..4, rule in 0_usize..3) {
            let mode = [Auto, Major, Wait, Never][mode];
            let rule = [SchemaAhead::Minor, SchemaAhead::Allow, SchemaAhead::Refuse][rule];
            if let Step::Migrate { check_services } = decide(mode, rule, &standing, Some(OURS)) {
                prop_assert!(matches!(mode, Auto | Major));
                match standing {
                    Standing::Empty => prop_assert!(!check_services),
                    Standing::Behind { from } => {
                        let crosses = from.is_none_or(|from| from.major != OURS.major);
                        prop_assert_eq!(crosses, check_services);
                        prop_assert!(!crosses || mode == Major);
                    }
                    _ => prop_assert!(false, "{:?}", standing),
                }
            }
        }
    }
}
