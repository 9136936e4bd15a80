//! The bytes between the kernel and a FUSE server, as `linux/fuse.h` has them.

/// What the kernel asks for; the numbers are its own.
pub(super) mod opcode {
    pub(in crate::fuse) const LOOKUP: u32 = 1;
    pub(in crate::fuse) const FORGET: u32 = 2;
    pub(in crate::fuse) const GETATTR: u32 = 3;
    pub(in crate::fuse) const SETATTR: u32 = 4;
    pub(in crate::fuse) const MKDIR: u32 = 9;
    pub(in crate::fuse) const UNLINK: u32 = 10;
    pub(in crate::fuse) const RMDIR: u32 = 11;
    pub(in crate::fuse) const RENAME: u32 = 12;
    pub(in crate::fuse) const OPEN: u32 = 14;
    pub(in crate::fuse) const READ: u32 = 15;
    pub(in crate::fuse) const WRITE: u32 = 16;
    pub(in crate::fuse) const STATFS: u32 = 17;
    pub(in crate::fuse) const RELEASE: u32 = 18;
    pub(in crate::fuse) const FSYNC: u32 = 20;
    pub(in crate::fuse) const INIT: u32 = 26;
    pub(in crate::fuse) const OPENDIR: u32 = 27;
    pub(in crate::fuse) const READDIR: u32 = 28;
    pub(in crate::fuse) const RELEASEDIR: u32 = 29;
    pub(in crate::fuse) const CREATE: u32 = 35;
    pub(in crate::fuse) const INTERRUPT: u32 = 36;
    pub(in crate::fuse) const BATCH_FORGET: u32 = 42;
    pub(in crate::fuse) const RENAME2: u32 = 45;
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) opcode: u32,
    pub(super) unique: u64,
    pub(super) node: u64,
    pub(super) user: u32,
    pub(super) group: u32,
    body: Vec<u8>,
}

impl Request {
    const HEADER: usize = 40;

    pub(super) fn parse(bytes: &[u8]) -> Option<Request> {
        let header = Request {
            opcode: 0,
            unique: 0,
            node: 0,
            user: 0,
            group: 0,
            body: bytes.get(..Self::HEADER)?.to_vec(),
        };
        let body = bytes[Self::HEADER..].to_vec();
        Some(Request {
            opcode: header.u32(4),
            unique: header.u64(8),
            node: header.u64(16),
            user: header.u32(24),
            group: header.u32(28),
            body,
        })
    }

    pub(super) fn u32(&self, at: usize) -> u32 {
        let bytes = self
            .body
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    }

    pub(super) fn u64(&self, at: usize) -> u64 {
        let bytes = self
            .body
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    }

    /// The bytes from there on.
    pub(super) fn data(&self, at: usize) -> &[u8] {
        self.body.get(at..).unwrap_or_default()
    }

    /// The names from there on, each ended by NUL.
    pub(super) fn names(&self, at: usize) -> Vec<String> {
        let names = self.data(at).split(|byte| *byte == 0);
        names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }
}

/// An answer's body.
#[derive(Debug, Default)]
pub(super) struct Body(pub(super) Vec<u8>);

impl Body {
    pub(super) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend(value);
        self
    }

    /// With zeroes up to a multiple of eight.
    pub(super) fn padded(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }
}

/// A whole answer: `error` is an errno, or 0.
pub(super) fn answer(unique: u64, error: i32, body: &[u8]) -> Vec<u8> {
    let length = 16 + body.len() as u32;
    let head = Body::default().u32(length).u32((-error) as u32).u64(unique);
    head.bytes(body).0
}
