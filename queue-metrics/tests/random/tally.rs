//! What happened, in numbers.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

#[derive(Default)]
pub struct Tally {
    pub drains: usize,
    /// Of them those in which something failed.
    pub drains_in_trouble: usize,
    /// Workers that ECS stopped, unprotected and idle.
    pub stopped: usize,
    /// Workers that could not be mended, and shut down.
    pub left: usize,
    pub deaf: usize,
    /// Cuts of every connection there is.
    pub all_cut: usize,
    failures: BTreeMap<String, BTreeMap<&'static str, usize>>,
}

impl Tally {
    pub fn failed(&mut self, kind: &'static str, phase: &str) {
        let kinds = self.failures.entry(phase.to_owned()).or_default();
        *kinds.entry(kind).or_default() += 1;
    }

    pub fn failures(&self) -> String {
        let phases = self.failures.iter().map(|(phase, kinds)| {
            let kinds: Vec<String> = kinds
                .iter()
                .map(|(kind, count)| format!("{kind} {count}"))
                .collect();
            format!("{phase}: {}", kinds.join(", "))
        });
        phases.collect::<Vec<_>>().join("; ")
    }
}

impl Display for Tally {
    fn fmt(&self, into: &mut Formatter<'_>) -> Result {
        let failures: usize = self.failures.values().flat_map(BTreeMap::values).sum();
        write!(
            into,
            "{} drains, {} workers stopped, {} deaf ones replaced, {} shut down",
            self.drains, self.stopped, self.deaf, self.left
        )?;
        match failures + self.all_cut {
            0 => Ok(()),
            _ => write!(
                into,
                ", {failures} failures of one task and {} of all, in {} of the drains",
                self.all_cut, self.drains_in_trouble
            ),
        }
    }
}
