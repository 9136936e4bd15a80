//! Where an installed Airflow keeps its files, by Python's own rules, without asking Python.
//!
//! The script says which Python runs it, the Python says where its packages are: in a virtual
//! environment, in the prefix of Airflow's image (`/home/airflow/.local` beside `/usr/local` or
//! `/usr/python`), or in Debian's `dist-packages`.

use crate::command;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Longer first lines are a path that no kernel takes: a script for those begins with `/bin/sh`.
const HEAD: u64 = 4096;

/// The directories in which the Python of `script` looks for packages, in its order. Some may not
/// exist.
///
/// # Errors
/// One line: the script is none of Python's.
pub(super) fn packages(
    script: &Path,
    path: &OsStr,
    python_path: Option<&OsStr>,
    user_base: Option<&Path>,
) -> Result<Vec<PathBuf>, String> {
    let mut head = Vec::new();
    File::open(script)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(|error| format!("{} cannot be read: {error}", script.display()))?;
    let interpreter = interpreter(&head)
        .ok_or_else(|| format!("{} is no script of Python's", script.display()))?;
    let python = match interpreter {
        Interpreter::Path(python) => python,
        Interpreter::Name(name) => command::find(name.as_ref(), Some(path), command::is_program)
            .ok_or_else(|| format!("{} wants {name}, which is not on PATH", script.display()))?,
    };

    let mut found: Vec<PathBuf> = python_path
        .map(|list| std::env::split_paths(list).collect())
        .unwrap_or_default();
    let prefix = |program: &Path| Some(program.parent()?.parent()?.to_owned());
    let environment = prefix(&python).filter(|prefix| prefix.join("pyvenv.cfg").is_file());
    if let Some(environment) = environment {
        found.extend(versions(&environment.join("lib"), "site-packages"));
        return Ok(found);
    }
    // A script in ~/.local/bin belongs to the packages beside it, whoever's home that is.
    found.extend(
        user_base
            .iter()
            .flat_map(|base| versions(&base.join("lib"), "site-packages")),
    );
    found.extend(
        prefix(script)
            .iter()
            .flat_map(|prefix| versions(&prefix.join("lib"), "site-packages")),
    );
    let real = fs::canonicalize(&python).unwrap_or_else(|_| python.clone());
    for prefix in [prefix(&python), prefix(&real)].into_iter().flatten() {
        found.extend(versions(&prefix.join("lib"), "site-packages"));
        found.extend(versions(&prefix.join("local/lib"), "dist-packages"));
        found.push(prefix.join("lib/python3/dist-packages"));
    }
    Ok(found)
}

/// `LIB/python3.*/KIND`, those that exist.
fn versions(lib: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(lib).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().as_bytes().starts_with(b"python3."));
    let mut found: Vec<PathBuf> = named
        .map(|entry| entry.path().join(kind))
        .filter(|packages| packages.is_dir())
        .collect();
    found.sort();
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Interpreter {
    Path(PathBuf),
    /// To be looked up on PATH.
    Name(String),
}

/// The Python that a script names in its first lines: `#!/x/python`, `#!/usr/bin/env python3`, or,
/// where the path is long or has spaces, `#!/bin/sh` with `'''exec' /x/python "$0" "$@"` below it.
fn interpreter(head: &[u8]) -> Option<Interpreter> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let first = lines.next()?.strip_prefix("#!")?.trim();
    let (program, rest) = first.split_once([' ', '\t']).unwrap_or((first, ""));
    let is_python = |path: &str| {
        Path::new(path)
            .file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"python"))
    };
    if is_python(program) {
        return Some(Interpreter::Path(program.into()));
    }
    match Path::new(program).file_name()?.as_bytes() {
        b"env" => {
            let mut words = rest.split_ascii_whitespace();
            let name = words.find(|word| *word != "-S")?;
            is_python(name).then(|| Interpreter::Name(name.to_owned()))
        }
        b"sh" => {
            let line = lines.next()?.strip_prefix("'''exec' ")?;
            let python = line.strip_suffix(" \"$0\" \"$@\"")?.trim_matches('"');
            is_python(python).then(|| Interpreter::Path(python.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_python_in_one_of_four_ways() {
        let path = |path: &str| Some(Interpreter::Path(path.into()));
        for (head, expected) in [
            (
                "#!/home/airflow/.local/bin/python\nimport sys\n",
                path("/home/airflow/.local/bin/python"),
            ),
            (
                "#!/usr/python/bin/python3.12 -I\n",
                path("/usr/python/bin/python3.12"),
            ),
            (
                "#!/usr/bin/env python3\n",
                Some(Interpreter::Name("python3".to_owned())),
            ),
            (
                "#!/usr/bin/env -S python3 -u\n",
                Some(Interpreter::Name("python3".to_owned())),
            ),
            (
                "#!/bin/sh\n'''exec' \"/a b/bin/python3\" \"$0\" \"$@\"\n' '''\n",
                path("/a b/bin/python3"),
            ),
            (
                "#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n",
                path("/long/bin/python"),
            ),
            ("#!/usr/bin/env bash\nexec pyenv\n", None),
            ("#!/bin/sh\nexec python -m airflow\n", None),
            ("#!/usr/bin/perl\n", None),
            ("\u{7f}ELF", None),
            ("", None),
        ] {
            assert_eq!(interpreter(head.as_bytes()), expected, "{head}");
        }
    }
}
