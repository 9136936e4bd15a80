//! Other people's clients against the fast server.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::fs::Picture;
use testkit::process::{Finished, Program};
use testkit::s3::{Operation, PutOptions, Server, Sse};
use testkit::venv::Venv;

const DEADLINE: Duration = Duration::from_secs(120);
/// Beyond every client's threshold for multipart uploads.
const LARGE: usize = 17 << 20;

struct Bench {
    s3: Server,
    venv: Venv,
    directory: tempfile::TempDir,
}

impl Bench {
    /// A server with some 1,100 objects, odd names among them, and a directory to upload.
    fn new() -> Bench {
        let s3 = Server::start_blocking();
        s3.put_all(
            "source",
            (0..1100).map(|index| {
                (
                    format!("dags/d{:02}/f{index:04}.py", index % 20),
                    format!("x = {index}"),
                )
            }),
        );
        s3.put("source", "dags/a b+c/é&.sql", "select 1");
        s3.put("source", "dags/empty", "");
        s3.put("source", "dags-old/not.this", "x");
        // Apart, because rclone takes any ETag of 32 digits for an MD5.
        let sse = Sse::Kms;
        s3.put_with(
            "kms",
            "secret",
            "x",
            PutOptions {
                sse,
                ..PutOptions::default()
            },
        );
        let parts = Some(vec![8 << 20, 8 << 20]);
        s3.put_with(
            "source",
            "dags/large",
            large(),
            PutOptions {
                parts,
                ..PutOptions::default()
            },
        );
        s3.create_bucket("target");
        let directory = tempfile::tempdir().unwrap();
        let up = directory.path().join("up");
        std::fs::create_dir_all(up.join("a b+c")).unwrap();
        std::fs::write(up.join("a b+c/é&.sql"), "select 1").unwrap();
        std::fs::write(up.join("empty"), "").unwrap();
        std::fs::write(up.join("large"), large()).unwrap();
        Bench {
            s3,
            venv: Venv::clients().unwrap(),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Finished {
        let finished = Program::new(self.venv.program(program))
            .args(arguments.iter().copied())
            .inherit(&["PATH"])
            .envs(self.s3.environment())
            .env("HOME", self.directory.path())
            .env("S3_ENDPOINT_URL", self.s3.endpoint())
            .directory(self.directory.path())
            .run(DEADLINE);
        assert_eq!(
            finished.code, 0,
            "{program} {arguments:?}\n{}{}",
            finished.stdout, finished.stderr
        );
        finished
    }

    /// What is below `dags/` in the source must be in the directory, byte for byte.
    fn check_download(&self, directory: &Path) {
        let files = Picture::of(directory).files();
        let objects = self.s3.objects("source");
        let expected = objects
            .iter()
            .filter_map(|(key, data)| Some((key.strip_prefix("dags/")?, data)));
        let mut count = 0;
        for (path, data) in expected {
            let file = files
                .get(path)
                .unwrap_or_else(|| panic!("{path} is missing"));
            assert!(file == data, "{path} differs");
            count += 1;
        }
        assert_eq!(files.len(), count);
    }

    /// The target must hold the directory, byte for byte.
    fn check_upload(&self, directory: &Path) {
        let files = Picture::of(directory).files();
        let objects = self.s3.objects("target");
        assert_eq!(
            objects.keys().collect::<Vec<_>>(),
            files.keys().collect::<Vec<_>>()
        );
        assert!(
            files.iter().all(|(path, data)| objects[path] == data),
            "bytes differ"
        );
        let etag = self.s3.etag("target", "large").unwrap();
        assert!(etag.contains('-'), "the large file came in parts: {etag}");
    }
}

fn large() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut data = vec![0; LARGE];
    random.fill(&mut data);
    data
}

#[test]
fn the_aws_cli_downloads_uploads_lists_and_deletes() {
    let bench = Bench::new();
    bench.run(
        "aws",
        &[
            "s3",
            "sync",
            "--only-show-errors",
            "s3://source/dags",
            "down",
        ],
    );
    bench.check_download(&bench.path("down"));
    bench.run(
        "aws",
        &["s3", "sync", "--only-show-errors", "up", "s3://target"],
    );
    bench.check_upload(&bench.path("up"));
    bench.s3.reset_requests();
    bench.run(
        "aws",
        &[
            "s3",
            "sync",
            "--only-show-errors",
            "--size-only",
            "s3://source/dags",
            "down",
        ],
    );
    assert_eq!(
        bench.s3.counts().into_iter().collect::<Vec<_>>(),
        [(Operation::List, 2)],
        "nothing has changed"
    );
    let listed = bench.run("aws", &["s3", "ls", "s3://source/"]).stdout;
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["PRE", "dags-old/", "PRE", "dags/"]
    );
    bench.run(
        "aws",
        &[
            "s3",
            "cp",
            "--only-show-errors",
            "s3://source/dags/large",
            "s3://target/copied",
        ],
    );
    assert_eq!(bench.s3.get("target", "copied").unwrap(), large());
    bench.run(
        "aws",
        &[
            "s3",
            "rm",
            "--only-show-errors",
            "--recursive",
            "s3://target",
        ],
    );
    assert!(bench.s3.objects("target").is_empty());
    bench.run(
        "aws",
        &[
            "s3",
            "cp",
            "--only-show-errors",
            "s3://kms/secret",
            "secret",
        ],
    );
    assert_eq!(std::fs::read(bench.path("secret")).unwrap(), b"x");
    bench.run("aws", &["s3", "mb", "s3://made"]);
    bench.run("aws", &["s3", "rb", "s3://made"]);
}

#[test]
fn s5cmd_downloads_uploads_and_lists() {
    let bench = Bench::new();
    bench.run("s5cmd", &["sync", "s3://source/dags/*", "down/"]);
    bench.check_download(&bench.path("down"));
    bench.run(
        "s5cmd",
        &["sync", "--part-size", "8", "up/", "s3://target/"],
    );
    bench.check_upload(&bench.path("up"));
    assert!(
        bench
            .run("s5cmd", &["ls", "s3://source/dags/"])
            .stdout
            .contains("large")
    );
    bench.run("s5cmd", &["rm", "s3://target/*"]);
    assert!(bench.s3.objects("target").is_empty());
}

#[test]
fn rclone_downloads_uploads_and_compares() {
    let bench = Bench::new();
    let options = format!(
        ":s3,provider=Other,env_auth=true,endpoint='{}',upload_cutoff=8Mi,no_check_bucket=true:",
        bench.s3.endpoint()
    );
    let (source, target) = (format!("{options}source/dags"), format!("{options}target"));
    bench.run(
        "rclone",
        &["--config", "", "sync", "--checksum", &source, "down"],
    );
    bench.check_download(&bench.path("down"));
    bench.run("rclone", &["--config", "", "sync", "up", &target]);
    bench.check_upload(&bench.path("up"));
    bench.run(
        "rclone",
        &["--config", "", "check", "--download", "up", &target],
    );
    bench.run("rclone", &["--config", "", "purge", &target]);
    assert!(bench.s3.objects("target").is_empty());
}
