//! Layouts of images and environments, as small trees.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

const MAP: &str =
    "_REVISION_HEADS_MAP: dict[str, str] = {\n    \"2.8.1\": \"a\",\n    \"3.1.0\": \"b\",\n}\n";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn script(&self, path: &str, python: &str) -> &Self {
        self.file(path, &format!("#!{}\n", self.path(python).display()))
    }

    /// Airflow's files below a directory of packages.
    fn airflow(&self, packages: &str, dist: &str) -> &Self {
        let versions = format!("{packages}/airflow/migrations/versions");
        self.file(&format!("{packages}/airflow/utils/db.py"), MAP)
            .file(&format!("{versions}/__init__.py"), "")
            .file(
                &format!("{versions}/1.py"),
                "revision = 'a'\ndown_revision = None\nairflow_version = '2.8.1'\n",
            )
            .file(
                &format!("{versions}/2.py"),
                "revision = 'b'\ndown_revision = 'a'\nairflow_version = '3.1.0'\n",
            )
            .file(&format!("{packages}/{dist}.dist-info/METADATA"), "")
    }

    fn installed(&self, more: &[(&str, &str)]) -> Result<Installed, String> {
        let path = self.path("bin").into_os_string().into_string().unwrap();
        let mut pairs = vec![("PATH", path.as_str())];
        pairs.extend_from_slice(more);
        super::installed(&Variables::from_pairs(pairs))
    }
}

fn summary(found: &Installed) -> (String, Option<&str>) {
    let head = found.core.as_ref().ok().map(Revisions::head);
    (found.version.to_string(), head)
}

#[test]
fn a_virtual_environment_is_found_by_its_script() {
    let tree = Tree::new();
    tree.script("bin/airflow", "venv/bin/python")
        .file("venv/pyvenv.cfg", "home = /usr/bin\n");
    tree.airflow("venv/lib/python3.11/site-packages", "apache_airflow-2.8.4");
    // Not looked at: a Python of an environment knows no other places.
    tree.airflow("lib/python3.12/site-packages", "apache_airflow-9.9.9");
    let found = tree.installed(&[]);
    // The map names `b` since 3.1.0 only.
    assert_eq!(
        found
            .unwrap()
            .core
            .unwrap_err()
            .rsplit_once(": ")
            .unwrap()
            .1,
        "the head is a since 2.8.1, and b by the migrations"
    );

    let other = Tree::new();
    other
        .script("bin/airflow", "venv/bin/python")
        .file("venv/pyvenv.cfg", "");
    other.airflow(
        "venv/lib/python3.11/site-packages",
        "apache_airflow_core-3.1.8",
    );
    other.file(
        "venv/lib/python3.11/site-packages/apache_airflow-3.1.9.dist-info/METADATA",
        "",
    );
    let found = other.installed(&[]).unwrap();
    assert_eq!(summary(&found), ("3.1.8".to_owned(), Some("b")));
    assert_eq!(
        found.core.unwrap().release("a"),
        Some(Version::new(2, 8, 1))
    );
    assert_eq!(found.fab, None);
    assert!(!found.discovers_managers && !found.other_managers);
}

/// As in Airflow's image: a script in ~/.local/bin, its Python elsewhere, and a HOME that is another's
/// where an arbitrary user runs it.
#[test]
fn packages_beside_the_script_are_found_whoever_runs_it() {
    let tree = Tree::new();
    tree.script("home/airflow/.local/bin/airflow", "usr/python/bin/python3")
        .file("usr/python/bin/python3", "");
    tree.airflow(
        "home/airflow/.local/lib/python3.12/site-packages",
        "apache_airflow_core-3.1.8",
    );
    let path = tree.path("home/airflow/.local/bin");
    let found = tree
        .installed(&[("PATH", path.to_str().unwrap()), ("HOME", "/nonexistent")])
        .unwrap();
    assert_eq!(summary(&found), ("3.1.8".to_owned(), Some("b")));
}

#[test]
fn packages_of_the_prefix_and_of_the_user_are_found() {
    for packages in [
        "usr/lib/python3.11/site-packages",
        "usr/local/lib/python3.11/dist-packages",
        "usr/lib/python3/dist-packages",
        "user/lib/python3.11/site-packages",
    ] {
        let tree = Tree::new();
        tree.script("bin/airflow", "usr/bin/python3")
            .airflow(packages, "apache_airflow-3.1.0");
        let user = tree.path("user");
        let found = tree
            .installed(&[("PYTHONUSERBASE", user.to_str().unwrap())])
            .unwrap();
        assert_eq!(found.packages, tree.path(packages));
    }
}

#[test]
fn what_is_not_certain_is_not_known() {
    let tree = Tree::new();
    assert_eq!(
        tree.installed(&[]).unwrap_err(),
        "there is no program named airflow on PATH"
    );

    tree.file("bin/airflow", "#!/bin/sh\nexec pyenv exec airflow\n");
    assert!(
        tree.installed(&[])
            .unwrap_err()
            .ends_with("is no script of Python's")
    );

    tree.script("bin/airflow", "usr/bin/python3");
    assert!(
        tree.installed(&[])
            .unwrap_err()
            .ends_with("in an unknown place")
    );

    let packages = "usr/lib/python3.11/site-packages";
    tree.airflow(packages, "something_else-1.0.0");
    assert!(
        tree.installed(&[])
            .unwrap_err()
            .ends_with("names no release of Airflow")
    );

    tree.airflow(packages, "apache_airflow-3.1.0")
        .airflow(packages, "apache_airflow-3.1.8");
    assert!(
        tree.installed(&[])
            .unwrap_err()
            .ends_with("holds two releases of apache_airflow")
    );
}

#[test]
fn providers_that_keep_tables_are_seen() {
    let tree = Tree::new();
    let packages = "usr/lib/python3.11/site-packages";
    tree.script("bin/airflow", "usr/bin/python3")
        .airflow(packages, "apache_airflow-3.1.8");
    let fab = format!("{packages}/airflow/providers/fab");
    tree.file(
        &format!("{packages}/apache_airflow_providers_fab-3.4.0.dist-info/METADATA"),
        "",
    )
    .file(
        &format!("{fab}/auth_manager/models/db.py"),
        "_REVISION_HEADS_MAP = {'1.4.0': 'f'}\n",
    )
    .file(
        &format!("{fab}/migrations/versions/0.py"),
        "revision = 'f'\ndown_revision = None\n",
    )
    .file(
        &format!("{packages}/airflow/utils/db_manager.py"),
        "list(ProvidersManager().db_managers)\n",
    )
    .file(
        &format!("{packages}/airflow/providers/edge3/get_provider_info.py"),
        "'db-managers': []\n",
    );
    let found = tree.installed(&[]).unwrap();
    let fab = found.fab.unwrap();
    assert_eq!(
        (fab.version, fab.revisions.unwrap().head()),
        (Version::new(3, 4, 0), "f")
    );
    assert!(found.discovers_managers && found.other_managers);
}
