//! The layout `generations`: each set that settles becomes a complete tree beside the earlier ones, and
//! one small file says which counts.
//!
//! The in-place engine works on a tree of its own in the state directory. After a pass a generation is
//! made of what is managed there: links in staging, made durable, renamed to `DEST/generations/ID`;
//! then `DEST/current` is replaced. A file is published into the tree as a new inode, so the files of a
//! generation never change. What should be current is in the manifest before anything of it is made,
//! so a writer that begins can finish what the last one left.

mod check;
mod home;
mod keep;
mod land;
pub mod layout;
mod make;
mod picture;
mod reign;
mod remove;

pub use check::{Depth, check};
pub use home::{CURRENT, GENERATIONS, Home};
pub use keep::{Keep, Kept, removable};
pub use land::{How, Landed, Place, Unlanded, land};
pub use make::{HardLinks, Link, Made};
pub use picture::{Picture, Piece};
pub(crate) use reign::Reign;
