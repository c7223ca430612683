//! How an event moves between waiting and dead letter, which no store does in one step.
//!
//! There is one way through the names that an event can have. It is accepted as `q.….r`, becomes
//! the dead letter `d.….r`, waits again as `q.….r+1`, and so on. A move sets the next name, then
//! deletes the one before; a crash in between leaves both, and a listing takes the later one for
//! the event.
//!
//! So but for delivery and purge a name is only deleted once a later one was set. A delete can
//! therefore come as late as it likes: a drainer that stalls for longer than its lease between the
//! two halves deletes nothing that others made of the event meanwhile. A set that comes late makes
//! an earlier name again, and that loses to the later one.

use crate::edge::repeats;
use crate::outbox::{EventKey, Place, sort_out};
use crate::prelude::*;
use crate::sort::sort;
use crate::store::{Store, StoreError};

/// More redrives of one event than there will be, and far fewer than there are random numbers.
const MOST_MOVES: u64 = 1 << 16;

/// The events of the outbox, each in one place only.
pub(crate) struct Listing {
    /// Those that wait, oldest first.
    pub waiting: Vec<EventKey>,
    /// The dead letters, oldest first.
    pub dead: Vec<EventKey>,
    /// Names to delete: those that moves left over, and of the answers that are kept for requests
    /// that come again the oldest, where there are too many.
    pub left_over: Vec<String>,
}

/// The key under which a dead letter waits again.
pub(crate) fn next_key(key: EventKey) -> EventKey {
    EventKey {
        random: key.random.wrapping_add(1),
        ..key
    }
}

/// Whether both name the same event, `later` after as many moves or more.
fn follows(later: &EventKey, earlier: &EventKey) -> bool {
    let moves = later.random.wrapping_sub(earlier.random);
    EventKey {
        random: later.random,
        ..*earlier
    } == *later
        && moves < MOST_MOVES
}

/// Lists the store.
pub(crate) fn list(store: &mut dyn Store) -> Result<Listing, StoreError> {
    let names = store.list_keys()?;
    let mut places = sort_out(&names);
    let mut left_over = repeats::too_many(&names);
    for (keys, place) in places.iter_mut().zip([Place::Waiting, Place::Dead]) {
        sort(keys, |a, b| a < b);
        keys.dedup_by(|later, kept| {
            let same = follows(later, kept);
            if same {
                left_over.push(kept.name(place));
                *kept = *later;
            }
            same
        });
    }
    let [mut waiting, mut dead] = places;
    dead.retain(|key| {
        let after = waiting.partition_point(|k| k <= key);
        if waiting.get(after).is_some_and(|k| follows(k, key)) {
            left_over.push(key.name(Place::Dead));
            return false;
        }
        if after > 0 && follows(key, &waiting[after - 1]) {
            left_over.push(waiting.remove(after - 1).name(Place::Waiting));
        }
        true
    });
    Ok(Listing {
        waiting,
        dead,
        left_over,
    })
}

/// Lists the store, and deletes what is left over: for those who hold the lease.
pub(crate) fn settle(store: &mut dyn Store) -> Result<[Vec<EventKey>; 2], StoreError> {
    let listing = list(store)?;
    if !listing.left_over.is_empty() {
        store.delete_many(&listing.left_over)?;
    }
    Ok([listing.waiting, listing.dead])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Stage;
    use crate::testing::Memory;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn of_all_the_names_of_an_event_the_latest_counts(
            names in proptest::collection::vec((0..4u64, 0..3u64, any::<bool>()), 0..20)
        ) {
            let mut store = Memory::default();
            // By event, how far it is on its way.
            let mut latest = BTreeMap::new();
            let mut all = Vec::new();
            for (event, moves, dead) in names {
                let place = if dead { Place::Dead } else { Place::Waiting };
                // Two are alike in all but the random number.
                let key = EventKey {
                    ns: 7 + event / 2,
                    interaction: 1,
                    stage: Stage::Progress,
                    size: 2,
                    random: (event % 2) << 40 | moves,
                };
                let at = latest.entry(event).or_insert((moves, dead, key));
                *at = (*at).max((moves, dead, key));
                all.push(key.name(place));
                store.map.insert(key.name(place), Vec::new());
            }
            all.sort();
            all.dedup();
            let listing = list(&mut store).unwrap();
            for (keys, place) in [(&listing.waiting, false), (&listing.dead, true)] {
                let mut expected: Vec<_> = latest.values().filter(|at| at.1 == place).collect();
                expected.sort_by_key(|at| at.2);
                let expected: Vec<_> = expected.into_iter().map(|at| at.2).collect();
                prop_assert_eq!(keys, &expected);
            }
            prop_assert_eq!(listing.left_over.len() + latest.len(), all.len());
            settle(&mut store).unwrap();
            prop_assert_eq!(store.map.len(), latest.len());
        }
    }
}
