//! A server for bench/healthcheck.py that costs as little as it can: every connection gets the same
//! answer, which is the first argument. It prints its port, and ends with its standard input.

use std::io::{Read, Write};
use std::net::TcpListener;

fn main() -> std::io::Result<()> {
    let body = std::env::args().nth(1).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // A client that went away early is its own concern.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
