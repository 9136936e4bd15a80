//! A port that nothing listens on, for servers that do not choose one themselves.

use std::net::TcpListener;

/// Below the range from which the kernel takes the ports of outgoing connections (32768 on): while a
/// server is down, a client that tries its port again and again would sooner or later be connected
/// from that port to itself.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1 that is free now. Another process may take it before the server does, so the
/// server's start is tried again with another.
///
/// # Panics
/// When none is free.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = fastrand::u16(RANGE);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of 127.0.0.1 is free between {RANGE:?}");
}
