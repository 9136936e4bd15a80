//! Making a generation the current one, from whatever is there. Blocking.

use super::check::{Depth, check};
use super::home::{CURRENT, Home};
use super::make::{self, Link, Made, Unmade};
use super::picture::Picture;
use crate::dest::{Dest, DestError};
use crate::filter::Filter;
use crate::lock::Lock;
use crate::revision::Revision;
use crate::stage::Stage;
use agent::status::Status;
use std::collections::BTreeSet;
use std::io;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// How the generation came to be there.
    pub how: How,
    /// What `current` named before.
    pub before: Option<Revision>,
}

/// How the current generation came to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It was made.
    Made(Made),
    /// It was made because what was there is damaged: in these words.
    MadeAnew(Made, String),
    /// It was there.
    Kept,
    /// The tree holds another set by now, and the generation is gone.
    Gone,
}

/// Why a generation is not the current one.
#[derive(Debug)]
pub enum Unlanded {
    /// These files of the tree are not as they were published: the next pass repairs them.
    Drifted(BTreeSet<Box<str>>),
    /// Another writer reigns.
    Dethroned,
    /// The file system refused.
    Dest(DestError),
}

/// Where generations land.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// DEST, with its home.
    pub dest: &'a Dest,
    /// DEST as readers see it.
    pub home: &'a Home,
    /// Where a generation is made.
    pub stage: &'a Stage,
    /// The reign.
    pub lock: &'a Lock,
    /// What does not count as a part of a generation.
    pub filter: &'a Filter,
    /// Shows which call the file system does not answer: all of them together may take long.
    pub status: &'a Status,
}

/// Makes `id` the current generation. `picture` is what the tree holds, where that is `id`; `known` what
/// `current` names, where that is known.
pub fn land(
    place: Place<'_>,
    id: Revision,
    known: Option<Revision>,
    picture: Option<&Picture>,
    link: &dyn Link,
) -> Result<Landed, Unlanded> {
    let ended = {
        let waiting = place.status.activity("DEST", "rename");
        let _turn = place.home.turn();
        drop(waiting);
        steps(place, id, known, picture, link)
    };
    match ended {
        // A staging directory that vanished is how a new writer keeps an old one out.
        Err(Unlanded::Dest(_) | Unlanded::Drifted(_))
            if matches!(place.lock.still_ours(), Ok(false)) =>
        {
            Err(Unlanded::Dethroned)
        }
        ended => ended,
    }
}

fn steps(
    place: Place<'_>,
    id: Revision,
    known: Option<Revision>,
    picture: Option<&Picture>,
    link: &dyn Link,
) -> Result<Landed, Unlanded> {
    let Place {
        dest,
        home,
        stage,
        filter,
        status,
        ..
    } = place;
    dest.check_in_place().map_err(Unlanded::Dest)?;
    let fail = |doing, what: String| {
        move |error: io::Error| Unlanded::Dest(DestError::new(doing, what, error))
    };
    let name = || format!("generation {id}");
    let generations = home
        .generations()
        .map_err(fail("open", super::GENERATIONS.to_string()))?;
    let there = home.holds(id).map_err(fail("look at", name()))?;
    let damage = match picture {
        Some(picture) if there => check(home, id, picture, filter, Depth::Bytes, status)
            .map_err(fail("look at", name()))?,
        _ => None,
    };
    let how = match picture {
        Some(picture) if !there || damage.is_some() => {
            let (tree, made) =
                make::make(place, id, picture, link).map_err(|unmade| match unmade {
                    Unmade::Drifted(paths) => Unlanded::Drifted(paths),
                    Unmade::Dest(error) => Unlanded::Dest(error),
                })?;
            let leaf = id.to_string();
            stage
                .take_tree(&generations, &leaf)
                .and_then(|_| stage.put_tree(&tree, &generations, &leaf))
                .and_then(|()| Ok(rustix::fs::fsync(&generations)?))
                .map_err(fail("publish", name()))?;
            match damage {
                Some(why) => How::MadeAnew(made, why),
                None => How::Made(made),
            }
        }
        None if !there => How::Gone,
        _ => How::Kept,
    };
    let before = match known {
        Some(known) => Some(known),
        None => home.current().map_err(fail("read", CURRENT.to_string()))?,
    };
    if how != How::Gone && before != Some(id) {
        if let Some(before) = before {
            // Before and not after: a kill in between must not leave it older than it is.
            home.touch(before)
                .map_err(fail("touch", format!("generation {before}")))?;
        }
        stage
            .put_text(&format!("{id}\n"), home.handle(), CURRENT)
            .map_err(fail("replace", CURRENT.to_string()))?;
    }
    Ok(Landed { how, before })
}
