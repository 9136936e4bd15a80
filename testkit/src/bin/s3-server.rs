//! The fast S3 server as a program, for benches and demos.
//!
//! Prints `endpoint=http://127.0.0.1:PORT` when it is loaded and ready, and serves until SIGTERM or
//! SIGINT, or with `--until-stdin-closes` until its parent is gone.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use testkit::s3::{Operation, Options, Server};

/// A fast S3 in memory on 127.0.0.1; any credentials are let in.
#[derive(Debug, Parser)]
struct Arguments {
    /// 0: any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the buckets say that they are.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Before each answer to GetObject: `15ms`, `1s`.
    #[arg(long, value_parser = duration)]
    get_delay: Option<Duration>,
    /// Before each answer to HeadObject.
    #[arg(long, value_parser = duration)]
    head_delay: Option<Duration>,
    /// Before each answer to PutObject and UploadPart.
    #[arg(long, value_parser = duration)]
    put_delay: Option<Duration>,
    /// Before each page of a listing.
    #[arg(long, value_parser = duration)]
    list_delay: Option<Duration>,
    /// An empty bucket; may be repeated.
    #[arg(long, value_name = "BUCKET")]
    bucket: Vec<String>,
    /// Every file below DIR, as an object; may be repeated.
    #[arg(long, value_name = "DIR=s3://BUCKET/PREFIX")]
    load: Vec<Load>,
    /// COUNT objects of SIZE bytes (`4096`, `64KiB`, `50MB`), 100 to a folder; may be repeated.
    #[arg(long, value_name = "s3://BUCKET/PREFIX,COUNT,SIZE")]
    generate: Vec<Generate>,
    /// Ends when stdin does, so that it cannot outlive a parent that was killed.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// A bucket and a prefix, which ends in `/` unless it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    bucket: String,
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Load {
    directory: PathBuf,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Generate {
    target: Target,
    count: usize,
    size: usize,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (end, ended) = mpsc::channel::<()>();
    end_on_signal(end.clone())?;
    let server = Server::start_with(Options {
        port: arguments.port,
        region: arguments.region,
        history: false,
        log: false,
    })?;
    for (operation, delay) in [
        (Operation::Get, arguments.get_delay),
        (Operation::Head, arguments.head_delay),
        (Operation::Put, arguments.put_delay),
        (Operation::UploadPart, arguments.put_delay),
        (Operation::List, arguments.list_delay),
    ] {
        server.delay(operation, delay.unwrap_or_default());
    }
    for bucket in &arguments.bucket {
        server.create_bucket(bucket);
    }
    for load in &arguments.load {
        load_directory(&server, load)?;
    }
    for generate in &arguments.generate {
        generate_objects(&server, generate);
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "endpoint={}", server.endpoint())?;
    stdout.flush()?;
    if arguments.until_stdin_closes {
        std::thread::spawn(move || {
            let mut unread = [0; 1024];
            while matches!(std::io::stdin().read(&mut unread), Ok(1..)) {}
            let _ = end.send(());
        });
    }
    ended.recv().context("nobody is left to end the server")
}

fn end_on_signal(end: mpsc::Sender<()>) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _ = end.send(());
        }
    });
    Ok(())
}

fn load_directory(server: &Server, load: &Load) -> anyhow::Result<()> {
    let mut objects = Vec::new();
    collect(&load.directory, &load.target.prefix, &mut objects)?;
    server.create_bucket(&load.target.bucket);
    server.put_all(&load.target.bucket, objects);
    Ok(())
}

fn collect(
    directory: &Path,
    prefix: &str,
    objects: &mut Vec<(String, Vec<u8>)>,
) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("{} cannot be listed", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            bail!("{} has a name that is no UTF-8", entry.path().display());
        };
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), objects)?;
        } else {
            let data = std::fs::read(&path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            objects.push((format!("{prefix}{name}"), data));
        }
    }
    Ok(())
}

/// Objects whose bytes differ from each other and are the same in each run.
fn generate_objects(server: &Server, generate: &Generate) {
    let Generate {
        target,
        count,
        size,
    } = generate;
    let mut random = fastrand::Rng::with_seed(1);
    server.create_bucket(&target.bucket);
    server.put_all(
        &target.bucket,
        (0..*count).map(|index| {
            let mut data = vec![0; *size];
            random.fill(&mut data);
            (
                format!(
                    "{}d{:04}/f{:03}.py",
                    target.prefix,
                    index / 100,
                    index % 100
                ),
                data,
            )
        }),
    );
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let path = text
            .strip_prefix("s3://")
            .context("must begin with s3://")?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            bail!("must name a bucket: s3://BUCKET/PREFIX");
        }
        let prefix = prefix.trim_end_matches('/');
        let end = if prefix.is_empty() { "" } else { "/" };
        Ok(Target {
            bucket: bucket.to_owned(),
            prefix: format!("{prefix}{end}"),
        })
    }
}

impl FromStr for Load {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let at = text
            .rfind("=s3://")
            .context("must be DIR=s3://BUCKET/PREFIX")?;
        Ok(Load {
            directory: PathBuf::from(&text[..at]),
            target: text[at + 1..].parse()?,
        })
    }
}

impl FromStr for Generate {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut words = text.rsplitn(3, ',');
        let (Some(bytes), Some(count), Some(target)) = (words.next(), words.next(), words.next())
        else {
            bail!("must be s3://BUCKET/PREFIX,COUNT,SIZE");
        };
        let count = count.parse().context("COUNT must be a number")?;
        Ok(Generate {
            target: target.parse()?,
            count,
            size: size(bytes)?,
        })
    }
}

fn size(text: &str) -> anyhow::Result<usize> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit: usize = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        unit => bail!("{unit:?} is no unit: B, KB, KiB, MB, MiB"),
    };
    let number: usize = digits.parse().context("SIZE must be a number and a unit")?;
    number.checked_mul(unit).context("SIZE is too large")
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let number: u64 = digits
        .parse()
        .context("must be a number and a unit, such as 15ms")?;
    match &text[digits.len()..] {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        unit => bail!("{unit:?} is no unit: us, ms, s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused_with_a_reason() {
        let generate: Generate = "s3://b/a/dags/,20,64KiB".parse().unwrap();
        assert_eq!((generate.count, generate.size), (20, 65536));
        assert_eq!(
            generate.target,
            Target {
                bucket: "b".to_owned(),
                prefix: "a/dags/".to_owned()
            }
        );
        let load: Load = "/tmp/a=b=s3://b".parse().unwrap();
        assert_eq!(
            (load.directory.to_str(), load.target.prefix.as_str()),
            (Some("/tmp/a=b"), "")
        );
        assert_eq!(duration("15ms").unwrap(), Duration::from_millis(15));
        for (text, reason) in [
            ("s3:/b,1,1", "s3://"),
            ("s3://b,x,1", "COUNT"),
            ("s3://b,1,1GB", "unit"),
        ] {
            let error = format!("{:#}", text.parse::<Generate>().unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
