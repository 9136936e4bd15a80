//! Python environments with pinned packages, made once below the home directory's cache.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// moto and boto3.
const MOTO: &str = include_str!("../requirements/moto.txt");
/// Other people's S3 clients.
const CLIENTS: &str = include_str!("../requirements/clients.txt");

/// An environment that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Venv {
    root: PathBuf,
}

impl Venv {
    /// moto's server, and boto3.
    ///
    /// # Errors
    /// As [`Venv::make`].
    pub fn moto() -> anyhow::Result<Venv> {
        Venv::make("moto", MOTO)
    }

    /// `aws`, `s5cmd` and `rclone`.
    ///
    /// # Errors
    /// As [`Venv::make`].
    pub fn clients() -> anyhow::Result<Venv> {
        Venv::make("clients", CLIENTS)
    }

    /// An environment with exactly these requirements, one `name==version` a line; the first call
    /// makes it, under a lock, and all later ones find it. A list that changed is another
    /// environment.
    ///
    /// # Errors
    /// When there is no usable Python, or a package cannot be had.
    pub fn make(name: &str, requirements: &str) -> anyhow::Result<Venv> {
        let cache = cache_directory()?;
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("{} cannot be made", cache.display()))?;
        let mut hasher = DefaultHasher::new();
        requirements.hash(&mut hasher);
        let root = cache.join(format!("{name}-{:016x}", hasher.finish()));
        let lock = File::create(cache.join(format!("{name}.lock")))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
        let venv = Venv { root };
        // Written last, so that an installation that was interrupted is made anew.
        let complete = venv.root.join("complete");
        if complete.exists() && venv.python().exists() {
            return Ok(venv);
        }
        if venv.root.exists() {
            std::fs::remove_dir_all(&venv.root)?;
        }
        venv.install(requirements)?;
        std::fs::write(&complete, requirements)?;
        Ok(venv)
    }

    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.program("python")
    }

    /// A program that one of its packages brought.
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    fn install(&self, requirements: &str) -> anyhow::Result<()> {
        let root = path_text(&self.root)?;
        let python = path_text(&self.python())?;
        let list = self.root.join("requirements.txt");
        let uv = run("uv", &["--version"]).is_ok();
        let made = if uv {
            run("uv", &["venv", "--quiet", &root])
        } else {
            run("python3", &["-m", "venv", &root])
        };
        // Debian's python3 has no ensurepip without python3-venv; its own pip can do the work, if
        // there is one.
        let pip_inside = made.is_ok();
        made.or_else(|_| {
            run(
                "python3",
                &["-m", "venv", "--clear", "--without-pip", &root],
            )
        })
        .with_context(
            || "no Python environment can be made; on Debian: apt install python3 python3-venv",
        )?;
        std::fs::write(&list, requirements)?;
        let list = path_text(&list)?;
        let packages = ["install", "--quiet", "--no-deps", "-r", &list];
        let installed = match (uv, pip_inside) {
            (true, _) => run(
                "uv",
                &[&["pip"], &packages[..], &["--python", &python]].concat(),
            ),
            (false, true) => run(
                &python,
                &[&["-m", "pip", "--disable-pip-version-check"], &packages[..]].concat(),
            ),
            (false, false) => run(
                "python3",
                &[&["-m", "pip", "--python", &python], &packages[..]].concat(),
            ),
        };
        installed.with_context(|| {
            format!(
                "the packages of {list} cannot be installed; on Debian: apt install python3-venv"
            )
        })
    }
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        let written = [output.stdout, output.stderr].concat();
        bail!(
            "{program} {} ended with {}:\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&written)
        );
    }
    Ok(())
}

/// Where things are kept that are made once on a machine.
pub(crate) fn cache_directory() -> anyhow::Result<PathBuf> {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => bail!("neither XDG_CACHE_HOME nor HOME is set: nowhere to keep what is made once"),
    };
    Ok(cache.join("trimtab"))
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is no UTF-8", path.display()))?;
    Ok(text.to_owned())
}
