//! Every failure that the simulator found, named after what went wrong.
//!
//! Most came from seeds that failed then and must not fail again.

use mcp_reporter_simulator::{
    Act, Action, Config, Coverage, Faults, Mix, Model, Plan, Weather, run, trace,
};

fn holds(seed: u64, model: Model, mix: Mix) {
    plan_holds(&Plan::random(seed, model, mix));
}

fn plan_holds(plan: &Plan) -> Coverage {
    let (outcome, lines) = trace(plan);
    assert_eq!(outcome.violation, None, "{}", lines.join("\n"));
    outcome.coverage
}

/// A plan as it was shrunk, so that it stays what it is when seeds come to mean something else:
/// actions with the seeds of their dice, and whether faults strike.
fn written_out(config: Config, actions: &[(Act, u64, bool)]) -> Plan {
    let action = |&(act, seed, faulty): &(Act, u64, bool)| Action { act, seed, faulty };
    Plan {
        seed: 0,
        config,
        actions: actions.iter().map(action).collect(),
    }
}

fn report(process: usize, count: usize) -> Act {
    Act::Report { process, count }
}

fn deliver(process: usize, budget_ms: u64) -> Act {
    Act::Deliver { process, budget_ms }
}

fn advance(ms: u64) -> Act {
    Act::Advance { ms }
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

/// A drainer whose lease had expired by another's clock made a dead letter of an event that its
/// successor had in flight. When that try failed, the successor wrote the event back, so that it
/// was in both places, and sent the next event of the interaction before it.
#[test]
fn an_event_in_flight_that_another_made_a_dead_letter_does_not_come_back_to_life() {
    let config = Config {
        model: Model::Strict,
        processes: 2,
        fresh_instances: false,
        timer: true,
        rate_limit: 3,
        max_in_flight: 16,
        max_events: 100_000,
        drop_oldest: true,
        max_retries: 2,
        dead_letter_after_s: 20,
        poison: 0,
        refused: 3,
        faults: Faults {
            slow: 20,
            interleave: 20,
            ..Faults::default()
        },
        sabotage: None,
        epoch_s: 1_718_000_000,
    };
    let jump = |ms| Act::Jump {
        process: Some(1),
        ms,
    };
    plan_holds(&written_out(
        config,
        &[
            (report(0, 2), 1144925152928553399, false),
            (report(0, 3), 15941063233193405303, false),
            (jump(5_000), 3815652568906524481, false),
            (advance(40_000), 1657006603559672, false),
            (report(1, 3), 1291103947778168807, false),
            (deliver(0, 300), 14065459967994363168, true),
            (jump(86_400_000), 4700476246130477521, false),
            (deliver(1, 300), 1362481408314407832, true),
            (report(0, 6), 12518955932281664562, false),
        ],
    ));
}

/// The store broke a delivery off before it could delete what had been delivered. Another drainer
/// sent the event again and was refused, and a redrive put it back under a name that the first
/// drainer did not know. The core cannot know better, and the oracle has an excuse for just this.
#[test]
fn what_another_was_refused_after_a_delivery_that_broke_off_may_be_put_back() {
    let config = Config {
        model: Model::Strict,
        processes: 3,
        fresh_instances: false,
        timer: false,
        rate_limit: 10,
        max_in_flight: 16,
        max_events: 100_000,
        drop_oldest: false,
        max_retries: 1,
        dead_letter_after_s: 20,
        poison: 3,
        refused: 0,
        faults: Faults {
            refusing: 30,
            crash: 5,
            interleave: 20,
            ..Faults::default()
        },
        sabotage: None,
        epoch_s: 1_718_000_000,
    };
    plan_holds(&written_out(
        config,
        &[
            (report(0, 2), 1581553186320595227, false),
            (Act::Weather(Weather::Picky), 17581067911809147589, false),
            (deliver(1, 6_000), 7505786987029304401, true),
            (report(0, 6), 5897704093530001396, true),
            (report(1, 1), 8225928019648673668, false),
            (advance(1_000), 17896587878067734638, true),
            (advance(40_000), 18007148706296850925, false),
            (deliver(0, 300), 6330211455101826272, false),
            (report(2, 6), 7661090133478225403, false),
            (advance(40_000), 1141416625120056664, false),
            (
                Act::Redrive {
                    process: 1,
                    one: true,
                },
                12040182358380250332,
                false,
            ),
            (deliver(1, 6_000), 1711561060677303458, true),
        ],
    ));
}

/// The store moved half of an interaction and failed. A redrive of another one cleared the name
/// away that the move had left over, and the oracle took that for half a redrive of the first.
#[test]
fn what_a_redrive_clears_away_of_another_interaction_is_not_what_it_moves() {
    let config = Config {
        model: Model::Spin,
        processes: 3,
        fresh_instances: false,
        timer: true,
        rate_limit: 3,
        max_in_flight: 2,
        max_events: 100_000,
        drop_oldest: true,
        max_retries: 1,
        dead_letter_after_s: 20,
        poison: 2,
        refused: 3,
        faults: Faults {
            refusing: 5,
            lost: 100,
            ..Faults::default()
        },
        sabotage: None,
        epoch_s: 1_718_000_000,
    };
    plan_holds(&written_out(
        config,
        &[
            (report(0, 3), 6418380674654306105, false),
            (report(0, 6), 12425361191712486587, false),
            (advance(40000), 14131506043536121863, false),
            (
                Act::Redrive {
                    process: 0,
                    one: false,
                },
                15842962037933883583,
                true,
            ),
            (
                Act::Redrive {
                    process: 0,
                    one: true,
                },
                11388765714239845760,
                false,
            ),
        ],
    ));
}

/// The store took the lease and failed. When the drainer began anew, it took the lease for that of
/// another and read its own sends from the record, by a wall clock that had jumped meanwhile.
#[test]
fn a_lease_that_was_taken_though_the_store_failed_is_known_as_ones_own() {
    let config = Config {
        model: Model::Strict,
        processes: 1,
        fresh_instances: false,
        timer: true,
        rate_limit: 10,
        max_in_flight: 2,
        max_events: 100_000,
        drop_oldest: false,
        max_retries: 3,
        dead_letter_after_s: 0,
        poison: 0,
        refused: 2,
        faults: Faults {
            lost: 30,
            slow: 5,
            interleave: 300,
            ..Faults::default()
        },
        sabotage: None,
        epoch_s: 1_718_000_000,
    };
    plan_holds(&written_out(
        config,
        &[
            (report(0, 2), 9832818039200913816, false),
            (deliver(0, 300), 10517005950354128121, false),
            (advance(300), 8878614961449706712, false),
            (report(0, 3), 13092160887226066112, false),
            (
                Act::Jump {
                    process: Some(0),
                    ms: 60000,
                },
                13879827483384033698,
                false,
            ),
            (deliver(0, 20000), 10741917469086246895, true),
            (report(0, 1), 13437866896886829628, false),
            (report(0, 1), 10784864446549057846, false),
            (deliver(0, 20000), 11896355507099788784, false),
            (report(0, 3), 6757624717173661607, false),
            (report(0, 3), 7678281825206541275, false),
        ],
    ));
}

/// A drainer sent long after it had reserved the permit, the store failed before it could write that
/// down, and a drop-oldest took the lease in between. Then the drainer went by the record alone, and
/// forgot what it had sent itself.
#[test]
fn what_went_out_after_a_stall_is_known_though_it_was_never_written_down() {
    let config = Config {
        model: Model::Spin,
        processes: 1,
        fresh_instances: false,
        timer: false,
        rate_limit: 1,
        max_in_flight: 16,
        max_events: 8,
        drop_oldest: true,
        max_retries: 3,
        dead_letter_after_s: 900,
        poison: 2,
        refused: 0,
        faults: Faults {
            refusing: 100,
            swap: 10,
            slow: 60,
            ..Faults::default()
        },
        sabotage: None,
        epoch_s: 1_718_000_000,
    };
    plan_holds(&written_out(
        config,
        &[
            (report(0, 1), 13715692758671790299, true),
            (report(0, 6), 14744593031235410955, false),
            (report(0, 1), 7384179213939456141, false),
            (Act::Crash { process: 0 }, 2867786534013800306, false),
            (advance(3000), 14439942089037875063, true),
            (report(0, 2), 15936253541614575994, false),
        ],
    ));
}

/// A backlog went out as the starts of 64 interactions and only then the rest, and a coordinator
/// that restarted in between dropped the rest.
#[test]
fn of_a_backlog_a_coordinator_that_forgets_orphans_only_what_overlaps_or_was_in_flight() {
    let config = Config {
        model: Model::Strict,
        processes: 1,
        fresh_instances: false,
        timer: false,
        rate_limit: 10,
        max_in_flight: 2,
        max_events: 100_000,
        drop_oldest: false,
        max_retries: 3,
        dead_letter_after_s: 900,
        poison: 0,
        refused: 0,
        faults: Faults::default(),
        sabotage: None,
        epoch_s: 1_718_000_000,
    };
    let mut actions: Vec<_> = (0..40).map(|seed| (report(0, 6), seed, false)).collect();
    for seed in 100..140 {
        actions.push((deliver(0, 20_000), seed, false));
        actions.push((advance(700), seed, false));
        actions.push((Act::Forget, seed, false));
    }
    let coverage = plan_holds(&written_out(config, &actions));
    let forgot = coverage.count("coordinator: forgets starts in an orderly run");
    let orphaned = coverage.count("event: orphaned");
    assert!(forgot > 0 && orphaned > 0, "{coverage}");
}

/// A kept answer had no checksum: what the store had damaged, or cut short, was answered again.
#[test]
fn a_kept_answer_that_was_damaged_is_not_given_again() {
    let config = Config {
        epoch_s: 1_718_000_000,
        model: Model::Strict,
        processes: 3,
        fresh_instances: false,
        timer: true,
        rate_limit: 1,
        max_in_flight: 16,
        max_events: 100_000,
        drop_oldest: false,
        max_retries: 2,
        dead_letter_after_s: 0,
        poison: 0,
        refused: 0,
        faults: Faults {
            damage: 300,
            ..Faults::default()
        },
        sabotage: None,
    };
    let post = Act::Post {
        process: 0,
        at_once: None,
    };
    let again = |process| Act::PostAgain {
        process,
        at_once: None,
    };
    let mut actions = vec![(post, 1, false)];
    actions.extend((2..60).map(|seed| (again(seed as usize % 3), seed, true)));
    let coverage = plan_holds(&written_out(config, &actions));
    let damaged = coverage.count("store: a kept answer damaged");
    let twice = coverage.count("post: stored twice, the kept answer was damaged");
    assert!(damaged > 0 && twice > 0, "{coverage}");
}

/// A client got its start in only when the end had been delivered, and the oracle took that for an
/// interaction that stays open though newer ones went out.
#[test]
fn a_start_that_is_posted_after_its_end_was_delivered_opens_nothing() {
    let config = Config {
        epoch_s: 1_718_000_000,
        model: Model::Strict,
        processes: 1,
        fresh_instances: false,
        timer: true,
        rate_limit: 10,
        max_in_flight: 1,
        max_events: 100_000,
        drop_oldest: false,
        max_retries: 3,
        dead_letter_after_s: 900,
        poison: 0,
        refused: 0,
        faults: Faults::default(),
        sabotage: None,
    };
    let post = Act::Post {
        process: 0,
        at_once: None,
    };
    let stall = Act::Stall {
        process: 0,
        ms: 1_000,
    };
    let plan = written_out(
        config,
        &[
            (stall, 6555406810947952021, false),
            (post, 7410190147557744306, false),
            (post, 15228741717979562167, false),
            (advance(7_000), 9774768904079518279, false),
            (report(0, 1), 18201361144492306938, false),
            (advance(40_000), 18267127623599451110, false),
        ],
    );
    plan_holds(&plan);
}
