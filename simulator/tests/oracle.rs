//! The oracle can fail: for each invariant a world that breaks it, and the oracle says which.

use mcp_reporter_simulator::{Invariant, Mix, Model, Plan, Sabotage, run};

/// Whether `invariant` is the one that a world with `sabotage` violates, within
/// so many seeds.
fn sees(sabotage: Sabotage, invariant: Invariant) {
    let mut seen = Vec::new();
    for seed in 0..2_000 {
        let mut plan = Plan::random(seed, Model::Strict, Mix::Answers);
        plan.config.sabotage = Some(sabotage);
        if sabotage == Sabotage::FastClock {
            plan.config.rate_limit = 3;
        }
        let Some(violation) = run(&plan).violation else {
            continue;
        };
        if violation.invariant == invariant {
            return;
        }
        seen.push(violation);
    }
    panic!("{sabotage:?} violates {seen:?}, never {invariant:?}");
}

#[test]
fn a_store_that_forgets_what_it_acknowledged_loses_events() {
    sees(Sabotage::ForgetsSets, Invariant::NothingLost);
}

#[test]
fn a_network_that_changes_a_byte_delivers_what_nobody_reported() {
    sees(Sabotage::ChangesBodies, Invariant::NothingElse);
}

#[test]
fn a_listing_that_hides_the_oldest_events_breaks_the_order() {
    sees(Sabotage::HidesOldest, Invariant::InOrder);
}

#[test]
fn a_monotonic_clock_that_runs_too_fast_breaks_the_throttle() {
    sees(Sabotage::FastClock, Invariant::Throttled);
}

#[test]
fn a_store_that_keeps_what_it_deleted_makes_second_deliveries() {
    sees(Sabotage::KeepsDeleted, Invariant::OnlyOnce);
}

#[test]
fn a_key_that_changes_between_tries_is_seen() {
    sees(Sabotage::ChangesKeys, Invariant::OnlyOnce);
}

#[test]
fn a_listing_that_hides_ends_leaves_interactions_open_at_the_coordinator() {
    sees(Sabotage::HidesEnds, Invariant::OldestFirst);
}

#[test]
fn a_listing_that_stays_empty_never_drains() {
    sees(Sabotage::ListsNothing, Invariant::Drains);
}

#[test]
fn an_outage_that_looks_like_refusals_makes_false_dead_letters() {
    sees(Sabotage::RefusesInOutage, Invariant::NoFalseDeadLetter);
}

#[test]
fn a_purge_that_takes_another_interactions_event_is_seen() {
    sees(Sabotage::PurgesMore, Invariant::OnlyTheNamed);
}

#[test]
fn a_purge_that_leaves_half_of_an_interaction_is_seen() {
    sees(Sabotage::PurgesHalf, Invariant::Counted);
}

#[test]
fn a_redrive_that_leaves_a_dead_letter_beside_what_it_put_back_is_seen() {
    sees(Sabotage::PutsBackHalf, Invariant::Whole);
}

#[test]
fn what_is_counted_as_dropped_and_was_not_is_seen() {
    sees(Sabotage::KeepsDropped, Invariant::Counted);
}

#[test]
fn a_store_that_forgets_kept_answers_stores_a_request_twice() {
    sees(Sabotage::ForgetsAnswers, Invariant::SameAgain);
}

#[test]
fn a_seed_replays_a_run_exactly() {
    for seed in 0..200 {
        let [a, b] = [0; 2].map(|_| mcp_reporter_simulator::trace(&Plan::any(seed)));
        assert_eq!(a.1, b.1, "seed {seed}");
        assert_eq!(a.0.coverage, b.0.coverage, "seed {seed}");
    }
}
