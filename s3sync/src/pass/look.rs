//! What the source wants, and whether a release that was followed must be looked at again.

use super::{Passed, now};
use crate::failure::Failure;
use crate::follow::Polled;
use crate::plan::Plan;
use crate::source::Listing;
use crate::writer::Writer;

impl Writer {
    /// What the source wants; `None` where that is what was wanted before, and nothing is left to do.
    pub(super) async fn look(&mut self) -> Result<Option<Listing>, Failure> {
        match self.follow.poll(&self.shop.source).await? {
            Polled::Files(listing) => return Ok(Some(listing)),
            Polled::Same if !self.is_due().await? => return Ok(None),
            Polled::Same | Polled::Other => {}
        }
        Ok(Some(self.follow.read(&self.shop.source, now()).await?))
    }

    /// Whether a release that was followed to its end must be looked at again.
    async fn is_due(&self) -> Result<bool, Failure> {
        let (Some(settled), None) = (self.follow.settled(), self.follow.refusal()) else {
            return Ok(self.follow.is_due(now()));
        };
        // What could not be repaired has a time of its own.
        let mut drifted = self.suspects.iter();
        if drifted.any(|path| !self.setbacks.has(path)) || self.setbacks.is_due(now()) {
            return Ok(true);
        }
        let Some(held) = &self.held else {
            return Ok(false);
        };
        let (approvals, server_time) = self.shop.source.approvals().await?;
        let plan = Plan {
            missing: held.candidates.clone(),
            wanted: settled.wanted,
            ..Plan::default()
        };
        let listing = Listing {
            approvals,
            server_time,
            ..Listing::default()
        };
        let decision = self.decide(&plan, &listing, &[]);
        Ok(decision.held.is_none_or(|now| now.id != held.id))
    }

    /// Whether readers have what is managed.
    pub(super) fn has_landed(&mut self) -> bool {
        let tree = self.tree_revision();
        self.generations.is_none() || !self.is_unlanded() && self.generation() == Some(tree)
    }

    /// What a poll that found nothing new came to.
    pub(super) fn repeat(&self) -> Passed {
        Passed {
            tally: self
                .follow
                .settled()
                .map(|settled| settled.tally)
                .unwrap_or_default(),
            pages: 0,
            held_back: self.setbacks.has_failed(),
            quiet: true,
        }
    }

    /// A listing shows the approvals; a release does not, and few of them delete.
    pub(super) async fn approvals_of(
        &self,
        plan: &Plan,
        listing: &mut Listing,
    ) -> Result<(), Failure> {
        if listing.release.is_some() && !plan.missing.is_empty() {
            let (approvals, server_time) = self.shop.source.approvals().await?;
            listing.approvals = approvals;
            listing.server_time = server_time.or(listing.server_time);
        }
        Ok(())
    }
}
