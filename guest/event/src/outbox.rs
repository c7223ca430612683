//! How events lie in the key-value store.
//!
//! One key, one event. A waiting event is
//!
//! ```text
//! q.<unix ns, 20 digits>.<interaction hash, 16 hex>.<s|p|e>.<body bytes, hex>.<random, 16 hex>
//! ```
//!
//! and a dead letter is `d.` with the same rest, so that a listing alone gives
//! order, count and bytes. The value is a [`Record`]:
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 8 | SipHash-1-3 of all that follows |
//! | 4 | 0 |
//! | 4 | tries |
//! | 4 | charged tries |
//! | 8 | wall clock of the first failure, ns; 0 before it |
//! | 8 | wall clock before which it is not tried again, ns |
//! | 8 | deliveries of the outbox, all in all, when it was last tried |
//! | 1 | action: 0 start, 1 progress, 2 complete, 3 error |
//! | 2, 1, 1, 2 | lengths of the four texts |
//! | | interaction id, idempotency key, `traceparent`, last failure |
//! | | the body, to the end |
//!
//! Integers are little-endian. A dead letter that waits again does so under the
//! next random number: a name is never used twice.

use crate::digits;
use crate::errors_by_message;
use crate::event::Action;
use crate::prelude::*;
use crate::text::{ascii, decimal, whole};
use core::hash::Hasher;
use siphasher::sip::SipHasher13;

/// Longest text kept of a failure, in bytes.
pub const MAX_FAILURE_BYTES: usize = 600;

/// The longest name of a key, in bytes: the one of an event of 4 GiB.
const MAX_NAME: usize = 42 + 8 + 17;
const VERSION: u8 = 1;
const FIXED: usize = 1 + 8 + 4 + 4 + 4 + 8 + 8 + 8 + 1 + 6;

/// 64 bits that stand for an interaction id, the same for ever.
#[must_use]
pub fn interaction_hash(id: &str) -> u64 {
    checksum(id.as_bytes())
}

/// 64 bits that stand for `bytes`, the same for ever: SipHash-1-3.
// One of it, for records and for the keys of payloads.
#[inline(never)]
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Where in its interaction an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The start.
    Start,
    /// Progress.
    Progress,
    /// The end, good or bad.
    End,
}

impl From<Action> for Stage {
    fn from(action: Action) -> Self {
        match action {
            Action::Start => Self::Start,
            Action::Progress => Self::Progress,
            Action::Complete | Action::Error => Self::End,
        }
    }
}

/// Whether an event waits or was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It waits to be sent.
    Waiting,
    /// It is a dead letter.
    Dead,
}

impl Place {
    /// What the names of its keys begin with.
    const fn prefix(self) -> [u8; 2] {
        match self {
            Self::Waiting => *b"q.",
            Self::Dead => *b"d.",
        }
    }

    /// The place of what lies under `name`, by the beginning of it alone; none when that is no
    /// event's.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let begins = |place: &Self| name.as_bytes().starts_with(&place.prefix());
        [Self::Waiting, Self::Dead].into_iter().find(begins)
    }
}

/// The key of an event, without the place it is in. Ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// When it was accepted, in nanoseconds since 1970-01-01 UTC.
    pub ns: u64,
    /// [`interaction_hash`] of its interaction.
    pub interaction: u64,
    /// Where it stands in its interaction.
    pub stage: Stage,
    /// Size of its body, in bytes.
    pub size: u32,
    /// Tells apart what is alike in all else.
    pub random: u64,
}

impl EventKey {
    /// The key in the store.
    #[must_use]
    pub fn name(&self, place: Place) -> String {
        // In place and copied once: each copy of a few bytes is a call of the runtime.
        let mut name = [b'.'; MAX_NAME];
        name[..2].copy_from_slice(&place.prefix());
        name[2..22].copy_from_slice(&digits::decimal(self.ns)[4..]);
        name[23..39].copy_from_slice(&digits::hex(self.interaction));
        name[40] = match self.stage {
            Stage::Start => b's',
            Stage::Progress => b'p',
            Stage::End => b'e',
        };
        let size = (8 - self.size.leading_zeros() as usize / 4).max(1);
        let end = 42 + size;
        name[42..end].copy_from_slice(&digits::hex(self.size.into())[16 - size..]);
        name[end + 1..end + 17].copy_from_slice(&digits::hex(self.random));
        ascii(name[..end + 17].to_vec())
    }

    /// Reads a key of the store; none when it is not an event's.
    #[must_use]
    pub fn parse(name: &str) -> Option<(Place, Self)> {
        let place = Place::of(name)?;
        let mut reader = Reader {
            bytes: &name.as_bytes()[place.prefix().len()..],
        };
        let ns = whole(reader.take(20)?)?;
        let interaction = hex(reader.take(17)?.strip_prefix(b".")?)?;
        let stage = match reader.take(3)? {
            b".s." => Stage::Start,
            b".p." => Stage::Progress,
            b".e." => Stage::End,
            _ => return None,
        };
        let size = reader.take(reader.bytes.len().checked_sub(17)?)?;
        let size = u32::try_from(hex(size)?).ok()?;
        let random = hex(reader.bytes.strip_prefix(b".")?)?;
        let key = Self {
            ns,
            interaction,
            stage,
            size,
            random,
        };
        Some((place, key))
    }
}

/// The events among `names`, as a listing of the store has them: those that wait, and the dead
/// letters. What is left out is another's, or the control record.
#[must_use]
pub fn sort_out(names: &[String]) -> [Vec<EventKey>; 2] {
    let (mut waiting, mut dead) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        match EventKey::parse(name) {
            Some((Place::Waiting, key)) => waiting.push(key),
            Some((Place::Dead, key)) => dead.push(key),
            None => {}
        }
    }
    [waiting, dead]
}

/// The bytes of the bodies of `keys`.
#[must_use]
pub fn bytes(keys: &[EventKey]) -> u64 {
    keys.iter().map(|key| u64::from(key.size)).sum()
}

/// The keys in the store of several events.
#[must_use]
pub fn names(keys: &[EventKey], place: Place) -> Vec<String> {
    keys.iter().map(|key| key.name(place)).collect()
}

/// The number that `digits` is in hex: 1 to 16 of them.
fn hex(digits: &[u8]) -> Option<u64> {
    if !(1..=16).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0u64, |n, b| {
        Some(n << 4 | u64::from(char::from(*b).to_digit(16)?))
    })
}

/// The value of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Tries so far.
    pub tries: u32,
    /// Tries that count towards `max_retries`.
    pub charged: u32,
    /// Wall clock of the first failed try, in nanoseconds; 0 before it.
    pub first_failure_ns: u64,
    /// Wall clock before which it is not tried again, in nanoseconds.
    pub not_before_ns: u64,
    /// The outbox's count of deliveries at the last try.
    pub delivered_mark: u64,
    /// What it reports.
    pub action: Action,
    /// Which interaction.
    pub interaction_id: String,
    /// Sent with every try.
    pub idempotency_key: String,
    /// Sent along; empty for none.
    pub traceparent: String,
    /// How the last try failed; empty before the first failure.
    pub last_failure: String,
    /// What is sent.
    pub body: Vec<u8>,
}

/// A value that is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRecord {
    /// Damaged or cut short.
    Damaged,
    /// Of a newer version.
    Newer(u8),
}

impl BadRecord {
    /// What is wrong, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Damaged => "the record is damaged".to_owned(),
            Self::Newer(version) => [
                "the record has version ",
                &decimal((*version).into()),
                ", this reporter reads version ",
                &decimal(VERSION.into()),
            ]
            .concat(),
        }
    }
}

errors_by_message!(BadRecord);

impl Record {
    /// The bytes to store. `last_failure` is cut to [`MAX_FAILURE_BYTES`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let failure = cut(&self.last_failure, MAX_FAILURE_BYTES);
        let texts = [
            self.interaction_id.as_str(),
            &self.idempotency_key,
            &self.traceparent,
            failure,
        ];
        let mut out = begin(self.action, texts, self.body.len());
        out[13..17].copy_from_slice(&self.tries.to_le_bytes());
        out[17..21].copy_from_slice(&self.charged.to_le_bytes());
        out[21..29].copy_from_slice(&self.first_failure_ns.to_le_bytes());
        out[29..37].copy_from_slice(&self.not_before_ns.to_le_bytes());
        out[37..45].copy_from_slice(&self.delivered_mark.to_le_bytes());
        out.extend_from_slice(&self.body);
        seal(&mut out);
        out
    }

    /// Reads a stored value.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&newer) if newer > VERSION => return Err(BadRecord::Newer(newer)),
            _ => return Err(BadRecord::Damaged),
        }
        let mut reader = Reader { bytes: &bytes[1..] };
        Self::read(&mut reader).ok_or(BadRecord::Damaged)
    }

    fn read(r: &mut Reader<'_>) -> Option<Self> {
        if r.u64()? != checksum(r.bytes) {
            return None;
        }
        let (mut counts, mut times) = ([0; 3], [0; 3]);
        for n in &mut counts {
            *n = r.u32()?;
        }
        for n in &mut times {
            *n = r.u64()?;
        }
        let [_, tries, charged] = counts;
        let [first_failure_ns, not_before_ns, delivered_mark] = times;
        let action = *Action::ALL.get(usize::from(r.u8()?))?;
        let lengths = [r.u16()?, r.u8()?.into(), r.u8()?.into(), r.u16()?];
        Some(Self {
            tries,
            charged,
            first_failure_ns,
            not_before_ns,
            delivered_mark,
            action,
            interaction_id: r.text(lengths[0])?,
            idempotency_key: r.text(lengths[1])?,
            traceparent: r.text(lengths[2])?,
            last_failure: r.text(lengths[3])?,
            body: r.bytes.to_vec(),
        })
    }
}

/// The value of an event that was never tried. `body` appends what is sent, about `capacity` bytes.
///
/// It is put together in place: most of what a report costs is copies.
pub fn new_value<E>(
    action: Action,
    interaction_id: &str,
    idempotency_key: &str,
    traceparent: &str,
    capacity: usize,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let texts = [interaction_id, idempotency_key, traceparent, ""];
    let mut out = begin(action, texts, capacity);
    body(&mut out)?;
    seal(&mut out);
    Ok(out)
}

/// All that comes before the body: every count and time is 0, the checksum is left open.
fn begin(action: Action, texts: [&str; 4], body: usize) -> Vec<u8> {
    // The fixed part in one piece: each copy of a few bytes is a call of the runtime.
    let mut fixed = [0; FIXED];
    fixed[0] = VERSION;
    fixed[45] = action as u8;
    // The lengths fit: ids, keys and headers are bounded where they come in.
    let lengths = texts.map(str::len);
    fixed[46..48].copy_from_slice(&(lengths[0] as u16).to_le_bytes());
    fixed[48] = lengths[1] as u8;
    fixed[49] = lengths[2] as u8;
    fixed[50..52].copy_from_slice(&(lengths[3] as u16).to_le_bytes());
    let mut out = Vec::with_capacity(FIXED + lengths.iter().sum::<usize>() + body);
    out.extend_from_slice(&fixed);
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// Fills in the checksum.
fn seal(value: &mut [u8]) {
    let sum = checksum(&value[9..]);
    value[1..9].copy_from_slice(&sum.to_le_bytes());
}

/// The first bytes of `text`, at most `max` and whole characters.
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Takes values off the front of a buffer; none when it is too short.
pub struct Reader<'a> {
    /// What is left.
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next integer, little-endian.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next integer, little-endian.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next integer, little-endian.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next integer, little-endian.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next `n` bytes as a text; none when they are not UTF-8.
    pub fn text(&mut self, n: u16) -> Option<String> {
        core::str::from_utf8(self.take(n.into())?)
            .ok()
            .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = EventKey> {
        let stage = prop_oneof![Just(Stage::Start), Just(Stage::Progress), Just(Stage::End)];
        (
            any::<u64>(),
            any::<u64>(),
            stage,
            any::<u32>(),
            any::<u64>(),
        )
            .prop_map(|(ns, interaction, stage, size, random)| EventKey {
                ns,
                interaction,
                stage,
                size,
                random,
            })
    }

    proptest! {
        #[test]
        fn keys_survive_the_round_trip_and_sort_by_time(a in key(), b in key()) {
            for place in [Place::Waiting, Place::Dead] {
                let name = a.name(place);
                prop_assert!(name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c)));
                prop_assert_eq!(EventKey::parse(&name), Some((place, a)));
            }
            if a.ns != b.ns {
                prop_assert_eq!(a.name(Place::Waiting) < b.name(Place::Waiting), a.ns < b.ns);
            }
        }

        #[test]
        fn foreign_keys_are_not_events(name in "[qd]?[.0-9a-g]{0,80}") {
            if let Some((place, key)) = EventKey::parse(&name) {
                prop_assert_eq!(key.name(place), name);
            }
        }

        #[test]
        fn records_survive_and_any_damage_is_seen(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            failure in ".{0,300}",
            numbers in any::<[u32; 2]>(),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let value = new_value(Action::Complete, "int_1_é", "key", "00-a-b-01", 0, |out| {
                out.extend_from_slice(&body);
                Ok::<_, BadRecord>(())
            })?;
            let mut record = Record::decode(&value)?;
            prop_assert_eq!(&record.body, &body);
            prop_assert_eq!(record.encode(), value);
            [record.tries, record.charged] = numbers;
            record.last_failure = cut(&failure, MAX_FAILURE_BYTES).to_owned();
            let bytes = record.encode();
            prop_assert_eq!(Record::decode(&bytes), Ok(record));
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(Record::decode(&damaged).is_err());
            prop_assert!(Record::decode(&bytes[..at.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn a_newer_record_is_told_from_a_damaged_one() {
        assert_eq!(Record::decode(&[7, 0, 0]), Err(BadRecord::Newer(7)));
        assert_eq!(Record::decode(&[]), Err(BadRecord::Damaged));
    }

    #[test]
    fn hashes_never_change() {
        // Stored keys hold them: another value here loses the order of what waits.
        assert_eq!(
            interaction_hash("int_1718000000_1a2b3c4d"),
            15_598_128_788_986_623_885
        );
    }
}
