//! What Airflow is installed, known without starting Python.

pub mod config;
pub mod expand;
pub mod heads;
mod ini;
mod layout;
pub mod version;

use crate::command;
use crate::variables::Variables;
use heads::Revisions;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use version::Version;

/// An Airflow that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The program that was found on PATH.
    pub program: PathBuf,
    /// The directory with its packages.
    pub packages: PathBuf,
    /// Its release: of apache-airflow-core where that is a package of its own (3.0 on).
    pub version: Version,
    /// Its migrations; or, in one line, why they are not known.
    pub core: Result<Revisions, String>,
    /// The FAB provider, in Airflow 3.x, where it has migrations of its own.
    pub fab: Option<Fab>,
    /// Whether it migrates for every installed provider that keeps tables, whatever the auth manager
    /// (seen in 3.3), and not for the auth manager's alone.
    pub discovers_managers: bool,
    /// Whether a provider other than FAB keeps tables with migrations of their own.
    pub other_managers: bool,
}

/// The FAB provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fab {
    /// Its release.
    pub version: Version,
    /// Its migrations; or, in one line, why they are not known.
    pub revisions: Result<Revisions, String>,
}

/// Looks for the Airflow that `airflow` on the PATH of `variables` would start.
///
/// # Errors
/// One line: there is no `airflow`, or it lies in none of the places that are known. Only Airflow
/// itself can answer then.
pub fn installed(variables: &Variables) -> Result<Installed, String> {
    let path = variables
        .raw("PATH")
        .unwrap_or(OsStr::new(command::DEFAULT_PATH));
    let program = command::find(OsStr::new("airflow"), Some(path), command::is_program)
        .ok_or("there is no program named airflow on PATH")?;
    let user_base = variables.raw("PYTHONUSERBASE").map(PathBuf::from);
    let home = || Some(PathBuf::from(variables.raw("HOME")?).join(".local"));
    let places = layout::packages(
        &program,
        path,
        variables.raw("PYTHONPATH"),
        user_base.or_else(home).as_deref(),
    )?;
    let packages = places
        .iter()
        .find(|place| place.join("airflow/migrations/versions").is_dir())
        .ok_or_else(|| format!("{} has its packages in an unknown place", program.display()))?;

    let core = release(packages, "apache_airflow_core")?;
    let whole = release(packages, "apache_airflow")?;
    let version = core
        .or(whole)
        .ok_or_else(|| format!("{} names no release of Airflow", packages.display()))?;
    let airflow = packages.join("airflow");
    let revisions = Revisions::read(
        &airflow.join("migrations/versions"),
        &airflow.join("utils/db.py"),
        version,
    );
    Ok(Installed {
        core: revisions,
        fab: if version.major < 3 {
            None
        } else {
            fab(&places)?
        },
        discovers_managers: mentions(
            &airflow.join("utils/db_manager.py"),
            "ProvidersManager().db_managers",
        ),
        other_managers: other_managers(&places),
        packages: packages.clone(),
        version,
        program,
    })
}

fn fab(places: &[PathBuf]) -> Result<Option<Fab>, String> {
    for place in places {
        let root = place.join("airflow/providers/fab");
        let Some(version) = release(place, "apache_airflow_providers_fab")? else {
            continue;
        };
        let map = root.join("auth_manager/models/db.py");
        // Releases before 1.4 have no tables of their own.
        return Ok(map.is_file().then(|| Fab {
            version,
            revisions: Revisions::read(&root.join("migrations/versions"), &map, version),
        }));
    }
    Ok(None)
}

/// The only other provider of Airflow's own that keeps tables is the edge executor's.
fn other_managers(places: &[PathBuf]) -> bool {
    let edge = |place: &PathBuf| place.join("airflow/providers/edge3/get_provider_info.py");
    places
        .iter()
        .any(|place| mentions(&edge(place), "db-managers"))
}

fn mentions(file: &Path, what: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(what))
}

/// The release of a package by its `NAME-RELEASE.dist-info`; none where it is not there.
fn release(packages: &Path, name: &str) -> Result<Option<Version>, String> {
    let unreadable = |error| format!("{} cannot be read: {error}", packages.display());
    let entries = match fs::read_dir(packages) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = None;
    for entry in entries {
        let file = entry.map_err(unreadable)?.file_name();
        let Some(version) = file.to_str().and_then(|file| {
            let (package, version) = file.strip_suffix(".dist-info")?.split_once('-')?;
            (package == name).then(|| version.parse::<Version>().ok())?
        }) else {
            continue;
        };
        // An upgrade that broke off leaves two: which one runs, only Python knows.
        if found.replace(version).is_some_and(|other| other != version) {
            return Err(format!(
                "{} holds two releases of {name}",
                packages.display()
            ));
        }
    }
    Ok(found)
}

#[cfg(test)]
#[path = "installed_tests.rs"]
mod tests;
