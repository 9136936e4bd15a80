//! Removing old generations, beside the passes. Blocking.

use super::home::Home;
use super::keep::{Keep, removable};
use crate::dest::Dest;
use crate::revision::Revision;
use crate::stage::Stage;
use std::io;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};
use tracing::{debug, info};

/// Removes what may go while `current` is the current one, until `stop` is set.
pub(super) fn remove_old(
    dest: &Dest,
    stage: &Stage,
    current: Revision,
    keep: Keep,
    stop: &AtomicBool,
) -> io::Result<()> {
    let Some(home) = dest.home() else {
        return Ok(());
    };
    while let Some(id) = take_one(home, stage, current, keep)? {
        info!(%id, event = "generation_removed", "a generation that is no longer kept is removed");
    }
    let begun = Instant::now();
    stage.remove_trees(stop)?;
    debug!(
        seconds = begun.elapsed().as_secs_f64(),
        event = "generations_cleaned",
        "nothing is left to remove"
    );
    Ok(())
}

/// Takes one out of readers' sight. Between two of them a pass may make an old one current again, so
/// what may go is found anew for each.
fn take_one(
    home: &Home,
    stage: &Stage,
    current: Revision,
    keep: Keep,
) -> io::Result<Option<Revision>> {
    let _turn = home.turn();
    if home.current()? != Some(current) {
        return Ok(None);
    }
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as i64;
    let Some(&id) = removable(&home.kept()?, &current, keep, now).first() else {
        return Ok(None);
    };
    let taken = stage.take_tree(&home.generations()?, &id.to_string())?;
    Ok(taken.then_some(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dest::Modes;
    use crate::generations::{CURRENT, GENERATIONS};
    use crate::settings::Layout;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn a_generation_that_becomes_current_before_its_removal_stays() {
        let directory = tempfile::tempdir().unwrap();
        let modes = Modes {
            file: 0o664,
            directory: 0o775,
        };
        let dest = Dest::open_as(Layout::Generations, directory.path(), None, modes).unwrap();
        let stage = Stage::open(&dest, 1).unwrap();
        let home = dest.home().unwrap();
        let ids = ["a", "b", "c"].map(|digit| Revision::parse(&digit.repeat(64)).unwrap());
        let path_of = |id: Revision| directory.path().join(GENERATIONS).join(id.to_string());
        for (id, hours) in ids.into_iter().zip([9, 8, 7]) {
            std::fs::create_dir_all(path_of(id)).unwrap();
            let used = SystemTime::now() - Duration::from_secs(hours * 3600);
            File::open(path_of(id)).unwrap().set_modified(used).unwrap();
        }
        let [oldest, before, newest] = ids;
        let write = |id| std::fs::write(directory.path().join(CURRENT), format!("{id}\n")).unwrap();
        write(newest);
        let keep = Keep {
            count: 1,
            age: Duration::ZERO,
        };
        let stop = AtomicBool::new(false);
        let remove = || remove_old(&dest, &stage, newest, keep, &stop).unwrap();
        std::thread::scope(|threads| {
            // As a landing does that found the oldest whole.
            let turn = home.turn();
            let remover = threads.spawn(remove);
            write(oldest);
            drop(turn);
            remover.join().unwrap();
        });
        assert!(path_of(oldest).is_dir());
        write(newest);
        remove();
        assert_eq!(
            [oldest, before, newest].map(|id| path_of(id).is_dir()),
            [false, true, true]
        );
    }
}
