//! What Airflow will find for a setting, by Airflow's own lookup, without starting Python.
//!
//! In order: the variable `AIRFLOW__SECTION__KEY`, its forms `…_CMD` and `…_SECRET`; the same under an
//! older name of the setting; then `airflow.cfg` (`$AIRFLOW_CONFIG`, else `$AIRFLOW_HOME/airflow.cfg`,
//! else below `~/airflow`), the older name there, and at last its forms `key_cmd` and `key_secret`.
//!
//! Read it before the first command of Airflow's: that one writes a missing `airflow.cfg` with keys
//! made up for this container alone, which look like settings afterwards.

use super::expand::{Endless, Surroundings, expand};
use super::ini::Ini;
use crate::variables::Variables;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// What is known of a setting.
#[derive(Clone, PartialEq, Eq)]
pub enum Setting {
    /// Its value, as Airflow sees it: `$NAME` and `~` filled in.
    Value(String),
    /// Set by a command or from a secrets backend, which only Airflow asks: not known here.
    Elsewhere,
    /// Not set, or set to nothing: Airflow's default holds.
    Unset,
}

impl Setting {
    /// The value, where it is known.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Value(value) => Some(value),
            Self::Elsewhere | Self::Unset => None,
        }
    }

    /// Whether there is no value of any kind.
    pub fn is_unset(&self) -> bool {
        *self == Self::Unset
    }
}

/// Shows no value: some are secrets.
impl fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Value(_) => "Value",
            Self::Elsewhere => "Elsewhere",
            Self::Unset => "Unset",
        })
    }
}

/// A setting by its section and its key.
type Name = (&'static str, &'static str);

/// (now, before), for what is asked here: `deprecated_options` of 2.8 to 3.3. The database's were moved
/// in 2.3, the others in 3.0; 3.0 and 3.1 alone do not read the database's old names, and 3.0 not
/// that of the base URL.
const OLDER_NAMES: [(Name, Name); 12] = [
    (
        ("database", "sql_alchemy_conn"),
        ("core", "sql_alchemy_conn"),
    ),
    (
        ("database", "sql_alchemy_schema"),
        ("core", "sql_alchemy_schema"),
    ),
    (
        ("database", "sql_alchemy_connect_args"),
        ("core", "sql_alchemy_connect_args"),
    ),
    (("api", "secret_key"), ("webserver", "secret_key")),
    (("api", "base_url"), ("webserver", "base_url")),
    (("api", "host"), ("webserver", "web_server_host")),
    (("api", "port"), ("webserver", "web_server_port")),
    (("api", "ssl_cert"), ("webserver", "web_server_ssl_cert")),
    (("api", "ssl_key"), ("webserver", "web_server_ssl_key")),
    (
        ("core", "execution_api_server_url"),
        ("workers", "execution_api_server_url"),
    ),
    (("operators", "default_queue"), ("celery", "default_queue")),
    (
        ("logging", "worker_log_server_port"),
        ("celery", "worker_log_server_port"),
    ),
];

/// Airflow's settings as the service will find them.
#[derive(Clone, Default)]
pub struct Config {
    /// The variables that begin with `AIRFLOW__`, as Airflow sees them; none where it would hang.
    variables: BTreeMap<String, Option<String>>,
    file: Ini,
    /// The file that was read; none where there is none, or it cannot be read.
    path: Option<PathBuf>,
    /// What a value in the file can refer to.
    around: Around,
    /// What Airflow itself told of settings that only it can find out, by variable.
    told: BTreeMap<String, String>,
}

impl Config {
    /// The settings of a service with these variables.
    pub fn read(variables: &Variables) -> Self {
        let around = Around::of(variables, std::fs::read_to_string("/etc/passwd").ok());
        let path = around.config_path();
        let text = std::fs::read_to_string(&path).ok();
        let path = text.is_some().then_some(path);
        Self::of(around, text.as_deref().unwrap_or_default(), path)
    }

    /// The same with other variables. The file is not read again: a command of Airflow's that ran
    /// meanwhile may have written it.
    pub fn renewed(self, variables: &Variables) -> Self {
        let passwd = self.around.passwd.clone();
        let around = Around::of(variables, passwd);
        Self {
            variables: expanded(&around),
            around,
            ..self
        }
    }

    /// Keeps what Airflow answered for a setting that is [`Setting::Elsewhere`].
    pub fn learn(&mut self, section: &str, key: &str, value: String) {
        self.told.insert(variable(section, key), value);
    }

    /// The settings of a service with these variables, and `text` for an `airflow.cfg`.
    pub fn from_parts(variables: &Variables, text: &str) -> Self {
        Self::of(Around::of(variables, None), text, None)
    }

    fn of(around: Around, text: &str, path: Option<PathBuf>) -> Self {
        Self {
            variables: expanded(&around),
            file: Ini::parse(text),
            path,
            around,
            told: BTreeMap::new(),
        }
    }

    /// The `airflow.cfg` that was read; none where there is none.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What Airflow finds for a setting; section and key in lower case.
    pub fn setting(&self, section: &str, key: &str) -> Setting {
        match (
            self.found(section, key),
            self.told.get(&variable(section, key)),
        ) {
            (Setting::Elsewhere, Some(told)) => known(told.clone()),
            (found, _) => found,
        }
    }

    fn found(&self, section: &str, key: &str) -> Setting {
        let older = OLDER_NAMES.iter().find(|(now, _)| *now == (section, key));
        let names = || std::iter::once((section, key)).chain(older.map(|(_, before)| *before));
        let in_variables = names().find_map(|(section, key)| self.in_variables(section, key));
        let in_file = || names().find_map(|(section, key)| self.in_file(section, key));
        let asked = || names().find_map(|(section, key)| self.asked_in_file(section, key));
        in_variables
            .or_else(in_file)
            .or_else(asked)
            .unwrap_or(Setting::Unset)
    }

    /// Whether only Airflow can find a setting out, answered already or not.
    pub fn is_elsewhere(&self, section: &str, key: &str) -> bool {
        self.found(section, key) == Setting::Elsewhere
    }

    /// The value of a setting, where it is known.
    pub fn text(&self, section: &str, key: &str) -> Option<String> {
        match self.setting(section, key) {
            Setting::Value(value) => Some(value),
            Setting::Elsewhere | Setting::Unset => None,
        }
    }

    /// Whether a setting is on, by the words that Airflow takes (any case); none where it is not set, or
    /// is neither.
    pub fn is_on(&self, section: &str, key: &str) -> Option<bool> {
        match self.text(section, key)?.to_lowercase().as_str() {
            "t" | "true" | "1" => Some(true),
            "f" | "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// Whether the variable is there with nothing in it, which keeps Airflow from looking further.
    pub fn is_blank(&self, section: &str, key: &str) -> bool {
        let value = self.variables.get(&variable(section, key));
        value.is_some_and(|value| value.as_deref() == Some(""))
    }

    fn in_variables(&self, section: &str, key: &str) -> Option<Setting> {
        let name = variable(section, key);
        match self.variables.get(&name) {
            Some(Some(value)) => return Some(known(value.clone())),
            Some(None) => return Some(Setting::Elsewhere),
            None => {}
        }
        let asked =
            ["_CMD", "_SECRET"].map(|form| self.variables.contains_key(&(name.clone() + form)));
        asked.contains(&true).then_some(Setting::Elsewhere)
    }

    fn in_file(&self, section: &str, key: &str) -> Option<Setting> {
        let value = self.file.value(section, key)?;
        Some(match expand(&value, &self.around) {
            Ok(value) => known(value),
            Err(Endless) => Setting::Elsewhere,
        })
    }

    fn asked_in_file(&self, section: &str, key: &str) -> Option<Setting> {
        let forms = [format!("{key}_cmd"), format!("{key}_secret")];
        let mut asked = forms.iter().filter_map(|key| self.file.value(section, key));
        asked.next().map(|_| Setting::Elsewhere)
    }
}

/// Shows no value: some are secrets.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.variables.len();
        write!(formatter, "Config({count} variables, file {:?})", self.path)
    }
}

/// The variable that sets a setting: `AIRFLOW__CORE__FERNET_KEY`. A dot in a section's name becomes an
/// underscore.
pub fn variable(section: &str, key: &str) -> String {
    format!(
        "AIRFLOW__{}__{}",
        section.replace('.', "_").to_uppercase(),
        key.to_uppercase()
    )
}

fn known(value: String) -> Setting {
    if value.is_empty() {
        Setting::Unset
    } else {
        Setting::Value(value)
    }
}

/// The variables of settings as Airflow sees them; none where it would hang.
fn expanded(around: &Around) -> BTreeMap<String, Option<String>> {
    let named = around.variables.iter();
    let settings = named.filter(|(name, _)| name.starts_with("AIRFLOW__"));
    settings
        .map(|(name, value)| (name.clone(), expand(value, around).ok()))
        .collect()
}

/// What values can refer to: the service's variables, and the list of users.
#[derive(Clone, Default)]
pub(crate) struct Around {
    variables: BTreeMap<String, String>,
    passwd: Option<String>,
}

impl Around {
    pub(crate) fn of(variables: &Variables, passwd: Option<String>) -> Self {
        let pairs = variables.pairs();
        let text = pairs.filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
        Self {
            variables: text
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            passwd,
        }
    }

    fn config_path(&self) -> PathBuf {
        let expanded = |value: &str| expand(value, self).unwrap_or_else(|Endless| value.to_owned());
        if let Some(path) = self.variable("AIRFLOW_CONFIG") {
            return expanded(path).into();
        }
        let home = self.variable("AIRFLOW_HOME").unwrap_or("~/airflow");
        PathBuf::from(expanded(home)).join("airflow.cfg")
    }
}

impl Surroundings for Around {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// By the file, as getpwnam would find nothing more: a static program has no name services.
    fn home(&self, user: Option<&str>) -> Option<String> {
        let own = nix::unistd::getuid().to_string();
        let lines = self.passwd.as_deref()?.lines();
        lines
            .map(|line| line.split(':').collect::<Vec<_>>())
            .filter(|fields| fields.len() == 7)
            .find(|fields| match user {
                Some(user) => fields[0] == user,
                None => fields[2] == own,
            })
            .map(|fields| fields[5].to_owned())
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
