//! What the database says of its schema, by SQL, and how that compares with what is installed.

use crate::airflow::Installed;
use crate::airflow::config::Setting;
use crate::airflow::version::Version;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// What is in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The revision of Airflow's own tables: more than one row is none of Airflow's doing.
    pub core: Vec<String>,
    /// The revision of the FAB provider's tables; empty where it has none.
    pub fab: Vec<String>,
    /// Who migrated it, if it was one of us and nobody migrated after it.
    pub record: Option<Record>,
    /// Whether there is a table of jobs.
    pub has_jobs: bool,
    /// Whether there is a table of users.
    pub has_users: bool,
}

/// Which tables there are, and the comment; every name is looked for on the search path, as Airflow does.
const TABLES: &str = "SELECT to_regclass('alembic_version') IS NOT NULL, \
    to_regclass('alembic_version_fab') IS NOT NULL, \
    to_regclass('job') IS NOT NULL, to_regclass('ab_user') IS NOT NULL, \
    obj_description(to_regclass('alembic_version'), 'pg_class')";

/// Reads it. The queries are simple ones: a pooler between us may not know of prepared statements.
///
/// # Errors
/// The server's, or that the session is lost.
pub async fn read(client: &Client) -> Result<Found, Error> {
    let rows = rows(client, TABLES).await?;
    let Some(row) = rows.first() else {
        return Ok(Found::default());
    };
    let is = |place: usize| {
        row.get(place)
            .is_some_and(|value| value.as_deref() == Some("t"))
    };
    let core = match is(0) {
        true => column(client, "SELECT version_num FROM alembic_version ORDER BY 1").await?,
        false => Vec::new(),
    };
    let fab = match is(1) {
        true => {
            column(
                client,
                "SELECT version_num FROM alembic_version_fab ORDER BY 1",
            )
            .await?
        }
        false => Vec::new(),
    };
    let record = row
        .get(4)
        .and_then(|comment| comment.as_deref()?.parse::<Record>().ok());
    Ok(Found {
        record: record.filter(|record| record.is_of(&core, &fab)),
        core,
        fab,
        has_jobs: is(2),
        has_users: is(3),
    })
}

/// The rows of a query as text.
pub(crate) async fn rows(client: &Client, query: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
    let messages = client.simple_query(query).await?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(
            (0..row.len())
                .map(|place| row.get(place).map(str::to_owned))
                .collect(),
        ),
        _ => None,
    });
    Ok(rows.collect())
}

/// The first column of a query, without nulls.
pub(crate) async fn column(client: &Client, query: &str) -> Result<Vec<String>, Error> {
    let rows = rows(client, query).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.into_iter().next()?)
        .collect())
}

/// A string literal of SQL.
pub(crate) fn literal(text: &str) -> String {
    // E'' means the same whatever standard_conforming_strings says.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// What is kept as a comment on `alembic_version`: which Airflow made this schema. It counts only while
/// the revisions are the ones it names: who migrates by hand leaves it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The Airflow that migrated.
    pub airflow: Version,
    /// The revision that it left.
    pub core: String,
    /// The revision of FAB's tables that it left.
    pub fab: Option<String>,
    /// A digest of what decides which tables Airflow keeps, [`Managers::digest`].
    pub managers: String,
}

impl Record {
    fn is_of(&self, core: &[String], fab: &[String]) -> bool {
        core == [self.core.as_str()] && fab.iter().eq(self.fab.iter())
    }

    /// The statement that keeps it.
    pub fn statement(&self) -> String {
        format!(
            "COMMENT ON TABLE alembic_version IS {}",
            literal(&self.to_string())
        )
    }
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fab = self.fab.as_deref().unwrap_or("none");
        write!(
            formatter,
            "trimtab: migrated by airflow={} core={} fab={fab} managers={}",
            self.airflow, self.core, self.managers
        )
    }
}

impl FromStr for Record {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words = text
            .strip_prefix("trimtab: migrated by ")
            .ok_or(())?
            .split(' ');
        let pairs: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let named = |name: &str| pairs.get(name).copied().ok_or(());
        Ok(Self {
            airflow: named("airflow")?.parse().map_err(drop)?,
            core: named("core")?.to_owned(),
            fab: Some(named("fab")?.to_owned()).filter(|fab| fab != "none"),
            managers: named("managers")?.to_owned(),
        })
    }
}

/// Which tables beside its own Airflow keeps, by its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managers {
    /// Whether FAB's are among them; none where it can't be told.
    pub fab: Option<bool>,
    /// Whether there are others, whose heads are not known here.
    pub others: bool,
    /// Eight hex digits that change with what was looked at.
    pub digest: String,
}

impl Managers {
    /// By `[core] auth_manager` and `[database] external_db_managers`:
    ///
    /// | auth manager | FAB's tables |
    /// |---|---|
    /// | unset (the simple one), another of Airflow's own | no |
    /// | FAB's | yes |
    /// | anybody else's, or set where only Airflow looks | not known |
    ///
    /// FAB's are kept too where they are listed, and wherever the provider is installed in an Airflow
    /// that looks for such providers. Airflow 2 has them among its own.
    pub fn of(installed: &Installed, auth: &Setting, external: &Setting) -> Self {
        let fab_version = installed.fab.as_ref().map(|fab| fab.version.to_string());
        let described = format!(
            "{:?} {:?} {fab_version:?} {} {}",
            auth.value()
                .unwrap_or_else(|| if auth.is_unset() { "" } else { "?" }),
            external
                .value()
                .unwrap_or_else(|| if external.is_unset() { "" } else { "?" }),
            installed.discovers_managers,
            installed.other_managers,
        );
        let digest = format!("{:08x}", fnv(described.as_bytes()));
        if installed.version.major < 3 {
            return Self {
                fab: Some(false),
                others: false,
                digest,
            };
        }
        let listed: Vec<&str> = external
            .value()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .collect();
        let is_fab = |name: &&str| name.ends_with(".FABDBManager");
        let elsewhere = external.value().is_none() && !external.is_unset();
        let by_auth = match auth {
            Setting::Unset => Some(false),
            Setting::Elsewhere => None,
            Setting::Value(class) if class.starts_with("airflow.") => {
                Some(class.ends_with(".FabAuthManager"))
            }
            Setting::Value(_) => None,
        };
        let certain =
            listed.iter().any(is_fab) || (installed.discovers_managers && installed.fab.is_some());
        Self {
            fab: if certain { Some(true) } else { by_auth },
            others: elsewhere
                || listed.iter().any(|name| !name.is_empty() && !is_fab(name))
                || (installed.discovers_managers && installed.other_managers),
            digest,
        }
    }
}

/// FNV-1a, 32 bits: the same in every build, which std's hashes do not promise.
fn fnv(bytes: &[u8]) -> u32 {
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, mix)
}

/// How a database stands to what is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No schema at all.
    Empty,
    /// Every revision is the head.
    Current,
    /// At an older revision, which this release brought; none where that is not known. The installed
    /// release itself where only tables beside Airflow's own are behind.
    Behind {
        /// The release of the schema.
        from: Option<Version>,
    },
    /// At a revision that the installed Airflow does not know.
    Ahead {
        /// That revision.
        revision: String,
        /// The Airflow that migrated, where the comment says so.
        by: Option<Version>,
    },
    /// Only Airflow itself can say; if it is not current, then as behind as `from` says.
    Unsure {
        /// Why.
        why: String,
        /// As in [`Standing::Behind`].
        from: Option<Version>,
    },
}

/// How `found` stands to an Airflow that was found, or was not.
pub fn standing(installed: &Result<(&Installed, Managers), &str>, found: &Found) -> Standing {
    let Some(core) = found.core.first() else {
        return Standing::Empty;
    };
    let (installed, managers) = match installed {
        Ok(known) => known,
        Err(why) => {
            return Standing::Unsure {
                why: (*why).to_owned(),
                from: None,
            };
        }
    };
    // Only this release, under these settings, can have left this behind: it would find nothing to do.
    let migrated_by_the_same = found.record.as_ref().is_some_and(|record| {
        record.airflow == installed.version && record.managers == managers.digest
    });
    let unsure = |why: String, from| match migrated_by_the_same {
        true => Standing::Current,
        false => Standing::Unsure { why, from },
    };
    let by = found.record.as_ref().map(|record| record.airflow);

    let revisions = match &installed.core {
        Ok(revisions) => revisions,
        Err(why) => return unsure(why.clone(), None),
    };
    if found.core.len() > 1 || !revisions.knows(core) {
        return Standing::Ahead {
            revision: found.core.join(" and "),
            by,
        };
    }
    let behind = core != revisions.head();

    let keeps_fab = match managers.fab {
        Some(keeps) => keeps,
        // A table that is there is kept up to date.
        None if !found.fab.is_empty() => true,
        None if behind => false,
        None => {
            let why = "the auth manager is none of Airflow's own, and may keep tables";
            return unsure(why.to_owned(), Some(installed.version));
        }
    };
    let mut fab_behind = false;
    if let (true, Some(fab)) = (keeps_fab, &installed.fab) {
        match (&fab.revisions, found.fab.first()) {
            (_, None) => fab_behind = true,
            (Ok(revisions), Some(revision))
                if found.fab.len() == 1 && revisions.knows(revision) =>
            {
                fab_behind = revision != revisions.head();
            }
            (Ok(_), Some(_)) => {
                return Standing::Ahead {
                    revision: found.fab.join(" and "),
                    by,
                };
            }
            (Err(_), Some(_)) if behind => {}
            (Err(why), Some(_)) => return unsure(why.clone(), Some(installed.version)),
        }
    }
    if behind {
        Standing::Behind {
            from: revisions.release(core),
        }
    } else if fab_behind {
        Standing::Behind {
            from: Some(installed.version),
        }
    } else if managers.others {
        let why = "a provider or [database] external_db_managers keeps tables whose head is not known here";
        unsure(why.to_owned(), Some(installed.version))
    } else {
        Standing::Current
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
