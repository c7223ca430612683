//! Every failure that the simulator found, named after what went wrong.
//!
//! Most came from seeds that failed then and must not fail again.

use mcp_reporter_simulator::{Mix, Model, Plan, run, trace};

fn holds(seed: u64, model: Model, mix: Mix) {
    let plan = Plan::random(seed, model, mix);
    let (outcome, lines) = trace(&plan);
    assert_eq!(outcome.violation, None, "{}", lines.join("\n"));
}

/// The throttle logged the moment before a slow store operation, not the send's.
#[test]
fn a_send_after_a_slow_store_counts_from_when_it_goes_out() {
    holds(63, Model::Spin, Mix::Everything);
    holds(47, Model::Spin, Mix::Clocks);
    holds(98, Model::Strict, Mix::Clocks);
    holds(106, Model::Strict, Mix::Everything);
}

/// A try that ended in a pause left the mark of deliveries as it was, so that the
/// next failure was charged though nobody had got through since.
#[test]
fn a_try_that_paused_the_queue_does_not_make_the_next_failure_count() {
    holds(36, Model::Spin, Mix::Answers);
}

/// A listing passed over a start stamped ahead, and what followed it went out.
#[test]
fn a_start_stamped_ahead_is_not_overtaken_by_its_progress() {
    holds(19, Model::Strict, Mix::Clocks);
}

/// Sends written down by a clock that was set back a day later were pulled back to
/// the end of the window at each reading, and so never passed.
#[test]
fn sends_stamped_by_a_clock_that_was_set_back_do_not_stop_delivery() {
    holds(33, Model::Strict, Mix::Clocks);
    holds(33, Model::Spin, Mix::Clocks);
}

/// An event in flight that another had delivered and deleted hid, at each listing,
/// that the next of its interaction was in flight as well: it was sent again and
/// again, and the queue panicked in the end.
#[test]
fn an_event_in_flight_that_another_deleted_does_not_set_its_interaction_free() {
    holds(112, Model::Strict, Mix::Clocks);
    holds(112, Model::Strict, Mix::Everything);
}

/// What was stamped more than ten seconds ahead was listed, what was stamped less
/// ahead was passed over.
#[test]
fn of_two_events_stamped_ahead_the_later_does_not_go_first() {
    holds(1776, Model::Strict, Mix::Clocks);
    holds(1917, Model::Spin, Mix::Everything);
}

/// A drainer whose delivery the store broke off forgot what it had sent.
#[test]
fn a_broken_off_delivery_does_not_forget_its_sends() {
    holds(5293, Model::Strict, Mix::Everything);
}

/// Leases were counted; after a damaged record the count started over, and a
/// drainer took a later lease for its own.
#[test]
fn a_lease_after_a_damaged_record_is_not_taken_for_an_earlier_one() {
    holds(5921, Model::Spin, Mix::Everything);
}

/// A drainer that stalled for longer than its lease between the two halves of a move deleted what
/// a redrive had made of the event meanwhile: the name was the same.
#[test]
fn a_stall_longer_than_the_lease_in_the_middle_of_a_move_deletes_nothing_that_was_put_back() {
    let mut met = 0;
    for seed in 0..12_500 {
        let outcome = run(&Plan::random(seed, Model::Strict, Mix::Clocks));
        assert_eq!(outcome.violation, None, "seed {seed}");
        met += outcome.coverage.count("move: the name to delete was gone");
    }
    assert!(met > 0, "no seed has it any more");
}
