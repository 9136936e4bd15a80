//! What the tests of the program share: the freestanding program, and servers that answer as told.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use testkit::process::{Finished, Program};

/// Far beyond every timeout that the tests give.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The release program, which is the one that ships: the one that cargo builds for tests is an ordinary
/// program around the same library. Built once; it takes seconds.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args([
                "build",
                "--release",
                "-p",
                "healthcheck",
                "--message-format=json-render-diagnostics",
            ])
            .current_dir(root)
            // Of its own: a release build of another program may hold the usual one for many minutes.
            .env(
                "CARGO_TARGET_DIR",
                concat!(env!("CARGO_TARGET_TMPDIR"), "/freestanding"),
            )
            .output()
            .unwrap();
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        let messages = String::from_utf8(built.stdout).unwrap();
        let messages = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let executable = messages
            .filter_map(|message| Some(message["executable"].as_str()?.to_owned()))
            .next_back();
        executable.expect("cargo names the program").into()
    })
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Finished {
    Program::new(program())
        .args(arguments.iter().copied())
        .run(DEADLINE)
}

/// It held, silently.
#[track_caller]
pub fn holds(arguments: &[&str]) {
    let done = run(arguments);
    assert_eq!(
        (done.code, done.stderr.as_str(), done.stdout.as_str()),
        (0, "", ""),
        "{arguments:?}"
    );
}

/// It did not, and the one line ends so.
#[track_caller]
pub fn fails(arguments: &[&str], reason: &str) {
    let done = run(arguments);
    assert_eq!(done.code, 1, "{arguments:?}: {}", done.stderr);
    let line = done.stderr.trim_end_matches('\n');
    assert!(
        !line.contains('\n') && line.ends_with(reason),
        "{arguments:?}: {line:?}, not {reason:?}"
    );
    assert!(
        line.starts_with("healthcheck: ") && done.stdout.is_empty(),
        "{line}"
    );
}

/// A server that reads a request and then does as it is told with the connection, until the test ends.
pub struct Server {
    address: SocketAddr,
}

impl Server {
    /// On any free port.
    pub fn start(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        Server::start_on("127.0.0.1:0", answer)
    }

    pub fn start_on(address: &str, answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let answer = std::sync::Arc::new(answer);
        // Not joined: it ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answer = std::sync::Arc::clone(&answer);
                thread::spawn(move || answer(stream));
            }
        });
        Server { address }
    }

    /// Reads the request, sends this, and closes.
    pub fn saying(text: impl Into<Vec<u8>>) -> Server {
        let text = text.into();
        Server::start(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(&text);
        })
    }

    /// A JSON body of that text, by its length.
    pub fn json(body: &str) -> Server {
        Server::saying(with_length(body))
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self, rest: &str) -> String {
        format!("http://127.0.0.1:{}{rest}", self.port())
    }
}

pub fn with_length(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Up to the empty line.
pub fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// Nothing listens there.
pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
