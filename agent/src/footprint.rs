//! Gives memory back that has done its work.
//!
//! Most of what is resident in an agent at rest is the program itself: pages of code and constants that
//! its start or its last burst of work touched, and that it hardly looks at again. Unmapped, they are
//! clean page cache that nobody uses, which the kernel takes first when the task comes near its limit;
//! mapped, they would compete with the service's own. The rest is heap that was freed, which glibc keeps
//! for later. See docs/adr/0023.

use nix::sys::mman::{MmapAdvise, madvise};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The pages of x86-64 and of Fargate's ARM; on a machine with larger ones the kernel refuses, and
/// nothing is given back.
const PAGE: u64 = 4096;

/// How often an agent whose turns are light lets go of what other work mapped in between.
const TIDIED_EVERY: Duration = Duration::from_secs(60);

/// When an agent that works in turns is to let go of its memory. A light turn's own pages stay: their way
/// back at the next one costs more than the turn does (1.4 ms of CPU in place of 0.7 for one GET).
#[derive(Debug, Default)]
pub struct Tidying {
    last: Option<Instant>,
}

impl Tidying {
    /// Whether [`release_memory`] is due after a turn, which was light where nothing was to be done. Says
    /// so once: what is due counts as done.
    pub fn is_due(&mut self, light: bool, now: Instant) -> bool {
        let recent = |last| now.duration_since(last) < TIDIED_EVERY;
        if light && self.last.is_some_and(recent) {
            return false;
        }
        self.last = Some(now);
        true
    }
}

/// Lets go of freed heap, and of the program's own pages that cannot change; the next one that is needed
/// is read again from the page cache, in microseconds. Where the program is not laid out as expected
/// nothing is done.
pub fn release_memory() {
    release_heap();
    release_code();
}

/// A pass over 20,000 files leaves 5 MB of small free blocks, and glibc gives back only what lies at a
/// heap's end.
fn release_heap() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "a call of the C library")]
        // SAFETY: it takes a number and touches free blocks only, under the lock of each arena.
        let _ = unsafe { nix::libc::malloc_trim(0) };
    }
}

fn release_code() {
    static CODE: OnceLock<Vec<Range<u64>>> = OnceLock::new();
    for range in CODE.get_or_init(|| constant_parts().unwrap_or_default()) {
        let Ok(length) = usize::try_from(range.end - range.start) else {
            continue;
        };
        let address = std::ptr::with_exposed_provenance_mut::<c_void>(range.start as usize);
        let Some(address) = NonNull::new(address) else {
            continue;
        };
        #[expect(unsafe_code, reason = "advice on memory is by address")]
        // SAFETY: the range lies in a segment of this program that is mapped from its file and is never
        // writable, so that no page of it differs from the file, which cannot be written while it runs
        // (ETXTBSY). A page that is dropped comes back with the same bytes at its next use. Failing
        // leaves all as it was.
        let _ = unsafe { madvise(address, length, MmapAdvise::MADV_DONTNEED) };
    }
}

/// The whole pages of each segment that is not writable, by the headers of the program's file. RELRO
/// pages are part of a writable segment.
fn constant_parts() -> io::Result<Vec<Range<u64>>> {
    let file = File::open("/proc/self/exe")?;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    let mut headers = vec![0; usize::from(short(&header, 54)) * usize::from(short(&header, 56))];
    file.read_exact_at(&mut headers, long(&header, 32))?;
    Ok(constant_segments(&header, &headers))
}

fn constant_segments(header: &[u8], headers: &[u8]) -> Vec<Range<u64>> {
    const SIXTY_FOUR_BITS_LITTLE: &[u8] = b"\x7fELF\x02\x01";
    // Addresses in the file are those in memory: a program that is loaded anywhere has another type.
    const FIXED: u16 = 2;
    const LOAD: u32 = 1;
    const WRITABLE: u32 = 2;
    let size = usize::from(short(header, 54));
    if !header.starts_with(SIXTY_FOUR_BITS_LITTLE) || short(header, 16) != FIXED || size < 56 {
        return Vec::new();
    }
    let segments = headers.chunks_exact(size);
    segments
        .filter(|segment| word(segment, 0) == LOAD && word(segment, 4) & WRITABLE == 0)
        .filter_map(|segment| {
            let (start, length) = (long(segment, 16), long(segment, 32));
            let end = start.checked_add(length)? / PAGE * PAGE;
            let start = start.next_multiple_of(PAGE);
            // Beyond its part of the file a segment is zeros of its own.
            (long(segment, 40) == length && start < end).then_some(start..end)
        })
        .collect()
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..at + N);
    found
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_kilobytes(kind: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(kind));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    #[test]
    fn what_is_let_go_is_less_resident_and_runs_on() {
        // Read once, so that there is something to let go of.
        for part in constant_parts().unwrap() {
            for page in part.step_by(4096) {
                let address = std::ptr::with_exposed_provenance::<u8>(page as usize);
                #[expect(unsafe_code, reason = "touches a page of the program")]
                // SAFETY: the page is mapped and readable for as long as the program runs.
                let byte = unsafe { address.read_volatile() };
                std::hint::black_box(byte);
            }
        }
        let before = resident_kilobytes("RssFile:");
        release_code();
        let after = resident_kilobytes("RssFile:");
        assert!(after < before / 2, "{before} kB, then {after} kB");
        assert_eq!("still here".to_uppercase(), "STILL HERE");
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn heap_that_was_freed_below_what_is_in_use_is_given_back() {
        let mut blocks: Vec<Box<[u8; 1000]>> = (0..30_000).map(|_| Box::new([1; 1000])).collect();
        let last = blocks.pop();
        drop(blocks);
        let before = resident_kilobytes("RssAnon:");
        release_heap();
        let after = resident_kilobytes("RssAnon:");
        assert!(after + 20_000 < before, "{before} kB, then {after} kB");
        assert_eq!(last.unwrap()[999], 1);
    }

    #[test]
    fn after_work_memory_is_let_go_at_once_and_after_light_turns_now_and_then() {
        let (start, mut tidying) = (Instant::now(), Tidying::default());
        for (second, light, due) in [
            (0, true, true),
            (1, true, false),
            (2, false, true),
            (3, false, true),
            (4, true, false),
            (62, true, false),
            (63, true, true),
            (64, true, false),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(tidying.is_due(light, now), due, "second {second}");
        }
    }

    #[test]
    fn only_whole_pages_of_segments_that_never_change_are_let_go() {
        let segment = |flags: u32, start: u64, length: u64, memory: u64| {
            let mut bytes = vec![0; 56];
            bytes[..4].copy_from_slice(&1_u32.to_le_bytes());
            bytes[4..8].copy_from_slice(&flags.to_le_bytes());
            bytes[16..24].copy_from_slice(&start.to_le_bytes());
            bytes[32..40].copy_from_slice(&length.to_le_bytes());
            bytes[40..48].copy_from_slice(&memory.to_le_bytes());
            bytes
        };
        let mut header = vec![0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[16] = 2;
        header[54] = 56;
        for (flags, start, length, memory, found) in [
            (5, 0x1000, 0x2000, 0x2000, Some(0x1000..0x3000)),
            (4, 0x1234, 0x2000, 0x2000, Some(0x2000..0x3000)),
            (6, 0x1000, 0x2000, 0x2000, None),
            (4, 0x1000, 0x2000, 0x3000, None),
            (4, 0x1100, 0x0800, 0x0800, None),
            (4, u64::MAX - 8, 0x2000, 0x2000, None),
        ] {
            let parts = constant_segments(&header, &segment(flags, start, length, memory));
            assert_eq!(parts, found.into_iter().collect::<Vec<_>>(), "{start:#x}");
        }
        header[16] = 3;
        assert!(constant_segments(&header, &segment(5, 0x1000, 0x2000, 0x2000)).is_empty());
        assert!(constant_segments(b"short", b"").is_empty());
    }
}
