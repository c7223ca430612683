//! The oracle itself: each of its points can fail.

use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use mcp_reporter::coordinator::Receipt;
use mcp_reporter_core::outbox::{EventKey, Place, Stage, interaction_hash};
use mcp_reporter_tests::{Left, Story};

fn body(action: &str, id: &str, rest: &str) -> String {
    format!(
        r#"{{"action":"interaction_{action}","interaction_id":"{id}","mcp_id":"test","timestamp":1718000000.25,{rest}}}"#
    )
}

/// A request for an event of the story below, answered 200 at `ms`.
fn receipt(ms: u64, key: &str, body: String) -> Receipt {
    Receipt {
        at: Duration::from_millis(ms),
        wall: SystemTime::UNIX_EPOCH + Duration::from_millis(ms),
        idempotency_key: Some(key.to_owned()),
        authorized: true,
        headers: Vec::new(),
        body: Bytes::from(body),
        action: None,
        interaction_id: None,
        answered: Some(200),
        stored: true,
    }
}

fn start(ms: u64) -> Receipt {
    receipt(ms, "k1", body("start", "a", r#""request_data":{}"#))
}

fn end(ms: u64) -> Receipt {
    receipt(ms, "k2", body("complete", "a", r#""result_data":{}"#))
}

/// Two acknowledged reports of one interaction.
fn story(mut story: Story) -> Story {
    for action in ["start", "complete"] {
        let number = story.attempt(action, "a", "{}");
        story.acknowledge(number);
    }
    story
}

fn left(place: Place, stage: Stage, body: Option<String>) -> Left {
    let key = EventKey {
        ns: 1,
        interaction: interaction_hash("a"),
        stage,
        size: 1,
        random: 1,
    };
    let key = key.name(place);
    Left { key, body }
}

/// The verdict is one complaint, of this invariant.
fn complains(story: &Story, invariant: &str, receipts: &[Receipt], left: &[Left]) {
    let wrong = story.verdict(receipts, left).unwrap_err();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with(invariant), "{wrong:?}");
}

#[test]
fn what_is_delivered_in_order_and_once_is_good() {
    let tally = story(Story::new()).check(&[start(0), end(1)], &[]);
    assert_eq!((tally.acknowledged, tally.delivered), (2, 2));
    assert_eq!((tally.waiting, tally.dead, tally.repeated), (0, 0, 0));
}

#[test]
fn an_acknowledged_event_that_is_nowhere_is_lost() {
    complains(&story(Story::new()), "1: ", &[start(0)], &[]);
}

#[test]
fn an_acknowledged_event_may_wait_or_be_a_dead_letter_even_an_unreadable_one() {
    let text = body("complete", "a", r#""result_data":{}"#);
    for (place, counts) in [(Place::Waiting, (1, 0)), (Place::Dead, (0, 1))] {
        for body in [Some(text.clone()), None] {
            let left = left(place, Stage::End, body);
            let tally = story(Story::new()).check(&[start(0)], &[left]);
            assert_eq!((tally.waiting, tally.dead), counts);
        }
    }
}

#[test]
fn a_failed_answer_is_no_delivery() {
    let failed = Receipt {
        answered: Some(500),
        stored: false,
        ..end(1)
    };
    complains(&story(Story::new()), "1: ", &[start(0), failed], &[]);
}

#[test]
fn an_unreadable_record_of_another_stage_stands_for_no_lost_event() {
    let left = left(Place::Dead, Stage::Progress, None);
    let wrong = story(Story::new()).verdict(&[start(0)], &[left]);
    let wrong = wrong.unwrap_err().join("\n");
    assert!(wrong.contains("1: ") && wrong.contains("2: "), "{wrong}");
}

#[test]
fn a_report_that_was_not_acknowledged_may_be_missing() {
    let mut story = story(Story::new());
    story.attempt("start", "b", "{}");
    story.check(&[start(0), end(1)], &[]);
}

#[test]
fn an_event_that_nobody_reported_is_seen() {
    let other = receipt(2, "k3", body("start", "b", r#""request_data":{}"#));
    complains(&story(Story::new()), "2: ", &[start(0), end(1), other], &[]);
}

#[test]
fn a_body_with_one_byte_more_is_seen() {
    let longer = receipt(0, "k1", body("start", "a", r#""request_data":{ }"#));
    complains(
        &story(Story::new()),
        "2: ",
        &[start(0), end(1), longer],
        &[],
    );
}

#[test]
fn an_event_in_the_outbox_that_nobody_reported_is_seen() {
    let text = body("start", "b", r#""request_data":{}"#);
    let left = left(Place::Waiting, Stage::Start, Some(text));
    complains(&story(Story::new()), "2: ", &[start(0), end(1)], &[left]);
}

#[test]
fn an_end_before_its_start_is_seen() {
    complains(&story(Story::new()), "3: ", &[end(0), start(1)], &[]);
}

#[test]
fn a_failed_try_of_the_end_before_the_start_is_seen_only_when_it_was_taken() {
    let cut = Receipt {
        answered: None,
        ..end(0)
    };
    complains(&story(Story::new()), "3: ", &[cut, start(1), end(2)], &[]);
    let failed = Receipt {
        answered: Some(503),
        stored: false,
        ..end(0)
    };
    story(Story::new()).check(&[failed, start(1), end(2)], &[]);
}

#[test]
fn a_window_with_one_request_too_many_is_seen() {
    let throttled = || story(Story::throttled(1, Duration::from_millis(100)));
    complains(&throttled(), "4: ", &[start(0), end(99)], &[]);
    throttled().check(&[start(0), end(100)], &[]);
}

#[test]
fn a_repeat_of_what_was_answered_is_seen_unless_something_explains_it() {
    let repeated = [start(10_000), start(20_000), end(20_001)];
    complains(&story(Story::new()), "5: ", &repeated, &[]);
    for (at, good) in [(7, false), (9, true), (15, true), (21, false)] {
        let mut story = story(Story::new());
        story.disturb_at(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        let verdict = story.verdict(&repeated, &[]);
        assert_eq!(verdict.is_ok(), good, "disturbed at {at} s: {verdict:?}");
    }
}

#[test]
fn a_repeat_after_a_lost_answer_needs_no_other_explanation() {
    let cut = Receipt {
        answered: None,
        ..start(0)
    };
    let tally = story(Story::new()).check(&[cut, start(1), end(2)], &[]);
    assert_eq!(tally.repeated, 1);
}

#[test]
fn a_repeat_with_another_key_is_seen() {
    let failed = Receipt {
        answered: Some(500),
        stored: false,
        idempotency_key: Some("k9".to_owned()),
        ..start(0)
    };
    complains(
        &story(Story::new()),
        "5: ",
        &[failed, start(1), end(2)],
        &[],
    );
}

#[test]
fn one_key_for_two_events_is_seen() {
    let end = Receipt {
        idempotency_key: Some("k1".to_owned()),
        ..end(1)
    };
    complains(&story(Story::new()), "5: ", &[start(0), end], &[]);
}

#[test]
fn a_request_without_a_key_is_seen() {
    let start = Receipt {
        idempotency_key: None,
        ..start(0)
    };
    complains(&story(Story::new()), "5: ", &[start, end(1)], &[]);
}
