//! An empty directory becomes the DAG folder.

use std::time::Instant;

use anyhow::Context as _;

use crate::narrator::Narrator;
use crate::tree;
use crate::world::World;

pub(super) fn tell(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("First sync")?;
    let files = world.dags.clone();
    world.put_all(&files);
    narrator.say(&format!(
        "{} files are in S3; the directory is empty.",
        files.len()
    ))?;
    let start = Instant::now();
    let command = world.start_syncer()?;
    narrator.command(&command)?;
    let time = world.until_equal(start)?;
    narrator.measured(
        time,
        "first sync, from the start of the process",
        &format!(
            "{} files, {} KiB, every byte read and compared",
            files.len(),
            tree::size(&files).div_ceil(1024)
        ),
    )?;
    same_revision(world, narrator)?;
    // As Airflow does when it imports a module; nothing that s3sync does may touch it.
    let cache = world.dest.join("common/__pycache__");
    std::fs::create_dir(&cache)?;
    std::fs::write(cache.join("paths.cpython-311.pyc"), "bytecode")?;
    Ok(())
}

/// CI can say which upload is live: the digest of its checkout is in the status file.
fn same_revision(world: &mut World, narrator: &Narrator) -> anyhow::Result<()> {
    let folder = world.dags_folder.to_string_lossy().into_owned();
    let digest = world.run("digest", [folder.as_str()])?;
    let answered = digest
        .split_whitespace()
        .next()
        .context("`s3sync digest` printed nothing")?;
    // The files are there a moment before the pass that brought them has ended.
    let what = format!("revision {answered} in the status file");
    let (revision, _) = world.until(&what, Instant::now(), |world| {
        let detail = world.detail();
        Ok(detail["revision"]
            .as_str()
            .filter(|revision| *revision == answered)
            .map(str::to_owned)
            .ok_or_else(|| format!("detail is {detail}")))
    })?;
    narrator.holds(&format!(
        "revision {} in the status file, and from `s3sync digest {folder}`",
        revision.get(..12).unwrap_or(&revision)
    ))
}
