//! `kill -9` in the middle of a burst of changes, and the restart.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use testkit::s3::Operation;

use crate::narrator::Narrator;
use crate::tree::Tree;
use crate::world::World;

/// Files that change at once.
const FILES: usize = 300;
/// A burst of renames takes milliseconds: a kill that came after it is tried again so often.
const ATTEMPTS: usize = 4;

pub(super) fn tell(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("kill -9 in the middle of a burst, and the restart")?;
    let start = Instant::now();
    world.put_all(&round(0));
    let time = world.until_equal(start)?;
    narrator.measured(
        time,
        "300 more files",
        &format!("{FILES} generated DAGs have landed"),
    )?;
    while_fetching(world, narrator)?;
    while_renaming(world, narrator)?;
    nothing_staged(world, narrator)
}

/// All files change; the kill comes when half of them are fetched.
fn while_fetching(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    // As far away as S3 is, so that there is a middle.
    world
        .server
        .delay(Operation::Get, Duration::from_millis(15));
    let fetched = world.server.count(Operation::Get);
    world.put_all(&round(1));
    let half = fetched + FILES as u64 / 2;
    world.until("half of the files are fetched", Instant::now(), |world| {
        let now = world.server.count(Operation::Get);
        Ok(if now >= half {
            Ok(())
        } else {
            Err(format!("{now} of {half} requests"))
        })
    })?;
    world.kill_syncer()?;
    world.server.delay(Operation::Get, Duration::ZERO);
    let changed = whole(world, 1)?;
    narrator.say(&format!(
        "All {FILES} change; killed while they are fetched:"
    ))?;
    narrator.holds(&format!(
        "{changed} of {FILES} files are new, every file is whole"
    ))?;
    restart(world, narrator, "restart after kill -9 while fetching")
}

/// All files change again; the kill comes as soon as one of them is seen to.
fn while_renaming(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.say("All change again; killed as soon as a reader sees the first new file:")?;
    for attempt in 1..=ATTEMPTS {
        let number = attempt + 1;
        let files = round(number);
        let sizes: Vec<_> = files
            .iter()
            .map(|(path, bytes)| (world.dest.join(path), bytes.len() as u64))
            .collect();
        world.put_all(&files);
        let new = |(path, size): &(std::path::PathBuf, u64)| {
            std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == *size)
        };
        // Several looks for one of the deadline's: milliseconds decide here.
        world.until("the first new file", Instant::now(), |_| {
            let seen = (0..50).any(|_| sizes.iter().any(new));
            Ok(if seen {
                Ok(())
            } else {
                Err("all are old".to_owned())
            })
        })?;
        world.kill_syncer()?;
        let changed = whole(world, number)?;
        if changed < FILES || attempt == ATTEMPTS {
            narrator.holds(&format!(
                "{changed} of {FILES} files are new, every file is whole"
            ))?;
            return restart(world, narrator, "restart after kill -9 while renaming");
        }
        // All were there before the kill: once more.
        world.start_syncer()?;
        world.until_equal(Instant::now())?;
    }
    Ok(())
}

/// While nobody syncs, S3 goes on changing; then s3sync is started again.
fn restart(world: &mut World, narrator: &mut Narrator, what: &str) -> anyhow::Result<()> {
    world.put(
        "generated/report_000.py",
        format!("# Changed while nobody looked: {what}.\n"),
    );
    let start = Instant::now();
    world.start_syncer()?;
    let time = world.until_equal(start)?;
    narrator.measured(time, what, "started again: equal to S3, byte for byte")
}

/// Every file is byte for byte a version that S3 held; says how many of the round's are new.
fn whole(world: &World, number: usize) -> anyhow::Result<usize> {
    let found = world.found()?;
    for path in world.wanted().keys() {
        ensure!(found.contains_key(path), "{path} is gone after the kill");
    }
    for (path, bytes) in &found {
        ensure!(
            world.versions(path).contains(bytes),
            "{path} holds {} bytes after the kill that S3 never held",
            bytes.len()
        );
    }
    let new = round(number);
    Ok(new
        .iter()
        .filter(|(path, bytes)| found.get(*path) == Some(bytes))
        .count())
}

/// What the killed processes had staged is gone.
fn nothing_staged(world: &mut World, narrator: &Narrator) -> anyhow::Result<()> {
    let staging = world.dest.join(".s3sync/staging");
    world.until("an empty staging directory", Instant::now(), |_| {
        let left = files_below(&staging)?;
        Ok(if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} staged files are left"))
        })
    })?;
    narrator.holds("nothing that the killed processes had staged is left")
}

/// The running writer has a directory of its own there; what counts is what lies in it.
fn files_below(directory: &Path) -> anyhow::Result<usize> {
    let mut files = 0;
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let entry = entry?;
        files += match entry.file_type()?.is_dir() {
            true => files_below(&entry.path())?,
            false => 1,
        };
    }
    Ok(files)
}

/// The generated files of a round; each round's have sizes of their own.
fn round(number: usize) -> Tree {
    (0..FILES)
        .map(|index| {
            let rows = format!("ROWS.append(({index}, {number}))\n").repeat(20 + index % 40);
            let text = format!(
                "\"\"\"Report {index}, round {number}.\"\"\"\n\nROWS = []\n{rows}# {}\n",
                "=".repeat(number)
            );
            (format!("generated/report_{index:03}.py"), Bytes::from(text))
        })
        .collect()
}
