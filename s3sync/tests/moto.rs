//! The program against moto, another project's S3: what the in-memory server says of S3 may be wrong in
//! the same way as the program is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use testkit::fs::Picture;
use testkit::moto::Moto;
use testkit::process::{Finished, Program};

const DEADLINE: Duration = Duration::from_secs(60);

/// A bucket of its own at moto, and a DEST.
struct Bench {
    moto: &'static Moto,
    bucket: &'static str,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(bucket: &'static str) -> Self {
        let moto = Moto::shared();
        moto.create_bucket(bucket);
        Bench {
            moto,
            bucket,
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn source(&self) -> String {
        format!("s3://{}/dags", self.bucket)
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let program = Program::new(env!("CARGO_BIN_EXE_s3sync")).args(arguments.iter().copied());
        program
            .envs(self.moto.environment())
            .directory(self.directory.path())
    }

    /// A command between source and DEST, with these arguments after them; it must end with `code`.
    fn run(&self, command: &str, arguments: &[&str], code: i32) -> Finished {
        let source = self.source();
        let program = self
            .program(&[command, &source, "dest"])
            .args(arguments.iter().copied());
        let program = match command {
            "once" | "watch" => program.args(["--status-file", "status.json"]),
            _ => program,
        };
        let finished = program.run(DEADLINE);
        assert_eq!(
            finished.code, code,
            "{command}: {}{}",
            finished.stdout, finished.stderr
        );
        finished
    }

    fn once(&self, code: i32) -> serde_json::Value {
        let finished = self.run("once", &["--output", "json"], code);
        serde_json::from_str(&finished.stdout).expect("a report")
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        self.moto.put(self.bucket, &format!("dags/{path}"), bytes);
    }

    fn delete(&self, path: &str) {
        self.moto.delete(self.bucket, &format!("dags/{path}"));
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        Picture::of(self.directory.path().join("dest"))
            .without(".s3sync")
            .files()
    }

    /// `plan` has nothing to do, `verify` finds no difference, and `digest` says what `revision` says.
    fn all_agree(&self, revision: &str) {
        self.run("plan", &[], 0);
        self.run("verify", &[], 0);
        let digest = self.program(&["digest", "dest"]).run(DEADLINE);
        assert_eq!(
            (digest.code, digest.stdout.trim()),
            (0, revision),
            "{}",
            digest.stderr
        );
    }
}

/// Same size, two parts, other bytes each time: the argument is the byte.
const MULTIPART: &str = r#"
import boto3, sys
from boto3.s3.transfer import TransferConfig
import io
mebi = 1024 * 1024
config = TransferConfig(multipart_threshold=5 * mebi, multipart_chunksize=5 * mebi)
s3 = boto3.client('s3')
s3.upload_fileobj(io.BytesIO(sys.argv[2].encode() * 6 * mebi), sys.argv[1], 'dags/large.bin', Config=config)
print('"' + s3.head_object(Bucket=sys.argv[1], Key='dags/large.bin')['ETag'].strip('"') + '"')
"#;

#[test]
fn once_takes_in_uploads_edits_and_deletes() {
    let bench = Bench::new("once-bucket");
    for (path, text) in [
        ("a.py", "x = 1\n"),
        ("sub/b.py", "y = 1\n"),
        ("empty", ""),
        ("gone.py", "z = 1\n"),
    ] {
        bench.put(path, text.as_bytes());
    }
    bench.moto.put(bench.bucket, "dags-old/x.py", b"not mine");
    let etag: String = bench.moto.json(MULTIPART, &[bench.bucket, "1"]);
    assert!(
        etag.ends_with("-2"),
        "boto3 made a multipart object: {etag}"
    );
    bench.run("plan", &[], 1);
    let report = bench.once(0);
    assert_eq!(
        (report["added"].as_u64(), report["listed"].as_u64()),
        (Some(5), Some(5)),
        "{report}"
    );
    assert_eq!(bench.files()["large.bin"], vec![b'1'; 6 << 20]);
    bench.all_agree(report["revision"].as_str().expect("a revision"));

    bench.put("a.py", b"x = 2\n");
    bench.delete("gone.py");
    let again: String = bench.moto.json(MULTIPART, &[bench.bucket, "2"]);
    assert_ne!(again, etag);
    bench.run("plan", &[], 1);
    bench.run("verify", &[], 1);
    let report = bench.once(0);
    assert_eq!(
        (report["updated"].as_u64(), report["deleted"].as_u64()),
        (Some(2), Some(1)),
        "{report}"
    );
    let files = bench.files();
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["a.py", "empty", "large.bin", "sub/b.py"]
    );
    assert_eq!(
        (&*files["a.py"], files["large.bin"] == vec![b'2'; 6 << 20]),
        (&b"x = 2\n"[..], true)
    );
    bench.all_agree(report["revision"].as_str().expect("a revision"));
    assert_eq!(bench.once(0)["unchanged"], 4);
}

/// s3s-fs, the server that other tools are tested with, mangles `+`.
#[test]
fn odd_keys_arrive_under_their_own_names() {
    let bench = Bench::new("odd-keys");
    let paths = [
        "a+b.py",
        "a b.py",
        "a%20b.py",
        "a%2Bb.py",
        "日本/é.py",
        "e\u{301}.py",
        "&<>\"'.py",
        "~$!*().py",
        "=?#;,:@.py",
        "\u{1f600}",
    ];
    paths
        .iter()
        .for_each(|path| bench.put(path, path.as_bytes()));
    let report = bench.once(0);
    assert_eq!(
        report["added"].as_u64(),
        Some(paths.len() as u64),
        "{report}"
    );
    let wanted: BTreeMap<_, _> = paths
        .iter()
        .map(|path| (path.to_string(), path.as_bytes().to_vec()))
        .collect();
    assert_eq!(bench.files(), wanted);
    bench.all_agree(report["revision"].as_str().expect("a revision"));
}

#[test]
fn more_keys_than_a_page_are_all_there() {
    const UPLOAD: &str = "import boto3, sys\n\
        from concurrent.futures import ThreadPoolExecutor\n\
        s3 = boto3.client('s3')\n\
        put = lambda n: s3.put_object(Bucket=sys.argv[1], Key=f'dags/d{n % 10}/f{n}.py', Body=b'x = %d' % n)\n\
        list(ThreadPoolExecutor(4).map(put, range(1100)))";
    let bench = Bench::new("many-keys");
    bench.moto.python(UPLOAD, &[bench.bucket]);
    assert_eq!(bench.once(0)["added"], 1_100);
    assert_eq!(bench.files().len(), 1_100);
    assert_eq!(bench.once(0)["unchanged"], 1_100);
}

#[test]
fn watch_takes_in_a_change() {
    let bench = Bench::new("watched");
    bench.put("a.py", b"x = 1\n");
    let source = bench.source();
    let arguments = [
        "watch",
        &source,
        "dest",
        "--interval",
        "300ms",
        "--settle",
        "100ms",
        "--status-file",
        "status.json",
    ];
    let mut watch = bench.program(&arguments).spawn();
    let at = |path: &str| bench.directory.path().join("dest").join(path);
    let holds =
        |path: &Path, text: &str| std::fs::read_to_string(path).is_ok_and(|found| found == text);
    testkit::until(DEADLINE, "the first version", || {
        holds(&at("a.py"), "x = 1\n")
    });
    bench.put("a.py", b"x = 2\n");
    bench.put("b.py", b"y = 1\n");
    testkit::until(DEADLINE, "the change", || {
        holds(&at("a.py"), "x = 2\n") && at("b.py").exists()
    });
    bench.delete("b.py");
    testkit::until(DEADLINE, "the delete", || !at("b.py").exists());
    watch.signal(testkit::process::Signal::TERM);
    assert_eq!(watch.exit_code(DEADLINE), 0, "{}", watch.stderr());
}

#[test]
fn approve_writes_the_key_that_releases_the_deletes() {
    let bench = Bench::new("approved");
    bench.put("a.py", b"x = 1\n");
    bench.put("b.py", b"y = 1\n");
    bench.once(0);
    bench.delete("a.py");
    bench.delete("b.py");
    assert_eq!(bench.once(1)["held_deletes"], 2);
    let plan = bench.run("plan", &[], 1).stdout;
    let id = plan.split_whitespace().last().expect("an ID").to_string();
    let source = bench.source();
    let approved = bench.program(&["approve", &source, &id]).run(DEADLINE);
    assert_eq!(approved.code, 0, "{}", approved.stderr);
    assert_eq!(
        bench.moto.keys(bench.bucket, ""),
        [format!("dags/.s3sync/approve/{id}")]
    );
    assert_eq!(bench.once(0)["deleted"], 2);
    assert!(bench.files().is_empty());
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let bench = Bench::new("some-bucket");
    let finished = bench
        .program(&[
            "once",
            "s3://no-such-bucket/dags",
            "dest",
            "--status-file",
            "status.json",
        ])
        .run(DEADLINE);
    assert_eq!(finished.code, 65);
    assert!(
        finished.stderr.contains("no-such-bucket"),
        "{}",
        finished.stderr
    );
}
