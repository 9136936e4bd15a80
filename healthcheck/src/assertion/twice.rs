//! Whether a key that an assertion asks for was there before, in the same object.
//!
//! Readers of JSON differ in which of two equal keys they take, so a document that has both answers
//! two questions with yes. All keys that any path went through are remembered by a hash of the way to
//! them; that two ways share one is an unhealthy answer in 2^64.

use super::LONGEST_PATH;

/// What a table of this size takes is every member of an object of 100 under one `*`.
const MOST: usize = 128;

#[derive(Debug)]
#[repr(C)]
pub(super) struct Seen {
    count: usize,
    /// Of the key under way.
    hash: u64,
    /// To the key on each level that was asked for last; nothing leads to the document itself.
    way: [u64; LONGEST_PATH + 1],
    ways: [u64; MOST],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    First,
    Again,
    TooMany,
}

impl Seen {
    pub(super) const fn new() -> Self {
        Self {
            ways: [0; MOST],
            count: 0,
            hash: 0,
            way: [0; LONGEST_PATH + 1],
        }
    }

    pub(super) fn key_begins(&mut self) {
        self.hash = BASIS;
    }

    pub(super) fn key_byte(&mut self, byte: u8) {
        self.hash = mixed(self.hash, byte.into());
    }

    /// The key that ended, on this level, is asked for; so were those above it.
    #[expect(clippy::manual_contains, reason = "that has 64 bytes more")]
    pub(super) fn key(&mut self, depth: usize) -> Sighting {
        let above = self
            .way
            .get(depth.wrapping_sub(1))
            .copied()
            .unwrap_or_default();
        let way = mixed(mixed(above, self.hash), depth as u64);
        if let Some(place) = self.way.get_mut(depth) {
            *place = way;
        }
        let ways = self.ways.get(..self.count).unwrap_or_default();
        if ways.iter().any(|&seen| seen == way) {
            return Sighting::Again;
        }
        let Some(place) = self.ways.get_mut(self.count) else {
            return Sighting::TooMany;
        };
        *place = way;
        self.count += 1;
        Sighting::First
    }
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, over words too.
fn mixed(hash: u64, with: u64) -> u64 {
    (hash ^ with)
        .wrapping_mul(0x0000_0100_0000_01b3)
        .rotate_left(23)
}
