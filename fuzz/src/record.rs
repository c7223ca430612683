//! What lies in the store may be damaged: it is decoded to what was written or
//! refused, and whatever stands there, a delivery ends and nothing vanishes.
//!
//! Input: number of the bit to damage, length of a key's name, name, value. The
//! checksum of the value is made right, so that what lies behind it is reached.

use std::hash::Hasher;

use mcp_reporter_core::control;
use mcp_reporter_core::event::Action;
use mcp_reporter_core::outbox::{
    EventKey, MAX_FAILURE_BYTES, Place, Record, Stage, interaction_hash,
};
use siphasher::sip::SipHasher13;

use crate::input::Input;
use crate::world::World;

/// See the [module](self).
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let damage = input.number();
    key(&input.text());
    let mut value = input.0.to_vec();
    seal(&mut value);
    record(&value, damage);
    in_the_outbox(value);
}

/// Makes the checksum right.
fn seal(value: &mut [u8]) {
    if value.len() >= 9 {
        let mut hasher = SipHasher13::new();
        hasher.write(&value[9..]);
        value[1..9].copy_from_slice(&hasher.finish().to_le_bytes());
    }
}

/// A name is an event's exactly if it names the event again.
fn key(name: &str) {
    if let Some((place, key)) = EventKey::parse(name) {
        let again = key.name(place);
        assert_eq!(EventKey::parse(&again), Some((place, key)), "{name}");
    }
}

fn record(value: &[u8], damage: u64) {
    let Ok(record) = Record::decode(value) else {
        return;
    };
    let again = Record::decode(&record.encode()).expect("what was encoded is decoded");
    if record.last_failure.len() <= MAX_FAILURE_BYTES {
        assert_eq!(again, record);
    }
    let mut damaged = value.to_vec();
    let bit = (damage % (8 * damaged.len() as u64)) as usize;
    damaged[bit / 8] ^= 1 << (bit % 8);
    assert!(Record::decode(&damaged).is_err(), "bit {bit} is not missed");
}

/// The value as an event's, and as the control record, with a sound event beside it.
fn in_the_outbox(value: Vec<u8>) {
    let key = EventKey {
        ns: 1,
        interaction: interaction_hash("damaged"),
        stage: Stage::Start,
        size: value.len() as u32,
        random: 1,
    };
    let mut world = World::new();
    world.accept(Action::Start, "sound");
    world.put(&key.name(Place::Waiting), value.clone());
    let sent = world.deliver(3, |_| World::taken());
    assert!(sent.iter().any(|body| body.contains("\"sound\"")));
    // It was sent, for what it is; or it was set aside.
    let [waiting, dead] = world.events();
    match Record::decode(&value) {
        // Its own time of the next try may lie ahead.
        Ok(_) => assert!(waiting + dead <= 1),
        Err(_) => assert_eq!(waiting + dead, 1),
    }

    let mut world = World::new();
    world.accept(Action::Start, "sound");
    world.put(control::KEY, value);
    // A lease, a hold and a full window may lie before it, each of them once.
    let sent = world.deliver(5, |_| World::taken());
    assert_eq!(sent.len(), 1);
}
