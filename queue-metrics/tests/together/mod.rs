//! Tests that wait far more than they work, side by side.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unreachable_pub, reason = "a module of test binaries")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle};

/// Makes tests of functions that wait far more than they work. The first one starts them all, because
/// libtest runs only as many at a time as there are cores; one that is asked for by name runs alone.
macro_rules! at_once {
    ($($name:ident),* $(,)?) => {
        mod at_once {
            static RUNS: std::sync::LazyLock<super::together::Runs> = std::sync::LazyLock::new(|| {
                super::together::Runs::start(&[$((stringify!($name), super::$name)),*])
            });
            $(
                #[test]
                fn $name() {
                    RUNS.end(stringify!($name), super::$name);
                }
            )*
        }
    };
}

/// Tests that were started, by name.
pub struct Runs(Mutex<HashMap<&'static str, JoinHandle<()>>>);

impl Runs {
    pub fn start(tests: &[(&'static str, fn())]) -> Self {
        let by_name = std::env::args().skip(1).any(|word| !word.starts_with('-'));
        let tests = if by_name { &[] } else { tests };
        let runs = tests.iter().map(|(name, test)| {
            let run = Builder::new().name((*name).to_owned()).spawn(*test);
            (*name, run.unwrap())
        });
        Self(Mutex::new(runs.collect()))
    }

    /// Waits for its end, and fails as it did.
    pub fn end(&self, name: &str, test: fn()) {
        let run = self.0.lock().unwrap().remove(name);
        match run.map(JoinHandle::join) {
            None => test(),
            Some(Ok(())) => {}
            Some(Err(why)) => std::panic::resume_unwind(why),
        }
    }
}
