//! The files of a server: a cluster made once on a machine and copied for each test.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::as_server_user;
use crate::process::Program;

/// initdb runs a second of work, on a machine that may be building.
const MAKING: Duration = Duration::from_secs(120);
/// The superuser's password in each cluster: it guards nothing but a test's data on loopback.
const PASSWORD: &str = "superuser-of-a-test";
/// Fast and forgetful, and a log that tells who connected and what they asked.
const SETTINGS: &str = "
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 60
shared_buffers = 16MB
min_wal_size = 2MB
max_wal_size = 64MB
dynamic_shared_memory_type = posix
autovacuum = off
unix_socket_directories = ''
listen_addresses = '127.0.0.1'
password_encryption = 'scram-sha-256'
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
log_line_prefix = '%m pid=%p app=%a user=%u db=%d state=%e '
log_connections = on
log_disconnections = on
log_statement = 'all'
log_timezone = 'UTC'
timezone = 'UTC'
include 'testkit.conf'
";

/// A cluster's directory; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Cluster {
    root: tempfile::TempDir,
    programs: PathBuf,
    owner: (u32, u32),
}

impl Cluster {
    pub(super) fn make() -> anyhow::Result<Cluster> {
        let programs = programs()?;
        let template = template(&programs)?;
        let root = tempfile::Builder::new().prefix("postgres").tempdir()?;
        // The server's user goes through it.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        let data = root.path().join("data");
        run(&Program::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(template.as_os_str())
            .arg(data.as_os_str())
            .inherit(&["PATH"]))?;
        let metadata = fs::metadata(&data)?;
        Ok(Cluster {
            root,
            programs,
            owner: (metadata.uid(), metadata.gid()),
        })
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.file("data")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn programs(&self) -> &Path {
        &self.programs
    }

    pub(super) fn password(&self) -> &'static str {
        PASSWORD
    }

    pub(super) fn server(&self, port: u16) -> Program {
        as_server_user(&self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data().into_os_string())
            .args(["-p", &port.to_string()])
    }

    /// A file in the data directory, the server's own.
    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        let written = fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
            .and_then(|()| chown(&path, Some(self.owner.0), Some(self.owner.1)));
        if let Err(error) = written {
            panic!("{} cannot be written: {error}", path.display());
        }
    }

    /// A file beside it, for everybody.
    pub(super) fn write_beside(&self, name: &str, text: &str) {
        if let Err(error) = fs::write(self.file(name), text) {
            panic!("{name} cannot be written: {error}");
        }
    }
}

/// Debian's PostgreSQL is not on the PATH; 15 is what the design names, a later one will do.
fn programs() -> anyhow::Result<PathBuf> {
    let debian = PathBuf::from("/usr/lib/postgresql/15/bin");
    if debian.join("initdb").exists() {
        return Ok(debian);
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.retain(|(_, path)| path.join("initdb").exists());
    versions.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    };
    match versions.pop() {
        Some((_, path)) => Ok(path),
        None => on_path().context("there is no PostgreSQL here; `make deps` installs it"),
    }
}

/// The cluster that is copied, made under a lock by whoever comes first.
fn template(programs: &Path) -> anyhow::Result<PathBuf> {
    let cache = crate::venv::cache_directory()?;
    fs::create_dir_all(&cache).with_context(|| format!("{} cannot be made", cache.display()))?;
    // What it is made of is its name, so that a change here makes another.
    let version = run(&Program::new(programs.join("postgres")).arg("--version"))?;
    let user = rustix::process::geteuid().as_raw();
    let mut hash = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&(version, user, SETTINGS, PASSWORD), &mut hash);
    let name = format!("postgres-{:016x}", std::hash::Hasher::finish(&hash));
    let lock = fs::File::create(cache.join("postgres.lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let template = cache.join(name);
    if template.exists() {
        return Ok(template);
    }
    let work = tempfile::Builder::new().prefix("initdb").tempdir()?;
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o777))?;
    let data = work.path().join("data");
    let password = work.path().join("password");
    fs::write(&password, PASSWORD)?;
    run(&as_server_user(&programs.join("initdb"))
        .arg("--pgdata")
        .arg(data.as_os_str())
        .arg("--pwfile")
        .arg(password.as_os_str())
        .args(["--username", super::SUPERUSER, "--auth", "scram-sha-256"])
        .args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--wal-segsize=1",
        ]))?;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(data.join("postgresql.conf"))?;
    file.write_all(SETTINGS.as_bytes())?;
    // Copied beside and renamed, so that a copy that was interrupted is not taken for a whole one.
    let partial = cache.join("postgres.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    run(&Program::new("cp")
        .arg("-a")
        .arg(data.as_os_str())
        .arg(partial.as_os_str())
        .inherit(&["PATH"]))?;
    fs::rename(&partial, &template)?;
    Ok(template)
}

fn run(program: &Program) -> anyhow::Result<String> {
    let finished = program.run(MAKING);
    if finished.code != 0 {
        bail!(
            "{program:?} ended with {}:\n{}",
            finished.code,
            finished.stderr
        );
    }
    Ok(finished.stdout)
}
