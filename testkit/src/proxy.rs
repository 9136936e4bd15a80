//! A TCP proxy that goes wrong on demand, before a real server.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to what the server answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The connection ends as soon as it was taken.
    Refuse,
    /// The connection is reset after this many bytes of the server's.
    CutAfter(usize),
    /// This many bytes of the server's come through and then no more; the connection stays.
    SilentAfter(usize),
    /// Each byte of the server's waits this long.
    Slow(Duration),
}

/// A running proxy; it ends with all its connections when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
    ended: AtomicBool,
}

#[derive(Debug)]
struct State {
    target: u16,
    fault: Fault,
    /// Those that are open, by their number.
    connections: BTreeMap<usize, (TcpStream, TcpStream)>,
}

impl Proxy {
    /// One on a free port of 127.0.0.1, before that port of it.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(target: u16) -> Proxy {
        let (listener, port) = match listen() {
            Ok(listening) => listening,
            Err(error) => panic!("the proxy cannot listen: {error}"),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                target,
                fault: Fault::None,
                connections: BTreeMap::new(),
            }),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Proxy { port, shared }
    }

    /// Its own port of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another server behind it, for connections to come: a failover.
    pub fn target(&self, port: u16) {
        self.shared.lock().target = port;
    }

    /// What happens from now on, to open connections too.
    pub fn fault(&self, fault: Fault) {
        self.shared.lock().fault = fault;
    }

    /// Resets every open connection.
    pub fn cut(&self) {
        for (client, server) in std::mem::take(&mut self.shared.lock().connections).values() {
            reset(client);
            reset(server);
        }
    }

    /// How many connections there were.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many were open at once, at most.
    pub fn most(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread that waits for the next.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen() -> std::io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        let (target, fault) = {
            let state = shared.lock();
            (state.target, state.fault)
        };
        if fault == Fault::Refuse {
            reset(&client);
            continue;
        }
        // A server that is down is a connection that ends.
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
            reset(&client);
            continue;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let Some(both) = clones(&client, &server) else {
            continue;
        };
        shared.lock().connections.insert(number, both);
        let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(open, Ordering::SeqCst);
        let Some((from, to)) = clones(&client, &server) else {
            continue;
        };
        std::thread::spawn(move || upward(from, to));
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            downward(server, client, &shared);
            // A run of hours must not keep the files of every connection that there was.
            shared.lock().connections.remove(&number);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn clones(client: &TcpStream, server: &TcpStream) -> Option<(TcpStream, TcpStream)> {
    Some((client.try_clone().ok()?, server.try_clone().ok()?))
}

/// From the client to the server, as it comes.
fn upward(mut client: TcpStream, mut server: TcpStream) {
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}

/// From the server to the client, with the fault that there is at the moment.
fn downward(mut server: TcpStream, mut client: TcpStream, shared: &Shared) {
    let mut buffer = [0; 16 << 10];
    let mut passed = 0;
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        let bytes = &buffer[..count];
        let fault = shared.lock().fault;
        let written = match fault {
            Fault::None | Fault::Refuse => client.write_all(bytes),
            Fault::CutAfter(limit) | Fault::SilentAfter(limit) => {
                let allowed = bytes.len().min(limit.saturating_sub(passed));
                client.write_all(&bytes[..allowed])
            }
            Fault::Slow(wait) => slowly(&mut client, bytes, wait),
        };
        passed += count;
        match fault {
            Fault::CutAfter(limit) if passed >= limit => {
                reset(&client);
                reset(&server);
                return;
            }
            _ if written.is_err() => break,
            _ => {}
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn slowly(client: &mut TcpStream, bytes: &[u8], wait: Duration) -> std::io::Result<()> {
    for byte in bytes {
        std::thread::sleep(wait);
        client.write_all(&[*byte])?;
    }
    Ok(())
}

/// Ends a connection at once; whoever reads it sees an error or an early end.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_has_ended_is_let_go() {
        let (server, port) = listen().unwrap();
        std::thread::spawn(move || server.incoming().for_each(drop));
        let proxy = Proxy::start(port);
        for _ in 0..20 {
            let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        }
        crate::until(Duration::from_secs(10), "the last one's end", || {
            proxy.accepted() == 20 && proxy.shared.lock().connections.is_empty()
        });
    }
}
