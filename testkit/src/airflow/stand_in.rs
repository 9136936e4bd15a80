//! A stand-in for Airflow: files in Airflow's places, and a program that keeps a record of its calls
//! and gives the database what the test wants it to give.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What runs instead of Python: `$1` is the script, `airflow`. The SQL of a command is in a file of its
/// name, `db-migrate.sql`; its exit code is psql's, or the one in `db-migrate.exit`.
const PYTHON: &str = r#"#!/bin/bash
root=$(dirname "$(dirname "$1")")
shift
command=$1-$2
record=$root/calls/$(date +%s%N)-$$
printf '%s\0' "$@" >"$record.args"
env -0 >"$record.env"
[ "$1" != users ] || cat >"$record.stdin"
touch "$record.whole"
while [ -e "$root/$command.shut" ]; do sleep 0.05; done
[ ! -e "$root/$command-$3.answer" ] || cat "$root/$command-$3.answer"
url=${AIRFLOW__DATABASE__SQL_ALCHEMY_CONN/+psycopg2/}
psql=(psql "$url" -X -q -v ON_ERROR_STOP=1 -f "$root/$command.sql")
[ -e "$root/$command.sql" ] || psql=(true)
# One process where it can be, which a signal ends.
[ -e "$root/$command.exit" ] || exec "${psql[@]}" >&2
"${psql[@]}" >&2
exit "$(<"$root/$command.exit")"
"#;

/// A stand-in for Airflow of a release and a head that the test chooses.
#[derive(Debug)]
pub struct StandIn {
    root: tempfile::TempDir,
}

/// One run of the stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The words after `airflow`.
    pub args: Vec<String>,
    /// Its whole environment, `NAME=value`.
    pub environment: Vec<String>,
    /// What it was given to read; of `users` commands only.
    pub stdin: Option<String>,
}

impl StandIn {
    /// An Airflow of that release whose migrations are these, oldest first, with the release that
    /// brought each.
    pub fn new(version: &str, revisions: &[(&str, &str)]) -> StandIn {
        let root = match tempfile::tempdir() {
            Ok(root) => root,
            Err(error) => panic!("no directory for a stand-in: {error}"),
        };
        let stand_in = StandIn { root };
        stand_in.write(
            "bin/airflow",
            &format!("#!{}/bin/python\n", stand_in.path("").display()),
        );
        stand_in.write("bin/python", PYTHON);
        stand_in.write("pyvenv.cfg", "home = /usr/bin\n");
        stand_in.write(
            &format!("{PACKAGES}/apache_airflow_core-{version}.dist-info/METADATA"),
            "",
        );
        stand_in.migrations("airflow/migrations/versions", revisions);
        let heads = revisions
            .iter()
            .map(|(revision, release)| format!("    \"{release}\": \"{revision}\",\n"));
        let map = format!(
            "_REVISION_HEADS_MAP: dict[str, str] = {{\n{}}}\n",
            heads.collect::<String>()
        );
        stand_in.write(&format!("{PACKAGES}/airflow/utils/db.py"), &map);
        for directory in [
            stand_in.path(""),
            stand_in.path("calls"),
            stand_in.path("home"),
        ] {
            super::writable(&directory);
        }
        stand_in
    }

    fn migrations(&self, directory: &str, revisions: &[(&str, &str)]) {
        let mut follows = "None".to_owned();
        for (number, (revision, release)) in revisions.iter().enumerate() {
            let text = format!(
                "revision = \"{revision}\"\ndown_revision = {follows}\nairflow_version = \"{release}\"\n"
            );
            self.write(&format!("{PACKAGES}/{directory}/{number:04}.py"), &text);
            follows = format!("\"{revision}\"");
        }
    }

    /// What a command gives the database, by psql: `on("db", "migrate", "CREATE TABLE …")`.
    pub fn on(&self, group: &str, command: &str, sql: &str) -> &Self {
        self.write(&format!("{group}-{command}.sql"), sql);
        self
    }

    /// What a command writes to its standard output, by its first argument.
    pub fn answers(&self, group: &str, command: &str, argument: &str, text: &str) -> &Self {
        self.write(&format!("{group}-{command}-{argument}.answer"), text);
        self
    }

    /// Lets a command begin, and come no further until [`StandIn::open`].
    pub fn shut(&self, group: &str, command: &str) -> &Self {
        self.write(&format!("{group}-{command}.shut"), "");
        self
    }

    /// Lets a command go on.
    pub fn open(&self, group: &str, command: &str) {
        let path = self.path(&format!("{group}-{command}.shut"));
        if let Err(error) = fs::remove_file(&path) {
            panic!("{} cannot be removed: {error}", path.display());
        }
    }

    /// The exit code of a command, whatever its SQL did.
    pub fn exits(&self, group: &str, command: &str, code: u8) -> &Self {
        self.write(&format!("{group}-{command}.exit"), &code.to_string());
        self
    }

    /// One more migration, so that there are two heads: it no longer says what is up to date.
    pub fn second_head(&self) {
        let versions = format!("{PACKAGES}/airflow/migrations/versions");
        self.write(
            &format!("{versions}/9999.py"),
            "revision = \"other\"\ndown_revision = None\n",
        );
    }

    /// Its directory of programs, for PATH.
    pub fn bin(&self) -> PathBuf {
        self.path("bin")
    }

    /// A directory to be AIRFLOW_HOME.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// All runs so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        let entries = fs::read_dir(self.path("calls"))
            .into_iter()
            .flatten()
            .flatten();
        let whole = |path: PathBuf| {
            path.extension()
                .is_some_and(|end| end == "whole")
                .then_some(path)
        };
        let mut records: Vec<PathBuf> = entries.filter_map(|entry| whole(entry.path())).collect();
        records.sort();
        records.iter().map(|record| Call::read(record)).collect()
    }

    /// The runs of one command, `count(&["db", "migrate"])`.
    pub fn count(&self, words: &[&str]) -> usize {
        let matches = |call: &Call| words.iter().eq(call.args.iter().take(words.len()));
        self.calls().iter().filter(|call| matches(call)).count()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Writes a file as a whole, as an executable.
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        if let Err(error) = written {
            panic!("{} cannot be written: {error}", path.display());
        }
    }
}

const PACKAGES: &str = "lib/python3.11/site-packages";

impl Call {
    fn read(record: &Path) -> Call {
        let read = |end: &str| fs::read(record.with_extension(end)).ok();
        let list = |end: &str| {
            let bytes = read(end).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.split_terminator('\0')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        Call {
            args: list("args"),
            environment: list("env"),
            stdin: read("stdin").map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = |pair: &'_ String| pair.split_once('=').is_some_and(|(found, _)| found == name);
        Some(
            self.environment
                .iter()
                .find(|pair| value(pair))?
                .split_once('=')?
                .1,
        )
    }
}
