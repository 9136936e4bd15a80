//! Somebody or something writes into the directory itself.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use anyhow::ensure;

use crate::narrator::Narrator;
use crate::world::World;

pub(super) fn tell(world: &mut World, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("A local file corrupted")?;
    let path = "orders_daily.py";
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(world.dest.join(path))?;
    let modified = file.metadata()?.modified()?;
    let mut byte = [0];
    ensure!(
        file.read_at(&mut byte, 100)? == 1,
        "{path} is shorter than 100 bytes"
    );
    let start = Instant::now();
    file.write_all_at(&[byte[0] ^ 1], 100)?;
    // The worst case for what compares sizes and times: both as they were.
    file.set_modified(modified)?;
    drop(file);
    narrator.say(&format!(
        "One bit of {path} is another; its size and its mtime are as before."
    ))?;
    let time = world.until_equal(start)?;
    narrator.measured(
        time,
        "local damage repaired",
        "the scrub saw it and brought the right bytes back",
    )
}
