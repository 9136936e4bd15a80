//! Files in memory, as a FUSE server shows them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use super::wire::{Body, Request, opcode};

const ROOT: u64 = 1;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const TYPE: u32 = 0o170_000;
const BLOCK: u32 = 4096;

/// A tree. A node stays when its last name goes, for those who have it open.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

#[derive(Debug)]
struct Node {
    mode: u32,
    user: u32,
    group: u32,
    /// Seconds and nanoseconds.
    modified: (u64, u32),
    data: Vec<u8>,
    names: BTreeMap<String, u64>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let root = Node::new(DIRECTORY | 0o777, 0, 0);
        Tree {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
        }
    }

    /// Does what is asked for.
    pub(super) fn handle(&mut self, request: &Request) -> Result<Body, Errno> {
        match request.opcode {
            opcode::INIT => Ok(started()),
            opcode::LOOKUP => self.entry(self.child(request.node, &request.names(0)[0])?),
            opcode::GETATTR => self.attributes(request.node),
            opcode::SETATTR => self.change(request),
            opcode::MKDIR => {
                let mode = DIRECTORY | request.u32(0) & !request.u32(4) & 0o7777;
                let node = self.make(request, &request.names(8)[0], mode)?;
                self.entry(node)
            }
            opcode::CREATE => {
                let mode = REGULAR | request.u32(4) & !request.u32(8) & 0o7777;
                let node = self.make(request, &request.names(16)[0], mode)?;
                Ok(self.entry(node)?.bytes(&opened().0))
            }
            opcode::UNLINK => self.unlink(request.node, &request.names(0)[0], false),
            opcode::RMDIR => self.unlink(request.node, &request.names(0)[0], true),
            opcode::RENAME => self.rename(request, 8),
            opcode::RENAME2 if request.u32(8) == 0 => self.rename(request, 16),
            opcode::RENAME2 => Err(Errno::INVAL),
            opcode::OPEN | opcode::OPENDIR => Ok(opened()),
            opcode::READ => self.read(request),
            opcode::WRITE => self.write(request),
            opcode::READDIR => self.list(request),
            opcode::STATFS => Ok(room()),
            opcode::RELEASE | opcode::RELEASEDIR | opcode::FSYNC => Ok(Body::default()),
            _ => Err(Errno::NOSYS),
        }
    }

    fn node(&mut self, number: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::STALE)
    }

    fn child(&self, directory: u64, name: &str) -> Result<u64, Errno> {
        let directory = self.nodes.get(&directory).ok_or(Errno::STALE)?;
        directory.names.get(name).copied().ok_or(Errno::NOENT)
    }

    fn entry(&self, number: u64) -> Result<Body, Errno> {
        let node = self.nodes.get(&number).ok_or(Errno::STALE)?;
        // Nothing may be cached: each call is to come here.
        let head = Body::default()
            .u64(number)
            .u64(0)
            .u64(0)
            .u64(0)
            .u32(0)
            .u32(0);
        Ok(head.bytes(&node.attributes(number).0))
    }

    fn attributes(&self, number: u64) -> Result<Body, Errno> {
        let node = self.nodes.get(&number).ok_or(Errno::STALE)?;
        Ok(Body::default()
            .u64(0)
            .u32(0)
            .u32(0)
            .bytes(&node.attributes(number).0))
    }

    fn make(&mut self, request: &Request, name: &str, mode: u32) -> Result<u64, Errno> {
        let number = self.next;
        let directory = self.node(request.node)?;
        if directory.names.contains_key(name) {
            return Err(Errno::EXIST);
        }
        directory.names.insert(name.to_owned(), number);
        directory.modified = now();
        self.nodes
            .insert(number, Node::new(mode, request.user, request.group));
        self.next += 1;
        Ok(number)
    }

    fn change(&mut self, request: &Request) -> Result<Body, Errno> {
        let valid = request.u32(0);
        let has = |bit: u32| valid & bit != 0;
        let node = self.node(request.node)?;
        if has(1) {
            node.mode = node.mode & TYPE | request.u32(68) & 0o7777;
        }
        if has(2) {
            node.user = request.u32(76);
        }
        if has(4) {
            node.group = request.u32(80);
        }
        if has(8) {
            node.data.resize(request.u64(16) as usize, 0);
            node.modified = now();
        }
        if has(256) {
            node.modified = now();
        } else if has(32) {
            node.modified = (request.u64(40), request.u32(60));
        }
        self.attributes(request.node)
    }

    fn unlink(&mut self, directory: u64, name: &str, is_directory: bool) -> Result<Body, Errno> {
        let number = self.child(directory, name)?;
        let node = self.node(number)?;
        match (is_directory, node.is_directory()) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            (true, true) if !node.names.is_empty() => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        let directory = self.node(directory)?;
        directory.names.remove(name);
        directory.modified = now();
        Ok(Body::default())
    }

    fn rename(&mut self, request: &Request, names_at: usize) -> Result<Body, Errno> {
        let (target, names) = (request.u64(0), request.names(names_at));
        let moved = self.child(request.node, &names[0])?;
        let is_directory = self.node(moved)?.is_directory();
        match self.child(target, &names[1]) {
            Ok(there) if there == moved => return Ok(Body::default()),
            Ok(_) => drop(self.unlink(target, &names[1], is_directory)?),
            Err(_) => {}
        }
        self.node(request.node)?.names.remove(&names[0]);
        self.node(target)?.names.insert(names[1].clone(), moved);
        Ok(Body::default())
    }

    fn read(&mut self, request: &Request) -> Result<Body, Errno> {
        let data = &self.node(request.node)?.data;
        let from = (request.u64(8) as usize).min(data.len());
        let to = from
            .saturating_add(request.u32(16) as usize)
            .min(data.len());
        Ok(Body(data[from..to].to_vec()))
    }

    fn write(&mut self, request: &Request) -> Result<Body, Errno> {
        let (from, size) = (request.u64(8) as usize, request.u32(16) as usize);
        let bytes = request.data(40).get(..size).ok_or(Errno::INVAL)?;
        let node = self.node(request.node)?;
        if node.data.len() < from + size {
            node.data.resize(from + size, 0);
        }
        node.data[from..from + size].copy_from_slice(bytes);
        node.modified = now();
        Ok(Body::default().u32(size as u32).u32(0))
    }

    fn list(&mut self, request: &Request) -> Result<Body, Errno> {
        let (from, most) = (request.u64(8), request.u32(16) as usize);
        let names = self.node(request.node)?.names.clone();
        let mut body = Body::default();
        for (at, (name, number)) in names.iter().enumerate().skip(from as usize) {
            let kind = self.node(*number)?.mode >> 12;
            let entry = Body::default()
                .u64(*number)
                .u64(at as u64 + 1)
                .u32(name.len() as u32)
                .u32(kind);
            let entry = entry.bytes(name.as_bytes()).padded();
            if body.0.len() + entry.0.len() > most {
                break;
            }
            body = body.bytes(&entry.0);
        }
        Ok(body)
    }
}

impl Node {
    fn new(mode: u32, user: u32, group: u32) -> Node {
        Node {
            mode,
            user,
            group,
            modified: now(),
            data: Vec::new(),
            names: BTreeMap::new(),
        }
    }

    fn is_directory(&self) -> bool {
        self.mode & TYPE == DIRECTORY
    }

    fn attributes(&self, number: u64) -> Body {
        let (seconds, nanoseconds) = self.modified;
        let size = self.data.len() as u64;
        let links = if self.is_directory() { 2 } else { 1 };
        let body = Body::default()
            .u64(number)
            .u64(size)
            .u64(size.div_ceil(512));
        let body = body.u64(seconds).u64(seconds).u64(seconds);
        let body = body.u32(nanoseconds).u32(nanoseconds).u32(nanoseconds);
        body.u32(self.mode)
            .u32(links)
            .u32(self.user)
            .u32(self.group)
            .u32(0)
            .u32(BLOCK)
            .u32(0)
    }
}

/// The answer to the first request: version 7.31, nothing optional, writes of up to 128 KiB.
fn started() -> Body {
    let body = Body::default().u32(7).u32(31).u32(128 << 10).u32(0);
    let body = body
        .u16(64)
        .u16(48)
        .u32(super::LARGEST_WRITE)
        .u32(1)
        .u16(0)
        .u16(0);
    body.bytes(&[0; 32])
}

fn opened() -> Body {
    Body::default().u64(0).u32(0).u32(0)
}

fn room() -> Body {
    let body = Body::default()
        .u64(1 << 20)
        .u64(1 << 20)
        .u64(1 << 20)
        .u64(1 << 20)
        .u64(1 << 20);
    body.u32(BLOCK).u32(255).u32(BLOCK).u32(0).bytes(&[0; 24])
}

fn now() -> (u64, u32) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}
