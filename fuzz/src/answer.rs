//! Whatever the coordinator answers: the key is not kept, what is said of it
//! can be shown, no delivery hangs, and each event is sent, waits or is a dead
//! letter.
//!
//! Input: a text that repeats the key, then answers, one after another.

use mcp_reporter_core::drain::Answer;
use mcp_reporter_core::event::Action;
use mcp_reporter_core::outbox::MAX_FAILURE_BYTES;
use mcp_reporter_core::settings::printable;
use mcp_reporter_core::text::answer_text;

use crate::KEY;
use crate::input::Input;
use crate::world::World;

const EVENTS: usize = 6;
/// So many deliveries, each at the time that the one before it asked for.
const DELIVERIES: u32 = 12;

/// See the [module](self).
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let (before, after) = (input.some(), input.some());
    for parts in [
        [before, KEY.as_bytes(), after].concat(),
        // What is left when one is taken out must not make another.
        [
            &KEY.as_bytes()[..4],
            KEY.as_bytes(),
            &KEY.as_bytes()[4..],
            after,
        ]
        .concat(),
    ] {
        let text = answer_text(&parts, KEY);
        assert!(!text.contains(KEY), "{text:?}");
        crate::assert_printable(&printable(&text));
    }

    let mut world = World::new();
    for n in 0..EVENTS {
        let action = [Action::Start, Action::Progress, Action::Complete][n % 3];
        world.accept(action, ["a", "b"][n / 3]);
    }
    let mut taken = 0;
    let sent = world.deliver(DELIVERIES, |_| {
        let answer = answer(&mut input);
        if let Answer::Status {
            code: 200..=299, ..
        } = answer
        {
            taken += 1;
        }
        answer
    });
    assert!(sent.len() >= taken);
    let [waiting, dead] = world.events();
    assert_eq!(
        taken + waiting + dead,
        EVENTS,
        "an event is lost or doubled"
    );
    for record in world.records() {
        assert!(record.last_failure.len() <= MAX_FAILURE_BYTES);
    }
    for note in world.notes() {
        crate::assert_printable(&printable(note));
    }
}

fn answer(input: &mut Input<'_>) -> Answer {
    match input.byte() {
        0 => Answer::TimedOut,
        1 => Answer::Failed(input.text()),
        2 => Answer::Denied(input.text()),
        kind => Answer::Status {
            // The usual ones, and all that three digits can say.
            code: match kind % 4 {
                0 => 200 + u16::from(input.byte()) % 4,
                1 => 400 + u16::from(input.byte()) % 32,
                2 => 500 + u16::from(input.byte()) % 8,
                _ => 100 + u16::from_le_bytes([input.byte(), input.byte()]) % 900,
            },
            retry_after: (kind & 4 != 0).then(|| input.text()),
            body: input.text(),
        },
    }
}
