//! The system calls that a check needs, and nothing else of the machine.
//!
//! They are made directly. The `rustix` crate would do as well on its own, but cargo builds a crate
//! once for a whole workspace with everybody's features: with `rustix/std`, which other members need, a
//! freestanding program does not link (docs/adr, "healthcheck makes its own system calls").
//!
//! Each function passes only pointers to live memory of the length that it says, so all are safe to
//! call. `unsafe` is here and in `start`, and nowhere else.
#![expect(
    unsafe_code,
    reason = "a system call is an instruction that Rust does not have"
)]

#[cfg_attr(target_arch = "x86_64", path = "system/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "system/aarch64.rs")]
mod arch;
mod error;

use core::net::IpAddr;

use crate::duration::{Nanoseconds, SECOND};

use crate::text::has;

use self::arch::{call, number};
pub use self::error::Error;

/// What a descriptor becomes ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// `POLLIN`
    Read,
    /// `POLLOUT`
    Write,
}

/// Which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The time of day.
    Realtime,
    /// Never set.
    Monotonic,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is a regular file.
    pub is_file: bool,
    /// When it was modified, in nanoseconds since 1970.
    pub modified: Nanoseconds,
}

/// An open file or socket, closed when dropped.
#[derive(Debug)]
pub struct Descriptor(i32);

const SIGALRM: usize = 14;

impl Descriptor {
    /// A TCP socket whose calls do not wait.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn socket(address: IpAddr) -> Result<Self, Error> {
        const SOCK_STREAM: usize = 1;
        const SOCK_NONBLOCK: usize = 0o4000;
        const SOCK_CLOEXEC: usize = 0o2000000;
        let kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
        // SAFETY: no pointers.
        let socket = unsafe { call(number::SOCKET, [family(address).into(), kind, 0, 0, 0, 0]) };
        Error::check(socket).map(|descriptor| Self(descriptor as i32))
    }

    /// Begins to connect; [`Error::IN_PROGRESS`] where it has to be waited for.
    ///
    /// # Errors
    /// The connection is refused, or not there yet.
    pub fn connect(&self, address: IpAddr, port: u16) -> Result<(), Error> {
        let (name, length) = socket_address(address, port);
        // SAFETY: `name` has at least `length` bytes, and lives until the call returns.
        let done = unsafe {
            call(
                number::CONNECT,
                [
                    self.raw(),
                    name.as_ptr().expose_provenance(),
                    length,
                    0,
                    0,
                    0,
                ],
            )
        };
        Error::check(done).map(drop)
    }

    /// How the connection that was waited for ended.
    ///
    /// # Errors
    /// It was refused.
    pub fn connected(&self) -> Result<(), Error> {
        const SOL_SOCKET: usize = 1;
        const SO_ERROR: usize = 4;
        let (mut error, mut length) = (0_i32, size_of::<i32>() as u32);
        let (error_at, length_at) = (&raw mut error, &raw mut length);
        // SAFETY: the kernel writes at most `length` bytes to `error`, and `length` itself.
        let done = unsafe {
            let arguments = [
                self.raw(),
                SOL_SOCKET,
                SO_ERROR,
                error_at.expose_provenance(),
                length_at.expose_provenance(),
                0,
            ];
            call(number::GETSOCKOPT, arguments)
        };
        Error::check(done)?;
        if error == 0 {
            Ok(())
        } else {
            Err(Error::from_raw(error))
        }
    }

    /// Sends what the socket takes at once.
    ///
    /// # Errors
    /// The connection is gone, or takes nothing yet: [`Error::AGAIN`].
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        // A peer that is gone must be an error and not a signal.
        const MSG_NOSIGNAL: usize = 0x4000;
        let arguments = [
            self.raw(),
            bytes.as_ptr().expose_provenance(),
            bytes.len(),
            MSG_NOSIGNAL,
            0,
            0,
        ];
        // SAFETY: the kernel reads `bytes`, which lives until the call returns.
        Error::check(unsafe { call(number::SENDTO, arguments) })
    }

    /// Receives what is there; 0 at the end.
    ///
    /// # Errors
    /// The connection is gone, or has nothing yet: [`Error::AGAIN`].
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let arguments = [
            self.raw(),
            buffer.as_mut_ptr().expose_provenance(),
            buffer.len(),
            0,
            0,
            0,
        ];
        // SAFETY: the kernel writes within `buffer`, which is borrowed until the call returns.
        Error::check(unsafe { call(number::RECVFROM, arguments) })
    }

    /// Opens a file for reading. A FIFO without a writer does not hold it up.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path) -> Result<Self, Error> {
        const O_NOCTTY: usize = 0o400;
        const O_NONBLOCK: usize = 0o4000;
        const O_CLOEXEC: usize = 0o2000000;
        let flags = O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
        // SAFETY: a path ends with NUL, and lives until the call returns.
        let opened = unsafe {
            call(
                number::OPENAT,
                [CURRENT_DIRECTORY, path.pointer(), flags, 0, 0, 0],
            )
        };
        Error::check(opened).map(|descriptor| Self(descriptor as i32))
    }

    /// Reads on; 0 at the end.
    ///
    /// # Errors
    /// As read(2).
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let arguments = [
            self.raw(),
            buffer.as_mut_ptr().expose_provenance(),
            buffer.len(),
            0,
            0,
            0,
        ];
        // SAFETY: the kernel writes within `buffer`, which is borrowed until the call returns.
        Error::check(unsafe { call(number::READ, arguments) })
    }

    /// What was opened.
    ///
    /// # Errors
    /// As statx(2).
    pub fn entry(&self) -> Result<Entry, Error> {
        const AT_EMPTY_PATH: usize = 0x1000;
        statx(self.raw(), c"".as_ptr().expose_provenance(), AT_EMPTY_PATH)
    }

    /// Waits until the socket is ready, or for so long; whether it is.
    ///
    /// # Errors
    /// As ppoll(2).
    pub fn wait(&self, readiness: Readiness, at_most: Nanoseconds) -> Result<bool, Error> {
        Ok(poll(self.0, readiness, at_most)? != 0)
    }

    fn raw(&self) -> usize {
        self.0 as usize
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: no pointers, and nobody else has this descriptor.
        let _ = unsafe { call(number::CLOSE, [self.raw(), 0, 0, 0, 0, 0]) };
    }
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

    fn pointer(&self) -> usize {
        self.0.as_ptr().expose_provenance()
    }
}

/// The nanoseconds of a clock.
pub fn now(clock: Clock) -> Nanoseconds {
    let mut time = [0_i64; 2];
    let clock = match clock {
        Clock::Realtime => 0,
        Clock::Monotonic => 1,
    };
    // SAFETY: the kernel writes two words to `time`. It cannot fail with these clocks.
    let _ = unsafe {
        call(
            number::CLOCK_GETTIME,
            [clock, (&raw mut time).expose_provenance(), 0, 0, 0, 0],
        )
    };
    nanoseconds(time[0], time[1])
}

/// Ends this process by SIGALRM after that time, whatever it then waits for. What the parent left
/// ignored or blocked is undone first: both outlive exec.
pub fn end_after(limit: Nanoseconds) {
    const SIG_UNBLOCK: usize = 1;
    const ITIMER_REAL: usize = 0;
    // struct sigaction, all zero: the default action.
    let action = [0_u64; 4];
    let alarm = 1_u64 << (SIGALRM - 1);
    let timer = [0, 0, limit / SECOND, limit % SECOND / 1_000];
    let size = size_of_val(&alarm);
    // SAFETY: the kernel reads `action` (32 bytes), `alarm` and `timer` (32 bytes), and writes nothing.
    unsafe {
        call(
            number::RT_SIGACTION,
            [
                SIGALRM,
                (&raw const action).expose_provenance(),
                0,
                size,
                0,
                0,
            ],
        );
        call(
            number::RT_SIGPROCMASK,
            [
                SIG_UNBLOCK,
                (&raw const alarm).expose_provenance(),
                0,
                size,
                0,
                0,
            ],
        );
        call(
            number::SETITIMER,
            [
                ITIMER_REAL,
                (&raw const timer).expose_provenance(),
                0,
                0,
                0,
                0,
            ],
        );
    }
}

/// Writes to stdout or stderr if that takes it at once; nobody's health depends on who reads it.
pub fn write(descriptor: i32, bytes: &[u8]) {
    const POLLOUT: i16 = 4;
    // A pipe that is full would hold this up, and one without a reader would be a signal.
    if poll(descriptor, Readiness::Write, 0) == Ok(POLLOUT) {
        // SAFETY: the kernel reads `bytes`, which lives until the call returns.
        let _ = unsafe {
            call(
                number::WRITE,
                [
                    descriptor as usize,
                    bytes.as_ptr().expose_provenance(),
                    bytes.len(),
                    0,
                    0,
                    0,
                ],
            )
        };
    }
}

/// Ends the process.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: no pointers; it does not return.
        unsafe { call(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Good for the years 1677 to 2262; what is beyond stays there. No 128 bits: their division would come
/// from a library that this program is linked without.
fn nanoseconds(seconds: i64, fraction: i64) -> Nanoseconds {
    seconds.saturating_mul(SECOND).saturating_add(fraction)
}

const CURRENT_DIRECTORY: usize = -100_isize as usize;

fn poll(descriptor: i32, readiness: Readiness, at_most: Nanoseconds) -> Result<i16, Error> {
    #[repr(C)]
    struct PollFd {
        descriptor: i32,
        events: i16,
        returned: i16,
    }
    let events = match readiness {
        Readiness::Read => 1,
        Readiness::Write => 4,
    };
    let mut asked = PollFd {
        descriptor,
        events,
        returned: 0,
    };
    let time = [at_most / SECOND, at_most % SECOND];
    let arguments = [
        (&raw mut asked).expose_provenance(),
        1,
        (&raw const time).expose_provenance(),
        0,
        0,
        0,
    ];
    // SAFETY: the kernel writes to `asked` and `time`, which live until the call returns.
    Error::check(unsafe { call(number::PPOLL, arguments) })?;
    Ok(asked.returned)
}

fn statx(directory: usize, path: usize, flags: usize) -> Result<Entry, Error> {
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
        0,
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

fn family(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

/// `struct sockaddr_in` or `sockaddr_in6`, and its length.
fn socket_address(address: IpAddr, port: u16) -> ([u8; 28], usize) {
    let mut name = [0; 28];
    name[..2].copy_from_slice(&family(address).to_ne_bytes());
    name[2..4].copy_from_slice(&port.to_be_bytes());
    match address {
        IpAddr::V4(address) => {
            name[4..8].copy_from_slice(&address.octets());
            (name, 16)
        }
        IpAddr::V6(address) => {
            name[8..24].copy_from_slice(&address.octets());
            (name, 28)
        }
    }
}
