//! The current generation, as `verify` sees it: every file hashed.

use super::Seen;
use super::verify::Difference;
use crate::dest;
use crate::filter::Filter;
use crate::generations::{CURRENT, GENERATIONS, Home};
use crate::local;
use crate::manifest::Manifest;
use crate::prepare::blocking;
use crate::revision::{Hash, Revision};
use crate::session::{Ending, Surroundings};
use agent::exit::Exit;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// How the current generation differs from what its ID says; empty in place.
pub(super) async fn verify(
    seen: &Seen,
    filter: &Filter,
    around: &Surroundings,
) -> Result<Vec<Difference>, Ending> {
    let Some(dest) = seen.dest.as_ref().filter(|dest| dest.home().is_some()) else {
        return Ok(Vec::new());
    };
    let (dest, manifest, filter) = (Arc::clone(dest), seen.manifest.clone(), filter.clone());
    let looked = blocking(&around.status, "read", move || match dest.home() {
        Some(home) => look(home, &manifest, &filter),
        None => Ok(Vec::new()),
    });
    looked.await.map_err(|error| {
        let why = format!(
            "cannot read the current generation: {}",
            dest::cause(&error)
        );
        Ending::new(Exit::Destination, why)
    })
}

fn look(home: &Home, manifest: &Manifest, filter: &Filter) -> io::Result<Vec<Difference>> {
    let difference = |path: String, state, reason: &str| Difference {
        key: String::new(),
        path,
        state,
        reason: reason.to_string(),
    };
    let Some(id) = home.current()? else {
        let missing = difference(CURRENT.to_string(), "missing", "it names no generation");
        return Ok(manifest.generation.map(|_| missing).into_iter().collect());
    };
    let named = |path: &str| format!("{GENERATIONS}/{id}/{path}");
    if !home.holds(id)? {
        return Ok(vec![difference(
            named(""),
            "missing",
            "there is no such directory",
        )]);
    }
    let found = hashes(home, id, filter)?;
    if Revision::of(found.iter().map(|(path, hash)| (&**path, hash))) == id {
        return Ok(Vec::new());
    }
    if manifest.revision() != id {
        // Of an earlier set only the sum is known.
        return Ok(vec![difference(
            named(""),
            "differs",
            "its files are not what its ID says",
        )]);
    }
    let mut differences = Vec::new();
    for (path, entry) in &manifest.files {
        let (state, reason) = match found.get(path) {
            Some(hash) if *hash == entry.sha256 => continue,
            Some(_) => ("differs", "its SHA-256 is not what was published"),
            None => ("missing", "there is no such file"),
        };
        differences.push(difference(named(path), state, reason));
    }
    let extra = found
        .keys()
        .filter(|path| !manifest.files.contains_key(*path));
    differences
        .extend(extra.map(|path| difference(named(path), "extra", "it does not belong there")));
    Ok(differences)
}

fn hashes(home: &Home, id: Revision, filter: &Filter) -> io::Result<BTreeMap<Box<str>, Hash>> {
    let root = home.path_of(id);
    let (files, _) = local::walk(&root, filter, None, false)?;
    let mut hashes = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.regular) {
        let mut digest = Sha256::new();
        let path = root.join(&*file.path);
        dest::read_all(std::fs::File::open(path)?, |bytes| digest.update(bytes))?;
        hashes.insert(file.path, digest.finalize().into());
    }
    Ok(hashes)
}
