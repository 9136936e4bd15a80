//! Uploads to S3, as a person or a pipeline makes them.

use std::path::Path;

use crate::stack::{BUCKET, Servers};

/// Puts a file below the prefix that is synced.
pub fn put(servers: &Servers, path: &str, text: &str) {
    servers
        .moto
        .put(BUCKET, &format!("dags/{path}"), text.as_bytes());
}

/// Deletes one.
pub fn delete(servers: &Servers, path: &str) {
    servers.moto.delete(BUCKET, &format!("dags/{path}"));
}

/// Puts a whole directory, as `aws s3 cp --recursive` would; how many files.
///
/// # Panics
/// When the directory cannot be read.
pub fn put_directory(servers: &Servers, directory: &Path) -> usize {
    put_below(servers, directory, "")
}

fn put_below(servers: &Servers, directory: &Path, prefix: &str) -> usize {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => panic!("{} cannot be read: {error}", directory.display()),
    };
    let mut count = 0;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let key = format!("{prefix}{name}");
        if entry.path().is_dir() {
            if name != "__pycache__" {
                count += put_below(servers, &entry.path(), &format!("{key}/"));
            }
            continue;
        }
        match std::fs::read(entry.path()) {
            Ok(bytes) => servers.moto.put(BUCKET, &format!("dags/{key}"), &bytes),
            Err(error) => panic!("{} cannot be read: {error}", entry.path().display()),
        }
        count += 1;
    }
    count
}
