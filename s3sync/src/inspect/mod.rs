//! The commands that change nothing below DEST: `plan`, `verify`, `digest` and `approve`.

mod digest;
mod generation;
mod preview;
mod verify;

use crate::dest::{self, Dest};
use crate::failure::Failure;
use crate::follow;
use crate::gate::{self, Candidate};
use crate::local;
use crate::manifest::{Manifest, journal};
use crate::plan::{self, Plan};
use crate::prepare::blocking;
use crate::session::{Ending, Surroundings};
use crate::settings;
use crate::source::{Listing, Source};
use agent::exit::Exit;
use std::collections::BTreeSet;
use std::sync::Arc;

pub use digest::digest;
pub use preview::plan;
pub use verify::verify;

/// An answer for stdout, and the code that goes with it.
#[derive(Debug)]
pub struct Answer {
    /// What to print.
    pub text: String,
    /// How to end.
    pub exit: Exit,
}

/// Releases a held set of deletes.
pub async fn approve(settings: &settings::Approve, source: &Source) -> Result<Answer, Ending> {
    source.approve(&settings.id).await.map_err(Failure::from)?;
    let text = format!(
        "approved {} for {}; the next listing releases it, for 24 h\n",
        settings.id, settings.source
    );
    Ok(Answer {
        text,
        exit: Exit::Done,
    })
}

/// A listing, a manifest, and what they come to.
pub(super) struct Seen {
    pub(super) source: Source,
    pub(super) dest: Option<Arc<Dest>>,
    pub(super) manifest: Manifest,
    pub(super) listing: Listing,
    pub(super) plan: Plan,
}

pub(super) async fn see(settings: &settings::Plan, around: &Surroundings) -> Result<Seen, Ending> {
    let filter = settings
        .patterns
        .filter()
        .map_err(|why| Ending::new(Exit::Usage, why))?;
    let looked = around
        .look(&settings.ends.dest, settings.state_dir.as_deref())
        .await;
    let dest = looked.map_err(Failure::from)?;
    let manifest = match &dest {
        Some(dest) if dest.has_state() => {
            load(around, dest, &settings.ends.source.to_string()).await?
        }
        _ => Manifest::default(),
    };
    let source = around.source(&settings.ends.source, &settings.transfer);
    let mut listing = follow::look(&source).await.map_err(Failure::from)?;
    let state = dest
        .as_ref()
        .and_then(|dest| dest.state_below())
        .unwrap_or(dest::STATE);
    let plan = plan::plan(&manifest, &listing, &filter, Some(state), &BTreeSet::new());
    if listing.release.is_some() && !plan.missing.is_empty() {
        listing.approvals = source.approvals().await.map_err(Failure::from)?.0;
    }
    Ok(Seen {
        source,
        dest,
        manifest,
        listing,
        plan,
    })
}

async fn load(around: &Surroundings, dest: &Arc<Dest>, source: &str) -> Result<Manifest, Ending> {
    let (dest, source) = (Arc::clone(dest), source.to_string());
    let loaded = blocking(&around.status, "load", move || {
        let loaded = journal::load(dest.state()).map_err(|error| {
            crate::dest::DestError::new(
                "read the manifest of",
                dest.path().display().to_string(),
                error,
            )
        })?;
        crate::writer::check_source(&dest, loaded.as_ref(), &source, false)?;
        // A writer may be between an intent and its commit: what it intends is not there yet.
        Ok::<_, Failure>(loaded.map(|loaded| loaded.manifest).unwrap_or_default())
    });
    Ok(loaded.await?)
}

/// What a pass might delete: what is missing, and with `--delete all` what nobody manages.
pub(super) async fn candidates(
    seen: &Seen,
    settings: &settings::Plan,
    around: &Surroundings,
) -> Result<Vec<Candidate>, Ending> {
    let mut candidates = seen.plan.missing.clone();
    let all = settings.deletes.policy().mode == gate::Mode::All;
    if let (true, Some(dest)) = (all, &seen.dest) {
        let fetched: BTreeSet<&str> = seen.plan.fetch.iter().map(plan::Fetch::path).collect();
        let unmanaged = unmanaged(seen, settings, around, dest).await?;
        let unknown = unmanaged
            .into_iter()
            .filter(|path| !fetched.contains(&**path));
        candidates.extend(unknown.map(|path| Candidate {
            path,
            content: None,
        }));
    }
    Ok(candidates)
}

async fn unmanaged(
    seen: &Seen,
    settings: &settings::Plan,
    around: &Surroundings,
    dest: &Arc<Dest>,
) -> Result<BTreeSet<Box<str>>, Ending> {
    let filter = settings
        .patterns
        .filter()
        .map_err(|why| Ending::new(Exit::Usage, why))?;
    let (dest, manifest) = (Arc::clone(dest), seen.manifest.clone());
    let walked = blocking(&around.status, "walk", move || {
        local::unmanaged(&dest, &filter, &manifest)
    })
    .await;
    walked.map_err(|error| {
        Ending::new(
            Exit::Destination,
            format!("cannot walk {}: {error}", settings.ends.dest.display()),
        )
    })
}
