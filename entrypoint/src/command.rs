//! What is to run: a program as it is, or a command of Airflow's.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Airflow's long-running services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Airflow's")]
pub enum Service {
    Scheduler,
    ApiServer,
    Webserver,
    DagProcessor,
    Triggerer,
    CeleryWorker,
    CeleryFlower,
    Standalone,
}

impl Service {
    /// Airflow's words for it: `celery worker`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::ApiServer => "api-server",
            Self::Webserver => "webserver",
            Self::DagProcessor => "dag-processor",
            Self::Triggerer => "triggerer",
            Self::CeleryWorker => "celery worker",
            Self::CeleryFlower => "celery flower",
            Self::Standalone => "standalone",
        }
    }

    /// Which service Airflow's words start. One that only shows its help is none.
    fn of(words: &[OsString]) -> Option<Self> {
        let asks_for_help = words.iter().any(|word| word == "--help" || word == "-h");
        if asks_for_help {
            return None;
        }
        let word = |place: usize| words.get(place).and_then(|word| word.to_str());
        match (word(0)?, word(1)) {
            ("scheduler", _) => Some(Self::Scheduler),
            ("api-server", _) => Some(Self::ApiServer),
            ("webserver", _) => Some(Self::Webserver),
            ("dag-processor", _) => Some(Self::DagProcessor),
            ("triggerer", _) => Some(Self::Triggerer),
            ("celery", Some("worker")) => Some(Self::CeleryWorker),
            ("celery", Some("flower")) => Some(Self::CeleryFlower),
            ("standalone", _) => Some(Self::Standalone),
            _ => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

/// Airflow's words that may also be the name of a program on PATH, `celery` in each of Airflow's own
/// images and `users` in any Debian. As in Airflow's image they are Airflow's.
const AIRFLOW_FIRST: [&str; 4] = ["celery", "users", "kerberos", "info"];

/// Where programs are looked for without a PATH, as by execvp of glibc.
pub const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// A path, or a name to be looked for on PATH.
    pub program: OsString,
    /// Its arguments, without the program.
    pub args: Vec<OsString>,
    /// Which of Airflow's services it is, if it is one.
    pub service: Option<Service>,
}

impl Command {
    /// From the words of the command line; none where there are none. `is_program` says whether a
    /// file can be executed.
    ///
    /// | first word | runs |
    /// |---|---|
    /// | has a slash | as it is |
    /// | `celery`, `users`, `kerberos`, `info` | Airflow's |
    /// | a program on `path` | as it is |
    /// | any other | Airflow's |
    pub fn of(
        words: &[OsString],
        path: Option<&OsStr>,
        is_program: impl Fn(&Path) -> bool,
    ) -> Option<Self> {
        let (first, rest) = words.split_first()?;
        if !is_path(first) && !is_plain_program(first, path, is_program) {
            return Some(Self {
                program: "airflow".into(),
                args: words.to_vec(),
                service: Service::of(words),
            });
        }
        let is_airflow = Path::new(first).file_name() == Some(OsStr::new("airflow"));
        Some(Self {
            program: first.clone(),
            args: rest.to_vec(),
            service: if is_airflow { Service::of(rest) } else { None },
        })
    }
}

/// Looks for a program as `execvp` does: a name with a slash is a path, any other is looked for on
/// `path`.
pub fn find(
    program: &OsStr,
    path: Option<&OsStr>,
    is_program: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    if is_path(program) {
        return Some(PathBuf::from(program)).filter(|path| is_program(path));
    }
    // An empty part of PATH means the current directory to execvp; to look there for a word such as
    // `scheduler` would be a surprise, and nothing else does.
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let directories = std::env::split_paths(path).filter(|part| !part.as_os_str().is_empty());
    directories
        .map(|directory| directory.join(program))
        .find(|path| is_program(path))
}

/// Whether a file is there and may be executed by this process.
pub fn is_program(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

fn is_path(word: &OsStr) -> bool {
    word.as_bytes().contains(&b'/')
}

fn is_plain_program(
    word: &OsStr,
    path: Option<&OsStr>,
    is_program: impl Fn(&Path) -> bool,
) -> bool {
    let is_airflows = AIRFLOW_FIRST.iter().any(|name| word == *name);
    // Airflow's own name is a program even where it cannot be found, which is then 127.
    !is_airflows && (word == "airflow" || find(word, path, is_program).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Command {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        let programs = [
            "/bin/bash",
            "/bin/users",
            "/opt/celery",
            "/opt/airflow",
            "/bin/python",
        ];
        Command::of(&words, Some(OsStr::new("/opt:/bin")), |path| {
            programs.iter().any(|program| path == Path::new(program))
        })
        .unwrap()
    }

    #[test]
    fn a_word_is_a_program_a_path_or_airflows() {
        use Service::*;
        for (words, program, args, service) in [
            ("scheduler", "airflow", "scheduler", Some(Scheduler)),
            ("airflow scheduler", "airflow", "scheduler", Some(Scheduler)),
            (
                "/x/airflow api-server -p 1",
                "/x/airflow",
                "api-server -p 1",
                Some(ApiServer),
            ),
            ("webserver", "airflow", "webserver", Some(Webserver)),
            (
                "dag-processor",
                "airflow",
                "dag-processor",
                Some(DagProcessor),
            ),
            ("triggerer", "airflow", "triggerer", Some(Triggerer)),
            (
                "celery worker -q a",
                "airflow",
                "celery worker -q a",
                Some(CeleryWorker),
            ),
            (
                "celery flower",
                "airflow",
                "celery flower",
                Some(CeleryFlower),
            ),
            ("celery stop", "airflow", "celery stop", None),
            ("standalone", "airflow", "standalone", Some(Standalone)),
            ("scheduler --help", "airflow", "scheduler --help", None),
            ("users list", "airflow", "users list", None),
            ("bash -c x", "bash", "-c x", None),
            (
                "python -m airflow scheduler",
                "python",
                "-m airflow scheduler",
                None,
            ),
            ("/opt/celery worker", "/opt/celery", "worker", None),
            ("./no-such", "./no-such", "", None),
            ("no-such", "airflow", "no-such", None),
            ("airflow", "airflow", "", None),
        ] {
            let command = of(words);
            let joined = command.args.join(OsStr::new(" "));
            assert_eq!(
                (command.program.to_str(), joined.to_str(), command.service),
                (Some(program), Some(args), service),
                "{words}"
            );
        }
        assert_eq!(Command::of(&[], None, |_| true), None);
    }

    #[test]
    fn a_directory_is_no_program_and_an_empty_part_of_path_is_not_searched() {
        assert!(!is_program(Path::new("/")));
        assert!(is_program(Path::new("/bin/sh")));
        let found = find(OsStr::new("x"), Some(OsStr::new(":/b")), |_| true);
        assert_eq!(found, Some(PathBuf::from("/b/x")));
        let found = find(OsStr::new("x"), None, |_| true);
        assert_eq!(found, Some(PathBuf::from("/bin/x")));
    }
}
