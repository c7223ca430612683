//! Bytes on their way from the copy loops to the observer.
//!
//! A copy loop appends what it is about to pass on, and never waits for more than that: what does not fit
//! is not observed, and its lines are counted. The observer is woken for the first bytes after a
//! pause only; then it comes by itself, and takes all that has gathered.

use crate::Direction;
use crate::clock::Clock;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the observer lets bytes gather. What is taken together is stored together.
const GATHER: Duration = Duration::from_millis(2);

/// Some bytes, or the want of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes.
    Bytes(&'a [u8]),
    /// Bytes are missing here.
    Gap,
}

#[derive(Debug, Default)]
struct State {
    gathered: Gathered,
    waiting: bool,
    closed: bool,
    /// Per direction: whether the last bytes were not taken.
    gap: [bool; 2],
    unobserved: u64,
}

/// What has gathered: all bytes in one place, and how they are divided.
#[derive(Debug, Default)]
pub struct Gathered {
    bytes: Vec<u8>,
    pieces: Vec<(Direction, u64, Option<usize>)>,
}

impl Gathered {
    /// Its pieces, in the order in which they came, each with its time.
    pub fn pieces(&self) -> impl Iterator<Item = (Direction, u64, Piece<'_>)> {
        let mut at = 0;
        self.pieces.iter().map(move |(direction, ns, length)| {
            let piece = match length {
                Some(length) => {
                    at += length;
                    Piece::Bytes(&self.bytes[at - length..at])
                }
                None => Piece::Gap,
            };
            (*direction, *ns, piece)
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        // A burst does not hold its memory for ever.
        self.bytes.shrink_to(256 << 10);
        self.pieces.clear();
        self.pieces.shrink_to(4 << 10);
    }
}

/// Most pieces at once: a stream of single bytes costs more than its bytes.
const MOST_PIECES: usize = 64 << 10;

/// Both ends of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handover {
    shared: Arc<(Mutex<State>, Condvar)>,
    clock: Clock,
    limit: usize,
}

impl Handover {
    /// One that holds at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize, clock: Clock) -> Self {
        Self {
            shared: Arc::default(),
            clock,
            limit,
        }
    }

    /// Bytes that are about to be passed on. Whether the observer is to be woken: after that.
    #[must_use]
    pub fn passing(&self, direction: Direction, bytes: &[u8]) -> bool {
        let now = self.clock.now_ns();
        let mut guard = self.state();
        let state = &mut *guard;
        if state.closed {
            return false;
        }
        let side = direction as usize;
        let gathered = &mut state.gathered;
        if gathered.bytes.len() + bytes.len() > self.limit || gathered.pieces.len() >= MOST_PIECES {
            if !state.gap[side] {
                gathered.pieces.push((direction, now, None));
                state.gap[side] = true;
            }
            state.unobserved += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        } else {
            gathered.bytes.extend_from_slice(bytes);
            gathered.pieces.push((direction, now, Some(bytes.len())));
            state.gap[side] = false;
        }
        state.waiting
    }

    /// Wakes the observer.
    pub fn wake(&self) {
        self.shared.1.notify_one();
    }

    /// Nothing more will come, or nothing more is wanted.
    pub fn close(&self) {
        self.state().closed = true;
        self.shared.1.notify_all();
    }

    /// Lines that passed and could not be observed.
    #[must_use]
    pub fn unobserved(&self) -> u64 {
        self.state().unobserved
    }

    /// Waits for bytes, and takes them in exchange for `taken`. False at the end.
    pub fn take(&self, taken: &mut Gathered) -> bool {
        taken.clear();
        let mut state = self.state();
        let mut woken = false;
        while state.gathered.pieces.is_empty() {
            if state.closed {
                return false;
            }
            state.waiting = true;
            woken = true;
            state = self
                .shared
                .1
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
        if woken && !state.closed {
            // Only who passed something before notifies now; so does closing.
            let waited = self.shared.1.wait_timeout(state, GATHER);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut state.gathered, taken);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it did so between two whole operations.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_a_gap_and_its_lines_are_counted() {
        let handover = Handover::new(8, Clock::start());
        for bytes in [&b"1234"[..], b"5678", b"a\nb\n", b"c\n"] {
            assert!(!handover.passing(Direction::ToServer, bytes));
        }
        assert!(!handover.passing(Direction::ToClient, b"x\n"));
        handover.close();
        assert!(!handover.passing(Direction::ToClient, b"late\n"));
        let mut taken = Gathered::default();
        assert!(handover.take(&mut taken));
        let pieces: Vec<_> = taken
            .pieces()
            .map(|(direction, _, piece)| (direction, piece))
            .collect();
        let (to_server, to_client) = (Direction::ToServer, Direction::ToClient);
        assert_eq!(
            pieces,
            [
                (to_server, Piece::Bytes(b"1234")),
                (to_server, Piece::Bytes(b"5678")),
                (to_server, Piece::Gap),
                (to_client, Piece::Gap)
            ]
        );
        assert!(!handover.take(&mut taken));
        assert_eq!(handover.unobserved(), 4);
    }

    #[test]
    fn all_that_is_passed_is_taken_in_order_from_several_threads() {
        let handover = Handover::new(1 << 20, Clock::start());
        let observer = std::thread::spawn({
            let handover = handover.clone();
            move || {
                let (mut taken, mut all) = (Gathered::default(), [Vec::new(), Vec::new()]);
                while handover.take(&mut taken) {
                    for (direction, _, piece) in taken.pieces() {
                        let Piece::Bytes(bytes) = piece else {
                            panic!("a gap")
                        };
                        all[direction as usize].extend_from_slice(bytes);
                    }
                }
                all
            }
        });
        let writers = [Direction::ToServer, Direction::ToClient].map(|direction| {
            let handover = handover.clone();
            std::thread::spawn(move || {
                for n in 0..10_000u32 {
                    if handover.passing(direction, &n.to_le_bytes()) {
                        handover.wake();
                    }
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        handover.close();
        let expected: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        assert!(observer.join().unwrap().iter().all(|all| *all == expected));
    }
}
