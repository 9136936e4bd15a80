//! SQL without psql: a blocking query, also from within a test that is asynchronous itself.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::{Database, SUPERUSER};

const DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn rows(
    port: u16,
    password: &str,
    database: &str,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, String> {
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user(SUPERUSER)
        .password(password)
        .dbname(database)
        .application_name("testkit")
        .connect_timeout(DEADLINE);
    // A thread of its own: a runtime must not be started from within another.
    let query = std::thread::scope(|scope| scope.spawn(|| run(&config, sql)).join());
    query.unwrap_or_else(|_| Err("the query panicked".to_owned()))
}

fn run(config: &Config, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let query = async {
            let (client, connection) = config.connect(NoTls).await.map_err(text)?;
            let connection = tokio::spawn(connection);
            let messages = client.simple_query(sql).await.map_err(text)?;
            drop(client);
            let _ = connection.await;
            Ok(messages.iter().filter_map(cells).collect())
        };
        match tokio::time::timeout(DEADLINE, query).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer".to_owned()),
        }
    })
}

fn cells(message: &SimpleQueryMessage) -> Option<Vec<Option<String>>> {
    match message {
        SimpleQueryMessage::Row(row) => {
            let cells = (0..row.len()).map(|column| row.get(column).map(str::to_owned));
            Some(cells.collect())
        }
        _ => None,
    }
}

fn text(error: tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

/// Opens a session and leaves it with its startup packet sent, in a state in which it holds one of the
/// server's connections: it never answers the demand for its password.
pub(super) fn hold(database: &Database) -> TcpStream {
    let mut packet = vec![0, 3, 0, 0];
    for text in ["user", &database.user, "database", &database.name, ""] {
        packet.extend(text.as_bytes());
        packet.push(0);
    }
    let length = u32::try_from(packet.len() + 4).unwrap_or(0).to_be_bytes();
    let opened = TcpStream::connect(("127.0.0.1", database.port)).and_then(|mut stream| {
        stream.write_all(&[&length[..], &packet].concat())?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        Ok((stream, kind[0]))
    });
    match opened {
        Ok((stream, b'R')) => stream,
        other => panic!("the server holds no such session: {other:?}"),
    }
}
