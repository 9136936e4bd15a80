//! Starts programs in turn and times each from its start to its exit, for bench/healthcheck.py:
//!
//! ```text
//! turns RUNS PROGRAM [ARGUMENT...] [-- PROGRAM [ARGUMENT...]]...
//! ```
//!
//! One line for each program: its times in microseconds. Every turn has another order, drawn anew: who
//! always follows the same one finds the caches as that one leaves them, which is worth more than the
//! differences. A small process starts programs in less time than Python takes beside them.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((runs, words)) = words.split_first() else {
        return ExitCode::FAILURE;
    };
    let Ok(runs) = runs.parse::<usize>() else {
        return ExitCode::FAILURE;
    };
    let commands: Vec<&[String]> = words.split(|word| word == "--").collect();
    let mut times = vec![Vec::new(); commands.len()];
    let mut order: Vec<usize> = (0..commands.len()).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    // The first turn only warms the caches.
    for turn in 0..=runs {
        shuffle(&mut order, &mut random);
        for &which in &order {
            let [program, arguments @ ..] = commands[which] else {
                return ExitCode::FAILURE;
            };
            let mut command = Command::new(program);
            command
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            let began = Instant::now();
            let status = command.status();
            let took = began.elapsed();
            if !status.as_ref().is_ok_and(|status| status.success()) {
                eprintln!("turns: {program}: {status:?}");
                return ExitCode::FAILURE;
            }
            if turn > 0 {
                times[which].push(took.as_nanos() as f64 / 1000.0);
            }
        }
    }
    for times in &times {
        println!(
            "{}",
            times
                .iter()
                .map(f64::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        );
    }
    ExitCode::SUCCESS
}

/// Fisher and Yates, by Marsaglia's xorshift from a fixed seed.
fn shuffle(order: &mut [usize], random: &mut u64) {
    for place in (1..order.len()).rev() {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        order.swap(place, (*random % (place as u64 + 1)) as usize);
    }
}
