//! Which instances are killed, and when: as a seed has it.

use std::fmt;
use std::time::Duration;

use mcp_reporter_core::store::Random;
use mcp_reporter_test_support::Dice;

/// How many instances are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mortality {
    /// Of 100 instances so many are killed, if they live long enough.
    pub percent: u8,
    /// What the dice begin with.
    pub seed: u64,
}

/// When an instance is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// In its key-value operation of this number, from 1.
    AtOperation {
        number: u32,
        /// Whether the operation is done before that.
        took_effect: bool,
    },
    /// Where it waits for the host for this time, from 1.
    AtAwait(u32),
    /// After so long.
    After(Duration),
}

impl Mortality {
    /// What becomes of the instance of this number; none when nothing does.
    pub(super) fn of(self, instance: u64) -> Option<Death> {
        let mut dice = Dice::new(self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(instance));
        let mut below = |limit: u64| {
            let mut bytes = [0; 8];
            dice.fill(&mut bytes);
            u64::from_le_bytes(bytes) % limit
        };
        if below(100) >= u64::from(self.percent) {
            return None;
        }
        // Early and late deaths alike: one that only takes an event in has fewer than 10
        // operations, one that delivers has thousands.
        let (kind, scale) = (below(4), below(8));
        Some(match kind {
            0 | 1 => Death::AtOperation {
                number: 1 + below(2 << scale) as u32,
                took_effect: below(2) == 0,
            },
            2 => Death::AtAwait(1 + below(2 << scale) as u32),
            _ => Death::After(Duration::from_micros(below(256 << (2 * scale)))),
        })
    }
}

/// The instance was killed.
#[derive(Debug)]
pub(super) struct Killed;

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("killed in a key-value operation")
    }
}

impl std::error::Error for Killed {}
