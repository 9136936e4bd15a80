//! The story, in order.

mod deletes;
mod first_sync;
mod kill;
mod local_damage;
mod updates;

use anyhow::Context as _;

use crate::narrator::Narrator;
use crate::world::{SOURCE, World};

/// Tells all of it.
///
/// # Errors
/// At the first thing that is not as promised.
pub(crate) fn tell(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator
        .line("s3sync keeps a directory equal to an S3 prefix: a DAG folder, in half a minute.")?;
    narrator.line(&format!(
        "The S3 is a server in this process ({}), s3sync is the real program.",
        world.server.endpoint()
    ))?;
    first_sync::tell(world, narrator)?;
    updates::same_size(world, narrator)?;
    updates::ten_as_one(world, narrator)?;
    deletes::one(world, narrator)?;
    deletes::emptied(world, narrator)?;
    local_damage::tell(world, narrator)?;
    kill::tell(world, narrator)?;
    end(world, narrator)
}

fn end(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("The end: SIGTERM")?;
    let time = world.stop_syncer()?;
    narrator.measured(
        time,
        "end after SIGTERM",
        "s3sync ended by itself, with exit 0",
    )?;
    let dest = world
        .dest
        .to_str()
        .context("the temporary directory has an odd name")?;
    world
        .run("verify", [SOURCE, dest])
        .context("the directory differs from the prefix at the end")?;
    narrator.holds("`s3sync verify` hashed every file: all equal to their objects")
}
