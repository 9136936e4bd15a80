//! Files that change.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use crate::narrator::{Narrator, seconds};
use crate::set_reader::{Member, SetReader};
use crate::tree::Tree;
use crate::world::World;

/// Holds `RELEASE = "2025.1"`.
const RELEASE_FILE: &str = "common/__init__.py";
/// How far apart the files of the set are uploaded, as a client with some latency does.
const UPLOAD_PACE: Duration = Duration::from_millis(40);
/// Beyond this it is no burst any more, whatever else the machine does.
const SPREAD_LIMIT: Duration = Duration::from_millis(250);

/// An edit that leaves the size as it was: `aws s3 sync` compares sizes and times and can miss it.
pub(super) fn same_size(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("An edit that keeps the size")?;
    let before = std::fs::metadata(world.dest.join(RELEASE_FILE))?;
    let old = text(&world.dags, RELEASE_FILE)?;
    let new = old.replace("2025.1", "2025.2");
    ensure!(
        new != old && new.len() == old.len(),
        "{RELEASE_FILE} does not hold the release 2025.1 any more"
    );
    narrator.say(&format!(
        "{RELEASE_FILE}: \"2025.1\" becomes \"2025.2\", {} bytes as before.",
        new.len()
    ))?;
    let start = Instant::now();
    world.put(RELEASE_FILE, new);
    let time = world.until_equal(start)?;
    narrator.measured(
        time,
        "same-size edit, upload to disk",
        "the new bytes are on disk",
    )?;
    let after = std::fs::metadata(world.dest.join(RELEASE_FILE))?;
    ensure!(
        (after.mtime(), after.size()) != (before.mtime(), before.size()),
        "{RELEASE_FILE} kept the second of its mtime and its size: Python would run old bytecode"
    );
    narrator.holds("its mtime is in another second, so Python does not run stale bytecode")
}

/// A release of ten files: a reader must never work with half of it.
pub(super) fn ten_as_one(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("Ten files uploaded as one set")?;
    let wanted = world.wanted();
    let set: Vec<(String, Bytes, Bytes)> = wanted
        .iter()
        .filter(|(path, _)| path.ends_with(".py"))
        .take(10)
        .map(|(path, old)| {
            let new = [old, b"\n# Part of release 2025.3.\n".as_slice()].concat();
            (path.clone(), old.clone(), Bytes::from(new))
        })
        .collect();
    ensure!(set.len() == 10, "the DAG folder has fewer than ten modules");
    let reader = SetReader::start(
        set.iter()
            .map(|(path, old, new)| Member {
                path: world.dest.join(path),
                old: old.clone(),
                new: new.clone(),
            })
            .collect(),
    );
    world.until("the reader looks", Instant::now(), |_| {
        match reader.looks() {
            0 => Ok(Err("no look yet".to_owned())),
            _ => Ok(Ok(())),
        }
    })?;
    let upload = Instant::now();
    for (path, _, new) in &set {
        world.put(path, new.clone());
        // No wait for anything: this is the pace of the upload that the story tells of.
        std::thread::sleep(UPLOAD_PACE);
    }
    narrator.say(&format!(
        "One after the other, in {}, while a reader reads all ten in a loop.",
        seconds(upload.elapsed())
    ))?;
    let start = Instant::now();
    let ((), time) = world.until("the reader sees the whole set", start, |_| {
        Ok(if reader.done() {
            Ok(())
        } else {
            Err("an old file is left".to_owned())
        })
    })?;
    let seen = reader.finish()?;
    world.until_equal(start)?;
    ensure!(
        seen.spread <= SPREAD_LIMIT,
        "the ten files appeared over {}; a set must change within {}",
        seconds(seen.spread),
        seconds(SPREAD_LIMIT)
    );
    narrator.measured(
        time,
        "ten files, last upload to disk",
        "all ten are on disk",
    )?;
    narrator.measured(
        seen.spread,
        "ten files, first to last appearance",
        &format!(
            "from the first to the last: {} of {} looks fell in between, none saw a torn file",
            seen.mixed, seen.looks
        ),
    )
}

fn text(files: &Tree, path: &str) -> anyhow::Result<String> {
    let bytes = files
        .get(path)
        .with_context(|| format!("the DAG folder has no {path}"))?;
    String::from_utf8(bytes.to_vec()).with_context(|| format!("{path} is no text"))
}
