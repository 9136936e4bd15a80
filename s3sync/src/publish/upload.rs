//! Content: each file's bytes under their SHA-256, several at once, memory bounded.

use super::tree::{self, CHANGED, Identity, Local};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::release::{CONTENT, File, content_key, content_of};
use crate::report::printable;
use crate::revision::Hash;
use crate::session::Ending;
use crate::source::{Condition, Kind, Source, SourceError};
use agent::exit::Exit;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use tokio::task::JoinSet;

/// A file up to this size is read into memory and sent as it was hashed; a larger one is streamed.
const WHOLE: u64 = 4 << 20;
/// Content that is older by S3's clock, in milliseconds, is not relied on: `prune` removes what no
/// release needs once it is a day old, and a publisher gives up after as long.
const YOUNG: i64 = 12 * 3600 * 1000;
/// From so many missing files on, S3 is asked once which of them it has: an earlier try may have
/// been killed.
const WORTH_A_LISTING: usize = 64;

/// One file for each content that is not among `known`.
pub(super) fn missing<'a>(tree: &'a [Local], known: &BTreeSet<Hash>) -> BTreeMap<Hash, &'a Local> {
    tree.iter()
        .filter(|local| !known.contains(&local.file.sha256))
        .map(|local| (local.file.sha256, local))
        .collect()
}

/// The content that S3 has, with its size and its age in milliseconds by S3's clock.
pub(super) type Stored = HashMap<Hash, (u64, Option<i64>)>;

/// Lists the content that S3 has.
///
/// # Errors
/// As S3 answers.
pub(super) async fn stored(source: &Source) -> Result<Stored, Ending> {
    let list = source.list_below(CONTENT).await.map_err(Failure::from)?;
    let known = list.objects.iter().filter_map(|object| {
        let age = list.server_time.map(|now| now - object.modified);
        Some((content_of(&object.key)?, (object.size, age)))
    });
    Ok(known.collect())
}

/// Whether the content of `file` is not there in its size.
pub(super) fn is_gone(stored: &Stored, file: &File) -> bool {
    stored
        .get(&file.sha256)
        .is_none_or(|(size, _)| *size != file.size)
}

/// Leaves out what an earlier try has uploaded.
///
/// # Errors
/// As S3 answers.
pub(super) async fn without_uploaded(
    source: &Source,
    missing: &mut BTreeMap<Hash, &Local>,
) -> Result<(), Ending> {
    if missing.len() < WORTH_A_LISTING {
        return Ok(());
    }
    let stored = stored(source).await?;
    missing.retain(|hash, local| match stored.get(hash) {
        Some((size, Some(age))) => *size != local.file.size || *age > YOUNG,
        _ => true,
    });
    Ok(())
}

/// Uploads the content of these files.
///
/// # Errors
/// The first that failed; the others are given up.
pub(super) async fn upload(
    source: &Source,
    directory: &Path,
    files: impl Iterator<Item = Local>,
    concurrency: usize,
    progress: &mut Progress,
) -> Result<(), Ending> {
    let mut under_way = JoinSet::new();
    for local in files {
        if under_way.len() >= concurrency {
            ended(under_way.join_next().await, progress)?;
        }
        let (source, path) = (source.clone(), directory.join(&*local.file.path));
        under_way.spawn(async move {
            let size = local.file.size;
            put(&source, path, local).await.map(|()| size)
        });
    }
    while !under_way.is_empty() {
        ended(under_way.join_next().await, progress)?;
    }
    progress.end();
    Ok(())
}

type Joined = Option<Result<Result<u64, Ending>, tokio::task::JoinError>>;

fn ended(joined: Joined, progress: &mut Progress) -> Result<(), Ending> {
    match joined {
        Some(Ok(Ok(bytes))) => {
            progress.file(bytes);
            Ok(())
        }
        Some(Ok(Err(ending))) => {
            progress.end();
            Err(ending)
        }
        Some(Err(error)) => Err(Ending::new(
            Exit::Internal,
            format!("an upload stopped: {error}"),
        )),
        None => Ok(()),
    }
}

async fn put(source: &Source, path: PathBuf, local: Local) -> Result<(), Ending> {
    let key = content_key(&local.file.sha256);
    if local.file.size > WHOLE {
        let (size, hash) = (local.file.size, &local.file.sha256);
        let sent = source.put_file(&key, &path, size, hash).await;
        // A store that checks nothing would keep what was written meanwhile.
        let same = tree::look(&path) == Some(local.identity);
        return match sent {
            Ok(()) if same => Ok(()),
            Err(error) if same && !matches!(error.kind, Kind::Corrupt) => Err(failed(error)),
            _ => Err(changed(&local)),
        };
    }
    let read = {
        let (path, identity) = (path.clone(), local.identity);
        tokio::task::spawn_blocking(move || whole(&path, identity)).await
    };
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(why)) => {
            let what = format!("{}: {why}", printable(&local.file.path));
            return Err(Ending::new(Exit::Source, what));
        }
        Err(error) => {
            return Err(Ending::new(
                Exit::Internal,
                format!("a read stopped: {error}"),
            ));
        }
    };
    if Hash::from(Sha256::digest(&bytes)) != local.file.sha256 {
        return Err(changed(&local));
    }
    match source.put_small(&key, bytes, Condition::None).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The bytes of a file that is as it was.
fn whole(path: &Path, identity: Identity) -> Result<Vec<u8>, String> {
    let (file, found) = tree::open(path)?;
    if found != identity {
        return Err(CHANGED.to_string());
    }
    let mut bytes = Vec::new();
    file.take(WHOLE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn failed(error: SourceError) -> Ending {
    Failure::from(error).into()
}

fn changed(local: &Local) -> Ending {
    let what = format!("{}: {CHANGED}", printable(&local.file.path));
    Ending::new(Exit::Source, what)
}
