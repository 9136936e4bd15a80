//! Everything that can go wrong between S3 and s3sync.

use crate::support::Bench;
use fastrand::Rng;
use std::time::{Duration, Instant};
use testkit::s3::{Fault, Operation, Refusal, Rule};

/// The requests that a sync makes.
pub(crate) const OPERATIONS: [Operation; 3] = [Operation::List, Operation::Get, Operation::Head];

/// Every fault that says anything about a request of this kind.
pub(crate) fn faults(operation: Operation) -> Vec<Fault> {
    let slow = Fault::Slow {
        before: Duration::from_millis(100),
        bytes_per_second: 1 << 20,
    };
    let mut faults = vec![Fault::Reset, Fault::CutAfter(0), Fault::Hang, slow];
    if operation != Operation::Head {
        faults.extend([
            Fault::CutAfter(40),
            Fault::ResetAfter(40),
            Fault::HangAfter(40),
            Fault::FlipByte(45),
            Fault::FlipByte(usize::MAX / 7),
            Fault::WrongLength(-1),
            Fault::WrongLength(1),
            Fault::WrongLength(-40),
        ]);
    }
    match operation {
        Operation::List => faults.extend([
            Fault::TruncatedListing,
            Fault::ListingWithoutToken,
            Fault::ListingDropsKeys(1),
            Fault::ListingDropsKeys(20),
            Fault::EmptyListing,
        ]),
        Operation::Get => faults.push(Fault::Substitute {
            key: "dags/staying/f00.py".to_string(),
        }),
        _ => {}
    }
    faults.extend(refusals().map(Fault::Refuse));
    faults
}

fn refusals() -> impl Iterator<Item = Refusal> {
    [
        Refusal::access_denied(),
        Refusal::kms_access_denied(),
        Refusal::kms_throttling(),
        Refusal::expired_token(),
        Refusal::expired_token_403(),
        Refusal::invalid_access_key(),
        Refusal::signature_does_not_match(),
        Refusal::time_too_skewed(),
        Refusal::internal_error(),
        Refusal::slow_down(),
        Refusal::service_unavailable(),
        Refusal::new(502, "", "<html>Bad Gateway</html>"),
    ]
    .into_iter()
}

/// Whether a request that meets this fault is never answered: s3sync gives up after 20 s.
pub(crate) fn hangs(fault: &Fault) -> bool {
    matches!(fault, Fault::Hang | Fault::HangAfter(_))
}

/// One to three faults at once, each at a share of the requests of one kind, and always some bytes
/// that lie: without those, a client that checks nothing would get through most mixes.
fn some_rules(random: &mut Rng) -> Vec<Rule> {
    let mut rules = Vec::new();
    for _ in 0..random.usize(1..=3) {
        let operation = OPERATIONS[random.usize(0..OPERATIONS.len())];
        let faults = faults(operation);
        let fault = faults[random.usize(0..faults.len())].clone();
        // What hangs, hangs for long: more often, and nothing else would be tried any more.
        let most = if hangs(&fault) { 0.02 } else { 0.6 };
        rules.push(
            Rule::new(fault)
                .on(operation)
                .probability(random.f64() * most),
        );
    }
    let lie = Fault::FlipByte(random.usize(..));
    rules.push(Rule::new(lie).on(Operation::Get).probability(0.2));
    rules
}

/// Some faults for a while, then nobody there for a moment, then none; `look` now and then.
pub(crate) fn weather<T>(
    bench: &Bench,
    random: &mut Rng,
    end: Instant,
    mut look: impl FnMut() -> T,
) -> Vec<T> {
    let mut looks = Vec::new();
    let mut last = |milliseconds: u64| {
        let end = end.min(Instant::now() + Duration::from_millis(milliseconds));
        while Instant::now() < end {
            std::thread::sleep(
                Duration::from_millis(100).min(end.saturating_duration_since(Instant::now())),
            );
            looks.push(look());
        }
    };
    bench.s3.faults().replace(some_rules(random));
    last(random.u64(200..2_000));
    bench.s3.faults().clear();
    // Ends what hangs, too, which would else be given up after 20 s: most of the time would be waiting.
    bench.s3.go_down();
    last(random.u64(0..300));
    bench.s3.come_back();
    last(random.u64(0..1_000));
    looks
}
