//! Paths, and what is there.

use super::arch::{call, number};
use super::{Error, nanoseconds};
use crate::duration::Nanoseconds;
use crate::text::has;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is a regular file.
    pub is_file: bool,
    /// When it was modified, in nanoseconds since 1970.
    pub modified: Nanoseconds,
}

/// A path as the kernel takes it.
#[derive(Debug)]
pub struct Path([u8; Path::CAPACITY]);

impl Path {
    const CAPACITY: usize = 1_024;

    /// Nothing yet.
    pub const EMPTY: Self = Self([0; Self::CAPACITY]);

    /// Becomes this path, in place; false where it is too long or holds a NUL, which would end it early.
    pub fn set(&mut self, path: &[u8]) -> bool {
        for (place, &byte) in self.0.iter_mut().zip(path) {
            *place = byte;
        }
        path.len() < Self::CAPACITY && !has(path, 0)
    }

    /// What is there, by following symbolic links, without opening it.
    ///
    /// # Errors
    /// As statx(2).
    pub fn entry(&self) -> Result<Entry, Error> {
        statx(CURRENT_DIRECTORY, self.pointer(), 0)
    }

    pub(super) fn pointer(&self) -> usize {
        self.0.as_ptr().expose_provenance()
    }
}

pub(super) const CURRENT_DIRECTORY: usize = -100_isize as usize;

pub(super) fn statx(directory: usize, path: usize, flags: usize) -> Result<Entry, Error> {
    const STATX_TYPE: usize = 0x1;
    const STATX_MTIME: usize = 0x40;
    const S_IFMT: u16 = 0o170000;
    const S_IFREG: u16 = 0o100000;
    // struct statx: the mode at byte 28, the time of modification at 112.
    let mut found = [0_u64; 32];
    let arguments = [
        directory,
        path,
        flags,
        STATX_TYPE | STATX_MTIME,
        (&raw mut found).expose_provenance(),
    ];
    // SAFETY: both callers' paths end with NUL; the kernel writes 256 bytes to `found`.
    Error::check(unsafe { call(number::STATX, arguments) })?;
    let mode = found[3].to_ne_bytes();
    let mode = u16::from_ne_bytes([mode[4], mode[5]]);
    let fraction = found[15].to_ne_bytes();
    let fraction = u32::from_ne_bytes([fraction[0], fraction[1], fraction[2], fraction[3]]);
    Ok(Entry {
        is_file: mode & S_IFMT == S_IFREG,
        modified: nanoseconds(found[14] as i64, fraction.into()),
    })
}
