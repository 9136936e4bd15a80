//! Whether Python must compile Airflow again at each start.

use super::finding::{Finding, Level};
use crate::variables::Variables;
use nix::unistd::{AccessFlags, access};
use std::path::Path;

/// A warning where Airflow's modules have no compiled bytecode and none can be kept: each command then
/// takes 7 to 9 s instead of 3. `package` is the directory of the package `airflow`.
pub(super) fn check(package: &Path, variables: &Variables) -> Option<Finding> {
    if variables.text("PYTHONPYCACHEPREFIX").is_some() || is_compiled(package) {
        return None;
    }
    let never = variables.text("PYTHONDONTWRITEBYTECODE").is_some();
    if !never && access(package, AccessFlags::W_OK).is_ok() {
        return None;
    }
    let why = format!(
        "is not set, and {} has no compiled bytecode and can't get any: each start takes twice as long, so run python -m compileall when the image is built, or set it to a directory that can be written",
        package.display()
    );
    Some(Finding::new(Level::Warning, "PYTHONPYCACHEPREFIX", why))
}

fn is_compiled(package: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(package.join("__pycache__")) else {
        return false;
    };
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names.any(|name| Path::new(&name).extension().is_some_and(|end| end == "pyc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytecode_is_missed_only_where_it_can_never_come() {
        let directory = tempfile::tempdir().unwrap();
        let package = directory.path();
        // Root may write anywhere, so that a variable stands for the read-only image here.
        let never = Variables::from_pairs([("PYTHONDONTWRITEBYTECODE", "1")]);
        let elsewhere = Variables::from_pairs([
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONPYCACHEPREFIX", "/tmp/p"),
        ]);
        assert!(check(package, &never).is_some());
        assert_eq!(check(package, &Variables::default()), None);
        assert_eq!(check(package, &elsewhere), None);
        std::fs::create_dir(package.join("__pycache__")).unwrap();
        assert!(check(package, &never).is_some());
        std::fs::write(package.join("__pycache__/x.cpython-312.pyc"), "").unwrap();
        assert_eq!(check(package, &never), None);
    }
}
