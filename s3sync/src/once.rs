//! `s3sync once`: one pass, and a report.

use crate::board::Board;
use crate::failure::Failure;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::report::{Report, Tally};
use crate::session::{Ending, Surroundings, owner, rules};
use crate::settings::Once;
use crate::writer::Writer;
use agent::exit::Exit;
use agent::metrics::Metrics;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long the lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Between tries while it is held by another.
const LOCK_POLL: Duration = Duration::from_millis(250);
/// Passes that a set may be held back for, and the one that lets the rest go.
const PASSES: u32 = crate::setbacks::HELD_PASSES + 1;
/// Between these passes.
const PAUSE: Duration = Duration::from_millis(500);

/// Makes one pass.
pub async fn once(
    settings: &Once,
    around: &Surroundings,
    metrics: Metrics,
) -> Result<Option<Report>, Ending> {
    let begun = Instant::now();
    let rules = rules(
        &settings.deletes,
        &settings.patterns,
        &settings.transfer,
        &settings.local,
        &settings.landing,
        Duration::from_secs(300),
    )?;
    let dest = around
        .dest(&settings.ends, &settings.local, &settings.landing)
        .await
        .map_err(Failure::from)?;
    let source = around.source(&settings.ends.source, &settings.transfer);
    let Some(lock) = wait_for_lock(around, &dest).await? else {
        return Ok(None);
    };
    let board = Board::new(
        around.status.clone(),
        metrics,
        &settings.ends.source.to_string(),
    );
    let mut writer = Writer::open(
        source,
        dest,
        Arc::clone(&lock),
        rules,
        around.status.clone(),
    )
    .await?;
    name_unmanaged(&writer);
    board.begin(&writer).await;
    writer.progress = Progress::on_terminal();
    let bursting = Arc::clone(&writer.bursting);
    let ended = {
        let passes = passes(&mut writer, &board);
        tokio::pin!(passes);
        tokio::select! {
            ended = &mut passes => Some(ended),
            () = leave(around, &bursting) => None,
            () = board.keep_time(Arc::clone(&lock)) => Some(passes.await),
        }
    };
    let answer = match ended {
        None => {
            info!(
                event = "stopped",
                "stopped as asked, before the pass was complete"
            );
            Ok(None)
        }
        Some(Ok(tally)) => Ok(Some(Report::of(
            &mut writer,
            tally,
            begun.elapsed().as_secs_f64(),
        ))),
        Some(Err(failure)) => Err(failure.into()),
    };
    board.finish().await;
    leave_in_order(writer, &board, &lock, answer.is_ok()).await;
    answer
}

/// Removes staging and says good-bye to those who wait for the lock.
pub async fn leave_in_order(writer: Writer, board: &Board, lock: &Arc<Lock>, clean: bool) {
    let clean = clean && writer.journal.is_some();
    writer.close().await;
    if let Err(error) = board.beat(lock, clean).await {
        warn!(%error, event = "heartbeat_failed", "the last heartbeat cannot be written");
    }
}

/// Until a signal came and no burst is under way.
pub async fn leave(around: &Surroundings, bursting: &std::sync::atomic::AtomicBool) {
    around.shutdown.wait().await;
    while bursting.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for_lock(
    around: &Surroundings,
    dest: &Arc<crate::dest::Dest>,
) -> Result<Option<Arc<Lock>>, Ending> {
    let owner = owner();
    let until = Instant::now() + LOCK_WAIT;
    loop {
        let theirs = match around.attempt(dest, &owner).await.map_err(Failure::from)? {
            Ok(lock) => return Ok(Some(lock)),
            Err((heartbeat, _)) => heartbeat.owner,
        };
        if Instant::now() >= until {
            let why = format!(
                "{} is locked by another s3sync, {theirs}, for more than 30 s: wait for it, or stop it",
                dest.path().display()
            );
            return Err(Ending::new(Exit::Unavailable, why));
        }
        tokio::select! {
            () = tokio::time::sleep(LOCK_POLL) => {}
            () = around.shutdown.wait() => return Ok(None),
        }
    }
}

async fn passes(writer: &mut Writer, board: &Board) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    for number in 1..=PASSES {
        let begun = Instant::now();
        let passed = writer.pass(Duration::ZERO, |_| board.listed()).await?;
        board.passed(writer, &passed, begun.elapsed().as_secs_f64());
        tally.add(passed.tally);
        // What had to be repaired before it could be a generation takes another pass.
        if !passed.held_back && !writer.is_unlanded() || number == PASSES {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    writer.cleaned_up().await;
    Ok(tally)
}

/// Names the unmanaged Python files once: they are what runs without anybody's upload.
pub fn name_unmanaged(writer: &Writer) {
    const SHOWN: usize = 20;
    let python: Vec<&str> = writer
        .unmanaged
        .iter()
        .map(|path| &**path)
        .filter(|path| path.ends_with(".py"))
        .collect();
    if !python.is_empty() {
        let files = python
            .iter()
            .take(SHOWN)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        warn!(
            files,
            count = python.len(),
            unmanaged = writer.unmanaged.len(),
            event = "unmanaged_python",
            "DEST holds Python files that are not managed; those that S3 does not have stay"
        );
    }
}
