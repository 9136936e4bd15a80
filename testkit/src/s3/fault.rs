//! What can go wrong on demand, and the rules that say when.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::error::Refusal;
use super::route::Operation;

/// A way in which an answer fails.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The connection ends after so many bytes of the body, though Content-Length said more.
    CutAfter(usize),
    /// A delay before the first byte, then at most so many bytes per second (0: no limit).
    Slow {
        /// Before anything is answered.
        before: Duration,
        /// Of the body.
        bytes_per_second: u64,
    },
    /// A TCP reset in the place of an answer.
    Reset,
    /// A TCP reset after so many bytes of the body.
    ResetAfter(usize),
    /// One bit of the byte at this offset (modulo the length) of the body is another.
    FlipByte(usize),
    /// The body is so much longer (zeroes) or shorter, and Content-Length agrees with it.
    WrongLength(i64),
    /// The bytes of another object of the bucket under the headers of the right one.
    Substitute {
        /// The other object's key.
        key: String,
    },
    /// An error of S3's own.
    Refuse(Refusal),
    /// A listing whose XML stops in the middle, in a well-framed answer.
    TruncatedListing,
    /// A listing that says that there is more, and not how to ask for it.
    ListingWithoutToken,
    /// A listing that lacks so many keys of each page, evenly spread; its KeyCount is the true one.
    ListingDropsKeys(usize),
    /// A well-formed, complete listing of nothing.
    EmptyListing,
    /// No answer, for as long as the client stays.
    Hang,
    /// Nothing more after so many bytes of the body, for as long as the client stays.
    HangAfter(usize),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault::Refuse(refusal)
    }
}

/// Which keys a rule is about; for a listing, which prefixes.
#[derive(Clone, Default)]
pub enum Keys {
    /// All.
    #[default]
    Any,
    /// `*` is any run of characters, `/` too; `?` is one.
    Glob(String),
    /// Whatever this says.
    Matching(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keys::Any => formatter.write_str("Any"),
            Keys::Glob(pattern) => write!(formatter, "Glob({pattern:?})"),
            Keys::Matching(_) => formatter.write_str("Matching(..)"),
        }
    }
}

impl Keys {
    fn hold(&self, key: &str) -> bool {
        match self {
            Keys::Any => true,
            Keys::Glob(pattern) => glob(pattern.as_bytes(), key.as_bytes()),
            Keys::Matching(decide) => decide(key),
        }
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        Some((b'?', rest)) => !text.is_empty() && glob(rest, &text[1..]),
        Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

/// When a rule acts, counted in the requests that its operation and keys match, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum When {
    /// Each time.
    #[default]
    Always,
    /// The first so many times.
    Times(u64),
    /// That one time.
    Nth(u64),
    /// From that time on.
    From(u64),
    /// With that probability, from 0 to 1, by the seed of [`Faults::seed`].
    Probability(f64),
}

/// A fault, and which requests get it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// All operations when `None`.
    pub operation: Option<Operation>,
    /// Which keys.
    pub keys: Keys,
    /// Which of the requests that match.
    pub when: When,
    /// What happens to them.
    pub fault: Fault,
}

impl Rule {
    /// That fault at each request.
    pub fn new(fault: impl Into<Fault>) -> Rule {
        Rule {
            operation: None,
            keys: Keys::Any,
            when: When::Always,
            fault: fault.into(),
        }
    }

    /// Only at this operation.
    pub fn on(mut self, operation: Operation) -> Rule {
        self.operation = Some(operation);
        self
    }

    /// Only at keys (for a listing: prefixes) like this pattern.
    pub fn glob(mut self, pattern: &str) -> Rule {
        self.keys = Keys::Glob(pattern.to_owned());
        self
    }

    /// Only at keys of which this is true.
    pub fn matching(mut self, decide: impl Fn(&str) -> bool + Send + Sync + 'static) -> Rule {
        self.keys = Keys::Matching(Arc::new(decide));
        self
    }

    /// Only then.
    pub fn when(mut self, when: When) -> Rule {
        self.when = when;
        self
    }

    /// Only the first so many times.
    pub fn times(self, count: u64) -> Rule {
        self.when(When::Times(count))
    }

    /// Only the `number`th time, counted from 1.
    pub fn nth(self, number: u64) -> Rule {
        self.when(When::Nth(number))
    }

    /// With that probability, from 0 to 1.
    pub fn probability(self, share: f64) -> Rule {
        self.when(When::Probability(share))
    }
}

/// Names a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(u64);

/// The rules in force. The first that acts decides; those after it do not see the request.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Vec<Active>,
    last: u64,
    random: fastrand::Rng,
}

impl Default for State {
    fn default() -> Self {
        State {
            rules: Vec::new(),
            last: 0,
            random: fastrand::Rng::with_seed(0),
        }
    }
}

#[derive(Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    matched: u64,
    acted: u64,
}

impl Faults {
    /// Adds a rule behind the others.
    pub fn add(&self, rule: Rule) -> RuleId {
        self.with(|state| {
            state.last += 1;
            let id = RuleId(state.last);
            state.rules.push(Active {
                id,
                rule,
                matched: 0,
                acted: 0,
            });
            id
        })
    }

    /// Takes a rule away; says whether it was there.
    pub fn remove(&self, id: RuleId) -> bool {
        self.with(|state| {
            let before = state.rules.len();
            state.rules.retain(|active| active.id != id);
            state.rules.len() < before
        })
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.with(|state| state.rules.clear());
    }

    /// These rules and no others, from one request to the next.
    pub fn replace(&self, rules: impl IntoIterator<Item = Rule>) -> Vec<RuleId> {
        self.clear();
        rules.into_iter().map(|rule| self.add(rule)).collect()
    }

    /// How often a rule has acted; 0 when it is gone.
    pub fn acted(&self, id: RuleId) -> u64 {
        self.with(|state| {
            state
                .rules
                .iter()
                .find(|active| active.id == id)
                .map_or(0, |active| active.acted)
        })
    }

    /// Seeds the probabilities, so that a failing run can be had again.
    pub fn seed(&self, seed: u64) {
        self.with(|state| state.random.seed(seed));
    }

    /// The fault of this request, if it has one.
    pub(super) fn decide(&self, operation: Operation, key: &str) -> Option<Fault> {
        self.with(|state| {
            let State { rules, random, .. } = state;
            for active in rules.iter_mut() {
                let rule = &active.rule;
                if rule.operation.is_some_and(|wanted| wanted != operation) || !rule.keys.hold(key)
                {
                    continue;
                }
                active.matched += 1;
                let acts = match rule.when {
                    When::Always => true,
                    When::Times(count) => active.matched <= count,
                    When::Nth(number) => active.matched == number,
                    When::From(number) => active.matched >= number,
                    When::Probability(share) => random.f64() < share,
                };
                if acts {
                    active.acted += 1;
                    return Some(rule.fault.clone());
                }
            }
            None
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_the_requests_that_match_them() {
        let faults = Faults::default();
        let id = faults.add(
            Rule::new(Fault::Reset)
                .on(Operation::Get)
                .glob("dags/*.py")
                .nth(2),
        );
        for (operation, key, acts) in [
            (Operation::Get, "dags/a.py", false),
            (Operation::Get, "dags/a.sql", false),
            (Operation::Head, "dags/a.py", false),
            (Operation::Get, "dags/deep/b.py", true),
            (Operation::Get, "dags/a.py", false),
        ] {
            assert_eq!(
                faults.decide(operation, key).is_some(),
                acts,
                "{operation:?} {key}"
            );
        }
        assert_eq!(faults.acted(id), 1);
    }

    #[test]
    fn the_first_rule_that_acts_decides() {
        let faults = Faults::default();
        faults.add(Rule::new(Fault::Reset).times(1));
        let second = faults.add(Rule::new(Refusal::slow_down()));
        assert_eq!(faults.decide(Operation::Get, "a"), Some(Fault::Reset));
        assert_eq!(
            faults.decide(Operation::Get, "a"),
            Some(Fault::Refuse(Refusal::slow_down()))
        );
        assert!(faults.remove(second));
        assert_eq!(faults.decide(Operation::Get, "a"), None);
    }

    #[test]
    fn probabilities_follow_the_seed() {
        let run = |seed| {
            let faults = Faults::default();
            faults.seed(seed);
            faults.add(Rule::new(Fault::Hang).probability(0.3));
            (0..200)
                .map(|_| faults.decide(Operation::List, "").is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let hits = run(1).into_iter().filter(|hit| *hit).count();
        assert!((30..90).contains(&hits), "{hits} of 200");
    }
}
