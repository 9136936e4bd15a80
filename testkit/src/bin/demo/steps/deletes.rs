//! Files that go, meant or not.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use testkit::s3::Operation;

use crate::narrator::Narrator;
use crate::tree;
use crate::world::{BUCKET, SOURCE, World};

/// Listings that must pass while the deletes are held: time enough to do the wrong thing.
const LISTINGS_WHILE_HELD: u64 = 2;

/// One file is deleted in S3.
pub(super) fn one(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("A delete")?;
    let path = "revenue_report.py";
    let start = Instant::now();
    ensure!(world.delete(path), "the DAG folder has no {path}");
    narrator.say(&format!("{path} is deleted in S3."))?;
    let time = world.until_equal(start)?;
    narrator.measured(
        time,
        "delete, S3 to disk",
        "it is gone, and every other file is as it was",
    )
}

/// The whole prefix is deleted by mistake, the deletes are held, and a person releases them.
pub(super) fn emptied(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("The prefix emptied by mistake")?;
    let before = world.wanted();
    let start = Instant::now();
    let count = world.server.delete_prefix(BUCKET, "dags/");
    narrator.say(&format!(
        "All {count} objects are gone; `aws s3 sync --delete` would empty the directory."
    ))?;
    let (id, time) = world.until("the deletes are held", start, |world| {
        // No wait for the deadline when the worst has happened.
        let left = world.found()?.len();
        ensure!(
            left == before.len(),
            "{} of {} files went unasked",
            before.len().saturating_sub(left),
            before.len()
        );
        let detail = world.detail();
        let held = &detail["held"];
        Ok(match (held["id"].as_str(), held["count"].as_u64()) {
            (Some(id), Some(held)) if held == count as u64 => Ok(id.to_owned()),
            _ => Err(format!("held is {held} instead of {count} deletes")),
        })
    })?;
    let listings = world.server.count(Operation::List) + LISTINGS_WHILE_HELD;
    world.until("further listings", Instant::now(), |world| {
        let now = world.server.count(Operation::List);
        Ok(if now >= listings {
            Ok(())
        } else {
            Err(format!("{now} of {listings}"))
        })
    })?;
    if let Some(difference) = tree::difference(&before, &world.found()?) {
        anyhow::bail!("with held deletes the directory must stay as it was; {difference}");
    }
    narrator.measured(
        time,
        "emptied prefix noticed and held",
        &format!("{count} deletes held as {id}; two listings later all files are still whole"),
    )?;
    approve(world, narrator, &id)?;
    let start = Instant::now();
    world.put_all(&before);
    narrator.say("Not what one wanted after all: the files are uploaded again.")?;
    let time = world.until_equal(start)?;
    narrator.measured(
        time,
        "uploaded again",
        &format!("{} files are back", before.len()),
    )
}

fn approve(world: &mut World, narrator: &mut Narrator, id: &str) -> anyhow::Result<()> {
    narrator.command(&format!("s3sync approve {SOURCE} {id}"))?;
    let start = Instant::now();
    world.run("approve", [SOURCE, id])?;
    let ((), time) = world.until("the approved deletes are done", start, |world| {
        let found = world.found()?;
        Ok(match found.keys().next() {
            None => Ok(()),
            Some(path) => Err(format!("{} files are left, {path} first", found.len())),
        })
    })?;
    let cache = world.dest.join("common/__pycache__/paths.cpython-311.pyc");
    let kept = std::fs::read(&cache).with_context(|| format!("{} must stay", cache.display()))?;
    ensure!(kept == b"bytecode", "{} was changed", cache.display());
    narrator.measured(
        time,
        "held deletes approved, to disk",
        "now they went; what s3sync did not write, as Python's caches, stays",
    )
}
