//! `s3sync digest`: the revision that a local directory would have.

use super::Answer;
use crate::dest;
use crate::local;
use crate::publish;
use crate::revision::{Hash, Revision};
use crate::session::Ending;
use crate::settings::{self, DigestOf};
use agent::exit::Exit;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The revision that a local directory would have.
pub fn digest(settings: &DigestOf) -> Result<Answer, Ending> {
    let directory = &settings.directory;
    // What no release takes counts in no revision of a local tree.
    let filter = publish::filter(directory, &settings.patterns)
        .map_err(|why| Ending::new(Exit::Source, why))?;
    let fail = |error: std::io::Error, path: &Path| {
        Ending::new(
            Exit::Source,
            format!("cannot read {}: {error}", path.display()),
        )
    };
    let (files, odd) = local::walk(directory, &filter, Some(dest::STATE), true)
        .map_err(|error| fail(error, directory))?;
    if let Some(first) = odd.first() {
        return Err(Ending::new(
            Exit::Source,
            format!(
                "{first} cannot be part of a digest: its name is no UTF-8 or it cannot be read"
            ),
        ));
    }
    let mut hashes = Vec::with_capacity(files.len());
    for file in files.iter().filter(|file| file.regular) {
        let path = directory.join(&*file.path);
        let mut digest = Sha256::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| dest::read_all(file, |bytes| digest.update(bytes)));
        read.map_err(|error| fail(error, &path))?;
        hashes.push((&*file.path, Hash::from(digest.finalize())));
    }
    let revision = Revision::of(hashes.iter().map(|(path, hash)| (*path, hash)));
    let text = if settings::is_json(&settings.output) {
        serde_json::json!({ "revision": revision.to_string(), "files": hashes.len() }).to_string()
            + "\n"
    } else {
        format!("{revision}\n")
    };
    Ok(Answer {
        text,
        exit: Exit::Done,
    })
}
