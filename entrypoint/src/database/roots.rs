//! A file of RDS's root certificates for the service, whose drivers have none compiled in.

use agent::postgres::RDS_ROOTS;
use std::fs;
use std::path::{Path, PathBuf};

/// Where it may lie; the first that can be written.
const DIRECTORIES: [&str; 2] = ["/run/trimtab", "/tmp"];
const NAME: &str = "rds-roots.pem";

/// Whether a host's certificate is signed by RDS's own authorities.
pub(super) fn is_rds(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.ends_with(".rds.amazonaws.com") || host.ends_with(".rds.amazonaws.com.cn")
}

/// Writes the file.
pub(super) fn write() -> Result<PathBuf, String> {
    write_below(&DIRECTORIES.map(Path::new))
}

fn write_below(directories: &[&Path]) -> Result<PathBuf, String> {
    let mut last = String::new();
    for directory in directories {
        let path = directory.join(NAME);
        // Beside and renamed: an earlier task's file may be read at this moment.
        let partial = directory.join(format!("{NAME}.{}", std::process::id()));
        let written = fs::write(&partial, RDS_ROOTS).and_then(|()| fs::rename(&partial, &path));
        match written {
            Ok(()) => return Ok(path),
            Err(error) => last = format!("{} cannot be written: {error}", path.display()),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_that_can_be_written_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = write_below(&[Path::new("/no/such"), directory.path()]).unwrap();
        assert_eq!(path, directory.path().join(NAME));
        assert_eq!(fs::read_to_string(&path).unwrap(), RDS_ROOTS);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let refused = write_below(&[Path::new("/no/such")]).unwrap_err();
        assert!(refused.starts_with("/no/such/rds-roots.pem cannot be written"));
    }

    #[test]
    fn only_amazons_names_are_rds() {
        assert!(is_rds("a.b.eu-west-1.rds.amazonaws.com"));
        assert!(is_rds("a.rds.amazonaws.com.cn"));
        assert!(!is_rds("rds.amazonaws.com.example"));
        assert!(!is_rds("db"));
    }
}
