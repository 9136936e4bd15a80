//! Who this process is: umask, group, and a home for a user that has no entry in `/etc/passwd`.
//!
//! As Airflow's own image does it for platforms that run a container as an arbitrary user in group 0.

use crate::variables::{Source, Variables};
use nix::sys::stat::Mode;
use nix::unistd;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// What others in group 0 may write: another user of the same volume must be able to go on.
const UMASK: Mode = Mode::S_IWOTH;

/// The image's own name for its user's home, and its default.
const HOME_VARIABLE: &str = "AIRFLOW_USER_HOME_DIR";
const HOME: &str = "/home/airflow";

/// Airflow's own user in its image, which may run in a group of its own.
const AIRFLOW_USER: u32 = 50_000;

/// Sets the umask and what the service's environment needs for this user; `/etc/passwd` only where
/// `may_write`. Gives back what is odd, a line each.
pub fn prepare(variables: &mut Variables, may_write: bool) -> Vec<String> {
    nix::sys::stat::umask(UMASK);
    // The image sets it for its own build; in a service it breaks virtual environments.
    variables.remove("PIP_USER");
    let (user, group) = (unistd::geteuid().as_raw(), unistd::getegid().as_raw());
    let home = variables.text(HOME_VARIABLE).unwrap_or(HOME).to_owned();
    // Outside Airflow's image nothing lies in its home, and nobody's user is to be moved there.
    let in_image = Path::new(&home).is_dir();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if !has_entry(&passwd, user) {
        let name = variables.text("USER_NAME").unwrap_or("default").to_owned();
        name_user(variables, &name);
        if in_image {
            if may_write {
                add_entry(&entry(&name, user, &home));
            }
            let source = Source::Built("no entry in /etc/passwd");
            variables.set("HOME", home.clone(), source);
        }
    }
    if !in_image {
        return Vec::new();
    }
    if user == 0 {
        add_python_path(variables, Path::new(&home));
    }
    odd(user, group)
}

/// Python asks these first for who it runs as; Airflow ends where nobody can tell.
fn name_user(variables: &mut Variables, name: &str) {
    for variable in ["LOGNAME", "USER"] {
        if variables.text(variable).is_none() {
            let source = Source::Built("no entry in /etc/passwd");
            variables.set(variable, name.to_owned(), source);
        }
    }
}

/// Whether the text of `/etc/passwd` knows a user.
fn has_entry(passwd: &str, user: u32) -> bool {
    let number = |line: &str| line.split(':').nth(2).and_then(|field| field.parse().ok());
    passwd.lines().any(|line| number(line) == Some(user))
}

fn entry(name: &str, user: u32, home: &str) -> String {
    let plain = |text: &str| text.replace([':', '\n'], "_");
    let (name, home) = (plain(name), plain(home));
    format!("{name}:x:{user}:0:{name} user:{home}:/sbin/nologin\n")
}

fn add_entry(entry: &str) {
    let file = fs::OpenOptions::new().append(true).open("/etc/passwd");
    // A read-only root file system has no room for it: HOME is then all that there is, as in the image.
    if let Ok(mut file) = file {
        let _ = file.write_all(entry.as_bytes());
    }
}

/// Airflow is installed for its own user: root's Python would not find it.
fn add_python_path(variables: &mut Variables, home: &Path) {
    let Ok(versions) = fs::read_dir(home.join(".local/lib")) else {
        return;
    };
    let packages = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
        .find(|path| path.is_dir());
    if let Some(packages) = packages {
        let before = variables.text("PYTHONPATH").unwrap_or_default();
        let path = format!("{}:{before}", packages.display());
        variables.set("PYTHONPATH", path, Source::Built("root"));
    }
}

fn odd(user: u32, group: u32) -> Vec<String> {
    let mut warnings = Vec::new();
    if user == 0 {
        warnings.push("the container runs as root: run it as 50000:0".to_owned());
    }
    if group != 0 && user != AIRFLOW_USER {
        warnings.push(format!(
            "the container runs with group {group}: Airflow's image expects group 0, run it as {user}:0"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_number_only() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nairflow:x:50000:0:first last,,,:/home/airflow:/bin/bash\nbroken\n";
        for (user, known) in [(0, true), (50_000, true), (1234, false), (5, false)] {
            assert_eq!(has_entry(passwd, user), known, "{user}");
        }
        let line = entry("default", 1234, "/home/airflow");
        assert_eq!(
            line,
            "default:x:1234:0:default user:/home/airflow:/sbin/nologin\n"
        );
        assert!(has_entry(&line, 1234));
        assert!(entry("a:0:b\nroot", 7, "/").starts_with("a_0_b_root:x:7:0:"));
    }

    #[test]
    fn a_user_without_an_entry_gets_a_name_unless_there_is_one() {
        let mut variables = Variables::from_pairs([("USER", "mine"), ("LOGNAME", "")]);
        name_user(&mut variables, "default");
        assert_eq!(variables.text("USER"), Some("mine"));
        assert_eq!(variables.text("LOGNAME"), Some("default"));
    }

    #[test]
    fn another_group_than_0_is_said_but_for_airflows_own_user() {
        for (user, group, lines) in [
            (50_000, 0, 0),
            (1234, 0, 0),
            (50_000, 50_000, 0),
            (1234, 1234, 1),
            (0, 0, 1),
        ] {
            assert_eq!(odd(user, group).len(), lines, "{user}:{group}");
        }
    }
}
