//! Real Airflows from PyPI, pinned, with their bytecode compiled; and a stand-in for tests that are
//! about what is done with Airflow and not about Airflow.
//!
//! Root keeps them below `/var/cache/trimtab`, because its home is closed to the user that Airflow is
//! to run as ([`UID`]); everybody else below the home directory.

mod stand_in;

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::process::Program;
use crate::venv::{self, Venv};
pub use stand_in::{Call, StandIn};

const UV: &str = include_str!("../requirements/uv.txt");

/// The user that Airflow's own image has, with group 0.
pub const UID: u32 = 50_000;

/// The Python that all of these releases know; another than the system's may lie where other users
/// can't execute it.
const PYTHON: &str = "/usr/bin/python3.11";

/// A release that can be installed, with the Celery, Redis, Postgres and (3.x) FAB providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// 2.8.4
    V2_8,
    /// 3.0.6
    V3_0,
    /// 3.1.8
    V3_1,
    /// 3.3.2
    V3_3,
}

impl Release {
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Release::V2_8 => (
                "airflow-2.8",
                include_str!("../requirements/airflow-2.8.txt"),
            ),
            Release::V3_0 => (
                "airflow-3.0",
                include_str!("../requirements/airflow-3.0.txt"),
            ),
            Release::V3_1 => (
                "airflow-3.1",
                include_str!("../requirements/airflow-3.1.txt"),
            ),
            Release::V3_3 => (
                "airflow-3.3",
                include_str!("../requirements/airflow-3.3.txt"),
            ),
        }
    }
}

/// An Airflow that is installed.
#[derive(Clone, Debug)]
pub struct Airflow {
    root: PathBuf,
}

impl Airflow {
    /// That release. The first call installs it, in half a minute, under a lock; later ones find it.
    ///
    /// # Panics
    /// When it cannot be installed.
    pub fn of(release: Release) -> Airflow {
        match install(release) {
            Ok(root) => Airflow { root },
            Err(error) => panic!("Airflow {release:?} cannot be installed: {error:#}"),
        }
    }

    /// Its directory of programs, for PATH.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Its directory of packages.
    pub fn packages(&self) -> PathBuf {
        self.root.join("lib/python3.11/site-packages")
    }

    /// `airflow`, with a home of its own and nothing else but PATH.
    pub fn program(&self, home: &Path) -> Program {
        unprivileged(self.bin().join("airflow"))
            .env("PATH", format!("{}:/usr/bin:/bin", self.bin().display()))
            .env("HOME", home)
            // Airflow wants a name, and the machine may have none for this user.
            .env("USER", "airflow")
            .env("AIRFLOW_HOME", home)
            .env("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    }
}

/// A program that runs as user [`UID`] and group 0 where the test is root's, else as who we are.
pub fn unprivileged(program: impl AsRef<Path>) -> Program {
    if !rustix::process::geteuid().is_root() {
        return Program::new(program);
    }
    Program::new("/usr/bin/setpriv")
        .args([format!("--reuid={UID}"), "--regid=0".to_owned()])
        .args(["--clear-groups", "--"])
        .arg(program.as_ref())
}

/// A directory that [`unprivileged`] programs may write to.
pub fn writable(directory: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let made = fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o777)));
    match made {
        Ok(()) => directory.to_owned(),
        Err(error) => panic!("{} cannot be made: {error}", directory.display()),
    }
}

fn install(release: Release) -> anyhow::Result<PathBuf> {
    let (name, requirements) = release.parts();
    let cache = if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/cache/trimtab")
    } else {
        venv::cache_directory()?
    };
    fs::create_dir_all(&cache).with_context(|| format!("{} cannot be made", cache.display()))?;
    let mut hasher = DefaultHasher::new();
    (requirements, UV).hash(&mut hasher);
    let root = cache.join(format!("{name}-{:016x}", hasher.finish()));
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    // Written last, so that an installation that was interrupted is made anew.
    let complete = root.join("complete");
    if complete.exists() && root.join("bin/python").exists() {
        return Ok(root);
    }
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    let uv = Venv::make("uv", UV)?.program("uv");
    let uv = uv.to_str().context("a path that is no UTF-8")?;
    let path = root.to_str().context("a path that is no UTF-8")?;
    let python = format!("{path}/bin/python");
    let wanted = if Path::new(PYTHON).exists() {
        PYTHON
    } else {
        "3.11"
    };
    venv::run(uv, &["venv", "--quiet", "--python", wanted, path])?;
    let list = root.join("requirements.txt");
    fs::write(&list, requirements)?;
    let list = list.to_str().context("a path that is no UTF-8")?;
    let packages = ["pip", "install", "--quiet", "--no-deps", "--link-mode=copy"];
    venv::run(
        uv,
        &[&packages[..], &["--python", &python, "-r", list]].concat(),
    )?;
    // Without bytecode each command takes 7 to 9 s instead of 3, and who can't write here never gets it.
    // A file that does not compile, for another Python, is no failure.
    let lib = format!("{path}/lib");
    let compiled = venv::run(&python, &["-m", "compileall", "-q", "-j2", &lib]);
    if let Err(error) = compiled {
        eprintln!("{error:#}");
    }
    fs::write(&complete, requirements)?;
    Ok(root)
}
