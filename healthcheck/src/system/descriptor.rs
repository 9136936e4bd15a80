//! Sockets and open files.

use core::net::IpAddr;

use super::arch::{call, number};
use super::path::{CURRENT_DIRECTORY, Entry, Path, statx};
use super::{Error, poll};
use crate::duration::Nanoseconds;

/// What a descriptor becomes ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// `POLLIN`
    Read,
    /// `POLLOUT`
    Write,
}

/// An open file or socket, closed when dropped.
#[derive(Debug)]
pub struct Descriptor(usize);

impl Descriptor {
    /// A TCP socket whose calls do not wait.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn socket(peer: &Peer) -> Result<Self, Error> {
        const SOCK_STREAM: usize = 1;
        const SOCK_NONBLOCK: usize = 0o4000;
        const SOCK_CLOEXEC: usize = 0o2000000;
        let kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
        // SAFETY: no pointers.
        let socket = unsafe { call(number::SOCKET, [peer.family(), kind]) };
        Error::check(socket).map(Self)
    }

    /// Begins to connect, or says how far that is. Called once more, Linux tells how it ended, which saves
    /// asking for `SO_ERROR`.
    ///
    /// # Errors
    /// The connection is refused; the first time it is [`Error::IN_PROGRESS`], and from then on
    /// [`Error::ALREADY`], where it is not there yet.
    pub fn connect(&self, peer: &Peer) -> Result<(), Error> {
        let arguments = [self.0, peer.0.as_ptr().expose_provenance(), peer.0.len()];
        // SAFETY: the kernel reads `peer`, which lives until the call returns.
        let done = unsafe { call(number::CONNECT, arguments) };
        Error::check(done).map(drop)
    }

    /// Sends what the socket takes at once.
    ///
    /// # Errors
    /// The connection is gone, or takes nothing yet: [`Error::AGAIN`].
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        // A peer that is gone must be an error and not a signal.
        const MSG_NOSIGNAL: usize = 0x4000;
        let arguments = [
            self.0,
            bytes.as_ptr().expose_provenance(),
            bytes.len(),
            MSG_NOSIGNAL,
        ];
        // SAFETY: the kernel reads `bytes`, which lives until the call returns.
        Error::check(unsafe { call(number::SENDTO, arguments) })
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
        let opened = unsafe { call(number::OPENAT, [CURRENT_DIRECTORY, path.pointer(), flags]) };
        Error::check(opened).map(Self)
    }

    /// Reads on; 0 at the end.
    ///
    /// # Errors
    /// As read(2); a socket has nothing yet: [`Error::AGAIN`].
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let arguments = [
            self.0,
            buffer.as_mut_ptr().expose_provenance(),
            buffer.len(),
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
        statx(self.0, c"".as_ptr().expose_provenance(), AT_EMPTY_PATH)
    }

    /// Waits until the socket is ready, or for so long; whether it is.
    ///
    /// # Errors
    /// As ppoll(2).
    pub fn wait(&self, readiness: Readiness, at_most: Nanoseconds) -> Result<bool, Error> {
        Ok(poll(self.0, readiness, at_most)? != 0)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: no pointers, and nobody else has this descriptor.
        let _ = unsafe { call(number::CLOSE, [self.0]) };
    }
}

/// An address and a port: `struct sockaddr_in6`, or `sockaddr_in` with room behind it, which Linux takes.
#[derive(Debug)]
pub struct Peer([u8; 28]);

impl Peer {
    /// Of an address and a port.
    pub fn new(address: IpAddr, port: u16) -> Self {
        let mut name = [0; 28];
        name[2..4].copy_from_slice(&port.to_be_bytes());
        let family: u16 = match address {
            IpAddr::V4(address) => {
                name[4..8].copy_from_slice(&address.octets());
                2
            }
            IpAddr::V6(address) => {
                name[8..24].copy_from_slice(&address.octets());
                10
            }
        };
        name[..2].copy_from_slice(&family.to_ne_bytes());
        Self(name)
    }

    fn family(&self) -> usize {
        u16::from_ne_bytes([self.0[0], self.0[1]]).into()
    }
}
