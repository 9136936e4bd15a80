//! What `prune` keeps: pure.
//!
//! | object | removed when |
//! |---|---|
//! | manifest | it is none of the newest by S3's clock, nothing names it, and it is a day old |
//! | content | no kept manifest needs it, and it is a day old |
//!
//! What is younger than a day may belong to a release that is being published.

use crate::release::{content_of, release_of};
use crate::revision::Hash;
use crate::source::Stored;
use std::collections::BTreeSet;

/// How long nothing is removed, in milliseconds.
pub(super) const A_DAY: i64 = 24 * 3600 * 1000;

/// The releases whose manifests stay: `newest` of the newest, those that `named` holds, and what is
/// younger than a day at `now`.
pub(super) fn kept(
    manifests: &[Stored],
    newest: usize,
    named: &BTreeSet<Hash>,
    now: i64,
) -> BTreeSet<Hash> {
    by_age(manifests)
        .into_iter()
        .enumerate()
        .filter(|(index, (release, modified))| {
            *index < newest || named.contains(release) || now - modified < A_DAY
        })
        .map(|(_, (release, _))| release)
        .collect()
}

/// Releases, the newest first by S3's clock; no publisher's clock has a say.
pub(super) fn by_age(manifests: &[Stored]) -> Vec<(Hash, i64)> {
    let mut all: Vec<(Hash, i64)> = manifests
        .iter()
        .filter_map(|object| Some((release_of(&object.key)?, object.modified)))
        .collect();
    all.sort_unstable_by_key(|(release, modified)| (std::cmp::Reverse(*modified), *release));
    all
}

/// The manifests that go, once `kept` stay.
pub(super) fn gone_manifests<'a>(
    manifests: &'a [Stored],
    kept: &BTreeSet<Hash>,
) -> Vec<&'a Stored> {
    manifests
        .iter()
        .filter(|object| release_of(&object.key).is_some_and(|release| !kept.contains(&release)))
        .collect()
}

/// The content that goes: not needed, and a day old at `now`.
pub(super) fn gone_content<'a>(
    content: &'a [Stored],
    needed: &BTreeSet<Hash>,
    now: i64,
) -> Vec<&'a Stored> {
    content
        .iter()
        .filter(|object| {
            now - object.modified >= A_DAY
                && content_of(&object.key).is_some_and(|hash| !needed.contains(&hash))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{content_key, manifest_key};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const NOW: i64 = 100 * A_DAY;

    fn stored(key: String, days_old: i64) -> Stored {
        Stored {
            key: key.into(),
            size: 1,
            modified: NOW - days_old * A_DAY,
        }
    }

    fn hash(byte: u8) -> Hash {
        [byte; 32]
    }

    proptest! {
        /// A bucket after a prune: whatever the history, what is kept can be read whole, what is
        /// named is kept, nothing young goes, and pruning again finds nothing.
        #[test]
        fn what_stays_is_whole_and_what_goes_is_needed_by_nothing(
            releases in prop::collection::btree_map(
                0u8..12, (0i64..5, prop::collection::btree_set(0u8..20, 0..6)), 0..12),
            strays in prop::collection::btree_map(0u8..30, 0i64..5, 0..30),
            newest in 1usize..6,
            named in prop::collection::btree_set(0u8..14, 0..4),
        ) {
            let manifests: Vec<Stored> = releases
                .iter()
                .map(|(release, (age, _))| stored(manifest_key(&hash(*release)), *age))
                .collect();
            // Content is at least as old as nothing in particular: it may be a day old already.
            let mut ages: BTreeMap<u8, i64> = strays;
            for (age, files) in releases.values() {
                for file in files {
                    ages.entry(*file).or_insert(*age);
                }
            }
            let content: Vec<Stored> = ages
                .iter()
                .map(|(byte, age)| stored(content_key(&hash(*byte)), *age))
                .collect();
            let named: BTreeSet<Hash> = named.into_iter().map(hash).collect();

            let kept = kept(&manifests, newest, &named, NOW);
            let needed: BTreeSet<Hash> = releases
                .iter()
                .filter(|(release, _)| kept.contains(&hash(**release)))
                .flat_map(|(_, (_, files))| files.iter().map(|file| hash(*file)))
                .collect();
            let manifests_gone = gone_manifests(&manifests, &kept);
            let content_gone = gone_content(&content, &needed, NOW);

            prop_assert!(kept.len() >= newest.min(releases.len()));
            for (release, (age, files)) in &releases {
                let stays = !manifests_gone.iter().any(|gone| *gone.key == manifest_key(&hash(*release)));
                prop_assert_eq!(stays, kept.contains(&hash(*release)));
                prop_assert!(stays || *age >= 1 && !named.contains(&hash(*release)));
                // Every one that goes is older than every one that stays for its age alone.
                let newer = releases.values().filter(|(other, _)| other < age).count();
                prop_assert!(stays || newer + releases.values().filter(|(other, _)| other == age).count() > newest);
                for file in files {
                    let there = !content_gone.iter().any(|gone| *gone.key == content_key(&hash(*file)));
                    prop_assert!(!stays || there, "release {release} lacks {file}");
                }
            }
            prop_assert!(content_gone.iter().all(|gone| NOW - gone.modified >= A_DAY));

            let left: Vec<Stored> = manifests.iter().filter(|object| !manifests_gone.contains(object)).cloned().collect();
            prop_assert!(gone_manifests(&left, &super::kept(&left, newest, &named, NOW)).is_empty());
        }
    }

    #[test]
    fn what_is_none_of_ours_is_left_alone() {
        let other = [
            stored(".s3sync/releases/manifest/readme.txt".to_string(), 9),
            stored(".s3sync/releases/content/notes".to_string(), 9),
        ];
        assert!(gone_manifests(&other, &BTreeSet::new()).is_empty());
        assert!(gone_content(&other, &BTreeSet::new(), NOW).is_empty());
    }
}
