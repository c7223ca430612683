//! The drainer in simulated time, against a coordinator that is a closure.

use super::*;
use crate::accept::Acceptor;
use crate::admin::{self, AdminError, Breaker, PurgeFilter};
use crate::control::BREAKER_FAILURES;
use crate::event::Action;
use crate::moves::next_key;
use crate::testing::{Dice, Memory, at_ms, report, settings};

/// One request as the coordinator saw it.
#[derive(Debug, Clone)]
struct Receipt {
    ms: u64,
    id: String,
    action: String,
    key: String,
}

/// Answers a request; how long that takes, in milliseconds.
type Coordinator<'a> = Box<dyn FnMut(&Receipt) -> (Answer, u64) + 'a>;

struct World<'a> {
    store: Memory,
    dice: Dice,
    acceptor: Acceptor,
    drainer: Drainer,
    ms: u64,
    receipts: Vec<Receipt>,
    coordinator: Coordinator<'a>,
    log: Vec<Note>,
}

fn status(code: u16) -> Answer {
    Answer::Status {
        code,
        retry_after: None,
        body: String::new(),
    }
}

fn member(body: &str, key: &str) -> String {
    let rest = body.split_once(&format!("\"{key}\":\"")).unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

impl<'a> World<'a> {
    fn new(settings: Settings, answer: impl FnMut(&Receipt) -> Answer + 'a) -> Self {
        let mut answer = answer;
        Self::with_latency(settings, move |r| (answer(r), 1))
    }

    fn with_latency(
        settings: Settings,
        coordinator: impl FnMut(&Receipt) -> (Answer, u64) + 'a,
    ) -> Self {
        let mut dice = Dice::new(7);
        Self {
            store: Memory::default(),
            acceptor: Acceptor::new(settings.clone().into()),
            drainer: Drainer::new(settings.into(), &mut dice),
            dice,
            ms: 0,
            receipts: Vec::new(),
            coordinator: Box::new(coordinator),
            log: Vec::new(),
        }
    }

    fn report(&mut self, action: Action, id: &str) {
        let results = self.acceptor.accept(
            &mut self.store,
            &mut self.dice,
            at_ms(self.ms),
            &[report(action, id, "{}")],
        );
        assert_eq!(results, [Ok(())]);
    }

    /// Another process takes over: nothing is left but the store.
    fn restart(&mut self) {
        self.drainer = Drainer::new(self.drainer.settings.clone(), &mut self.dice);
        self.acceptor = Acceptor::new(self.drainer.settings.clone());
    }

    /// One delivery, requests and all.
    fn deliver(&mut self, budget: Duration) -> Delivery {
        self.deliver_until(budget, u64::MAX).unwrap()
    }

    /// A delivery that ends in a crash before `crash_ms`; none when it did.
    fn deliver_until(&mut self, budget: Duration, crash_ms: u64) -> Option<Delivery> {
        let (store, dice) = (&mut self.store, &mut self.dice);
        if let Some(idle) = self
            .drainer
            .begin(store, dice, at_ms(self.ms), budget)
            .unwrap()
        {
            return Some(idle);
        }
        let mut pending: Vec<(u64, u64, Answer)> = Vec::new();
        for _ in 0..1_000_000 {
            let now = at_ms(self.ms);
            let (store, dice) = (&mut self.store, &mut self.dice);
            let until = match self.drainer.poll(store, dice, now).unwrap() {
                Step::Done(delivery) => {
                    self.log.extend(self.drainer.take_notes());
                    return Some(delivery);
                }
                Step::Send(out) => {
                    let body = String::from_utf8(out.body).unwrap();
                    let receipt = Receipt {
                        ms: self.ms,
                        id: member(&body, "interaction_id"),
                        action: member(&body, "action").replace("interaction_", ""),
                        key: out.idempotency_key,
                    };
                    let (answer, latency) = (self.coordinator)(&receipt);
                    self.receipts.push(receipt);
                    let deadline = out.deadline_mono_ns.div_ceil(1_000_000);
                    let (at, answer) = if self.ms + latency < deadline {
                        (self.ms + latency, answer)
                    } else {
                        (deadline, Answer::TimedOut)
                    };
                    pending.push((at, out.token, answer));
                    continue;
                }
                Step::Wait { until_mono_ns } => until_mono_ns.div_ceil(1_000_000),
            };
            let first = pending.iter().map(|(at, ..)| *at).min().unwrap_or(u64::MAX);
            assert!(until.min(first) < u64::MAX, "waits for nothing");
            self.ms = self.ms.max(until.min(first));
            if self.ms >= crash_ms {
                return None;
            }
            let now = at_ms(self.ms);
            pending.sort_by_key(|(at, token, _)| (*at, *token));
            while pending.first().is_some_and(|(at, ..)| *at <= self.ms) {
                let (_, token, answer) = pending.remove(0);
                self.drainer.answered(token, answer, now);
            }
        }
        panic!("no end");
    }

    /// Delivers as a host's timer does, until nothing waits or `limit_ms` passed.
    fn run(&mut self, limit_ms: u64) {
        let end = self.ms + limit_ms;
        while self.ms < end {
            let delivery = self.deliver(Duration::from_millis(5_500));
            let Some(next) = delivery.next else { return };
            self.ms += (next.as_millis() as u64).max(1);
        }
    }

    fn status(&mut self) -> admin::Status {
        admin::status(&mut self.store, at_ms(self.ms)).unwrap()
    }

    fn sent(&self, id: &str) -> Vec<&str> {
        self.receipts
            .iter()
            .filter(|r| r.id == id)
            .map(|r| r.action.as_str())
            .collect()
    }
}

/// The most receipts in any window of `ms`.
fn busiest(receipts: &[Receipt], ms: u64) -> usize {
    let count = |from: u64| {
        receipts
            .iter()
            .filter(|r| (from..from + ms).contains(&r.ms))
            .count()
    };
    receipts.iter().map(|r| count(r.ms)).max().unwrap_or(0)
}

fn unthrottled() -> Settings {
    Settings {
        rate_limit: 0,
        ..settings()
    }
}

#[test]
fn what_is_reported_is_delivered_once_and_gone() {
    let mut w = World::new(settings(), |_| status(200));
    for action in [Action::Start, Action::Progress, Action::Complete] {
        w.report(action, "i");
    }
    let d = w.deliver(Duration::from_secs(10));
    assert_eq!((d.delivered, d.failed, d.next), (3, 0, None));
    assert_eq!(w.sent("i"), ["start", "progress", "complete"]);
    let s = w.status();
    assert_eq!(
        (
            s.waiting,
            s.dead_letters,
            s.bytes,
            s.delivered_total,
            s.resent_total
        ),
        (0, 0, 0, 3, 0)
    );
    assert_eq!(s.lease_holder, None);
    assert_eq!(w.deliver(Duration::from_secs(10)).delivered, 0);
}

#[test]
fn any_2xx_counts_as_delivered() {
    for code in [200, 201, 202, 204, 299] {
        let mut w = World::new(settings(), |_| status(code));
        w.report(Action::Start, "i");
        w.run(60_000);
        assert_eq!((w.receipts.len(), w.status().waiting), (1, 0), "{code}");
    }
}

#[test]
fn transient_answers_are_tried_again_until_they_end_and_with_the_same_key() {
    let answers = [
        status(408),
        status(409),
        status(425),
        status(429),
        status(500),
        status(503),
        status(599),
    ];
    let others = [
        Answer::TimedOut,
        Answer::Failed("connection refused".into()),
    ];
    for answer in answers.into_iter().chain(others) {
        let mut failures = 4;
        let mut w = World::new(settings(), |_| {
            failures -= 1;
            if failures < 0 {
                status(200)
            } else {
                answer.clone()
            }
        });
        w.report(Action::Start, "i");
        w.run(300_000);
        assert_eq!(w.receipts.len(), 5, "{answer:?}");
        assert!(w.receipts.iter().all(|r| r.key == w.receipts[0].key));
        let s = w.status();
        assert_eq!(
            (s.waiting, s.dead_letters, s.resent_total),
            (0, 0, 4),
            "{answer:?}"
        );
    }
}

#[test]
fn a_wrong_key_or_endpoint_pauses_the_queue_and_is_probed_at_the_cap() {
    let denied = Answer::Denied("host not allowed".into());
    let codes = [301, 302, 307, 308, 401, 403, 404, 405, 410].map(status);
    for answer in codes.into_iter().chain([denied]) {
        let mut w = World::new(settings(), |_| answer.clone());
        for i in 0..20 {
            w.report(Action::Start, &format!("i{i}"));
        }
        w.deliver(Duration::from_secs(5));
        let s = w.status();
        assert_eq!(
            (s.breaker, s.waiting, s.dead_letters),
            (Breaker::Paused, 20, 0),
            "{answer:?}"
        );
        assert!(s.paused_reason.is_some());
        assert!(matches!(w.log[0], Note::Warn(_)));
        let before = w.receipts.len();
        w.run(3_600_000);
        let probes = &w.receipts[before..];
        assert!(
            (115..=121).contains(&probes.len()),
            "{} probes",
            probes.len()
        );
        assert_eq!(busiest(probes, 29_000), 1);
        // Nothing is charged to the events, however long it takes.
        assert_eq!((w.status().waiting, w.status().dead_letters), (20, 0));
        w.coordinator = Box::new(|_| (status(200), 1));
        w.run(120_000);
        assert_eq!(
            (w.status().waiting, w.status().breaker),
            (0, Breaker::Closed)
        );
    }
}

#[test]
fn another_4xx_makes_a_dead_letter_and_what_follows_in_its_interaction_follows_it() {
    let mut w = World::new(settings(), |r| {
        status(if r.id == "bad" { 422 } else { 200 })
    });
    for id in ["bad", "good"] {
        w.report(Action::Start, id);
        w.report(Action::Progress, id);
    }
    w.run(60_000);
    w.report(Action::Complete, "bad");
    w.report(Action::Complete, "good");
    w.run(60_000);
    assert_eq!(w.sent("bad"), ["start"]);
    assert_eq!(w.sent("good"), ["start", "progress", "complete"]);
    let (page, _) = admin::list(&mut w.store, Place::Dead, 10, None).unwrap();
    let failures: Vec<_> = page
        .iter()
        .map(|e| e.record.as_ref().unwrap().last_failure.as_str())
        .collect();
    assert_eq!(failures[0], "HTTP 422");
    assert!(failures.len() == 3 && failures[1..].iter().all(|f| f.starts_with("follows ")));

    // A redrive replays them in order.
    w.coordinator = Box::new(|_| (status(200), 1));
    let moved = admin::redrive(&mut w.store, &mut w.dice, at_ms(w.ms), &[]).unwrap();
    w.run(60_000);
    assert_eq!(moved, 3);
    assert_eq!(w.sent("bad"), ["start", "start", "progress", "complete"]);
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 0));
}

#[test]
fn five_refusals_in_a_row_pause_the_queue_instead_of_emptying_it() {
    let mut w = World::new(unthrottled(), |_| status(400));
    for i in 0..50 {
        w.report(Action::Start, &format!("i{i}"));
    }
    w.run(600_000);
    let s = w.status();
    assert_eq!(
        (s.dead_letters, s.waiting, s.breaker),
        (4, 46, Breaker::Paused)
    );
    // The probes go round: no single bad event can keep the queue paused.
    w.coordinator = Box::new(|r| (status(if r.id == "i4" { 400 } else { 200 }), 1));
    w.run(600_000);
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 5));
}

#[test]
fn a_2xx_between_refusals_keeps_the_queue_going() {
    let mut n = 0;
    let mut w = World::new(settings(), |_| {
        n += 1;
        status(if n % 3 == 0 { 200 } else { 422 })
    });
    for i in 0..30 {
        w.report(Action::Start, &format!("i{i}"));
    }
    w.run(60_000);
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 20));
}

#[test]
fn a_delivery_whose_time_is_over_before_it_lists_does_not_say_that_nothing_waits() {
    let mut w = World::new(settings(), |_| status(503));
    w.report(Action::Start, "a");
    for budget_ms in 0..1_000 {
        w.restart();
        let delivery = w.deliver(Duration::from_millis(budget_ms));
        assert!(delivery.next.is_some(), "{budget_ms} ms: {delivery:?}");
    }
}

#[test]
fn five_failures_open_the_breaker_and_then_one_probe_goes_at_a_time() {
    let mut w = World::new(unthrottled(), |_| status(503));
    for i in 0..100 {
        w.report(Action::Start, &format!("i{i}"));
    }
    w.ms += 1;
    w.run(600_000);
    assert_eq!(w.status().breaker, Breaker::Open);
    // The first burst had as many in flight as allowed; then one by one, at
    // intervals of 15 s on average.
    let burst = w.receipts.iter().filter(|r| r.ms == 1).count();
    assert_eq!(burst, 16);
    let probes = w.receipts.len() - burst;
    assert!((30..120).contains(&probes), "{probes} probes in 600 s");
    w.coordinator = Box::new(|_| (status(200), 1));
    w.run(31_000);
    assert_eq!(
        (w.status().waiting, w.status().breaker),
        (0, Breaker::Closed)
    );
}

#[test]
fn retry_after_holds_the_whole_queue_in_both_forms() {
    let date = |ms: u64| {
        let at = std::time::UNIX_EPOCH + Duration::from_nanos(at_ms(ms).wall_ns);
        httpdate::fmt_http_date(at)
    };
    for (header, least) in [("20".to_owned(), 20_000), (date(40_000), 40_000)] {
        let mut first = true;
        let mut w = World::new(settings(), |_| {
            let code = if core::mem::take(&mut first) {
                429
            } else {
                200
            };
            Answer::Status {
                code,
                retry_after: Some(header.clone()),
                body: String::new(),
            }
        });
        w.report(Action::Start, "a");
        assert!(w.deliver(Duration::from_secs(5)).held);
        w.report(Action::Start, "b");
        w.run(120_000);
        assert_eq!(w.receipts.len(), 3);
        assert!(
            w.receipts[1].ms >= least && w.receipts[1].ms < least + 2_000,
            "{:?}",
            w.receipts
        );
    }
}

#[test]
fn a_poisoned_event_becomes_a_dead_letter_and_holds_up_nobody() {
    let mut w = World::new(settings(), |r| {
        status(if r.id == "poison" { 500 } else { 200 })
    });
    w.report(Action::Start, "poison");
    for i in 0..400 {
        w.report(Action::Start, &format!("i{i}"));
        w.run(5_000);
        w.ms += 5_000;
        let s = w.status();
        assert!(
            s.waiting <= 1 + u64::from(s.breaker != Breaker::Closed),
            "round {i}: {s:?}"
        );
        if s.dead_letters == 1 {
            break;
        }
        assert!(w.receipts.len() < 1_000);
    }
    assert_eq!((w.status().dead_letters, w.status().waiting), (1, 0));
    assert!(w.ms >= 900_000, "not before dead_letter_after: {}", w.ms);
}

#[test]
fn an_outage_of_any_length_loses_nothing_and_makes_no_dead_letters() {
    let mut w = World::new(settings(), |_| Answer::Failed("connection refused".into()));
    for i in 0..50 {
        w.report(Action::Start, &format!("i{i}"));
    }
    w.run(48 * 3_600_000);
    assert_eq!((w.status().waiting, w.status().dead_letters), (50, 0));
    w.coordinator = Box::new(|_| (status(200), 1));
    w.run(120_000);
    assert_eq!((w.status().waiting, w.status().delivered_total), (0, 50));
}

#[test]
fn a_coordinator_that_answers_some_with_500_makes_no_dead_letters() {
    let mut dice = Dice::new(3);
    let mut w = World::new(settings(), |_| {
        status(if dice.below(2) == 0 { 500 } else { 200 })
    });
    for i in 0..500 {
        w.report(Action::Start, &format!("i{i}"));
    }
    w.run(3_600_000);
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 0));
    let mut keys: Vec<_> = w.receipts.iter().map(|r| &r.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 500);
}

#[test]
fn no_window_has_more_sends_than_allowed_with_1000_queued_and_retries_and_restarts() {
    let mut n = 0;
    let mut w = World::with_latency(settings(), |_| {
        n += 1;
        (status(if n % 7 == 0 { 500 } else { 200 }), 1 + n % 90)
    });
    for i in 0..1_000 {
        w.report(Action::Start, &format!("i{i}"));
    }
    for _ in 0..200 {
        w.run(2_000);
        w.restart();
    }
    w.run(600_000);
    assert_eq!(w.status().waiting, 0);
    assert!(w.receipts.len() > 1_100);
    assert_eq!(busiest(&w.receipts, 1_000), 10);
    // And it is used: 10 in little more than a window, where nothing was waited for.
    assert!(
        w.receipts.len() as u64 * 1_000 / w.ms >= 5,
        "{} in {} ms",
        w.receipts.len(),
        w.ms
    );
}

/// A hundred interactions, one after the other.
fn report_one_after_the_other(w: &mut World) {
    for i in 0..100 {
        for action in [Action::Start, Action::Progress, Action::Complete] {
            w.report(action, &format!("i{i}"));
            w.ms += 1;
        }
    }
}

/// The most interactions that the coordinator knows the start of and not the end, at any time.
fn most_open(receipts: &[Receipt]) -> usize {
    let (mut open, mut most) = (0, 0);
    for receipt in receipts {
        match receipt.action.as_str() {
            "start" => open += 1,
            "complete" => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    most
}

#[test]
fn of_a_backlog_no_more_interactions_are_open_than_were_in_flight() {
    for latency in [1, 80, 700] {
        for settings in [settings(), unthrottled()] {
            let mut w = World::with_latency(settings, move |_| (status(200), latency));
            report_one_after_the_other(&mut w);
            w.run(600_000);
            assert_eq!(w.receipts.len(), 300);
            let most = most_open(&w.receipts);
            assert!(most <= 16, "{most} with {latency} ms");
        }
    }
}

#[test]
fn what_woke_goes_before_what_is_younger() {
    let mut failed = false;
    let mut w = World::new(settings(), move |r| {
        let fails = r.id == "i0" && !std::mem::replace(&mut failed, r.id == "i0");
        status(if fails { 500 } else { 200 })
    });
    report_one_after_the_other(&mut w);
    w.run(600_000);
    let last = w.receipts.iter().rposition(|r| r.id == "i0").unwrap();
    // A backoff of a second at most, and ten sends in each.
    assert!(last < 50, "{last}");
}

#[test]
fn records_are_read_ahead_in_batches_and_each_about_once() {
    let mut w = World::with_latency(unthrottled(), |_| (status(200), 100));
    report_one_after_the_other(&mut w);
    w.run(600_000);
    assert_eq!(w.receipts.len(), 300);
    let batches = w.store.operations("get_many");
    assert!(batches <= 20, "{batches} batches");
    // One interaction with many events leaves room for others while it is slow.
    let mut w = World::with_latency(unthrottled(), |r| {
        (status(200), if r.id == "long" { 500 } else { 10 })
    });
    for _ in 0..300 {
        w.report(Action::Progress, "long");
    }
    report_one_after_the_other(&mut w);
    w.run(4_000);
    let others = w.receipts.iter().filter(|r| r.id != "long").count();
    let batches = w.store.operations("get_many");
    assert!(others == 300 && batches <= 40, "{others}, {batches}");
}

#[test]
fn a_record_that_was_read_ahead_and_written_anew_is_sent_as_written() {
    let mut failures = 3;
    let mut w = World::new(settings(), move |r| {
        let fails = r.action == "progress" && failures > 0;
        failures -= u32::from(fails);
        status(if fails { 500 } else { 200 })
    });
    for action in [Action::Start, Action::Progress, Action::Complete] {
        w.report(action, "i");
        w.report(action, "j");
    }
    w.deliver(Duration::from_millis(5_200));
    let events = w.store.events(Place::Waiting);
    let tries: u32 = events.iter().map(|(_, record)| record.tries).sum();
    let failed = w.receipts.len() - (6 - events.len());
    assert_eq!((tries, failed > 0), (failed as u32, true));
    w.run(600_000);
    assert_eq!(w.status().resent_total, 3);
    assert_eq!(w.receipts.len(), 9);
}

#[test]
fn what_was_read_ahead_and_purged_is_not_sent() {
    let mut w = World::new(settings(), |_| status(200));
    report_one_after_the_other(&mut w);
    w.deliver(Duration::from_millis(5_200));
    let before = w.receipts.len();
    admin::purge(
        &mut w.store,
        &mut w.dice,
        at_ms(w.ms),
        &PurgeFilter::default(),
    )
    .unwrap();
    w.report(Action::Start, "new");
    w.ms += 2_000;
    w.run(60_000);
    let after: Vec<_> = w.receipts[before..].iter().map(|r| r.id.as_str()).collect();
    assert_eq!(after, ["new"]);
}

#[test]
fn probes_are_not_all_spent_on_one_long_interaction() {
    let mut w = World::new(settings(), |r| {
        status(if r.id == "bad" { 401 } else { 200 })
    });
    for _ in 0..200 {
        w.report(Action::Progress, "bad");
    }
    w.deliver(Duration::from_secs(6));
    assert_eq!(w.status().breaker, Breaker::Paused);
    w.report(Action::Start, "good");
    w.run(100_000);
    assert_eq!(w.sent("good"), ["start"]);
}

#[test]
fn probes_take_turns_whatever_was_tried_more_often_before() {
    // The good one is tried again and again while the coordinator is away.
    let mut w = World::new(settings(), |_| status(503));
    w.report(Action::Start, "good");
    w.run(3_600_000);
    assert!(w.receipts.len() > 100);
    w.ms += 1;
    for i in 0..4 {
        w.report(Action::Start, &format!("bad{i}"));
    }
    w.coordinator = Box::new(|r| (status(if r.id == "good" { 401 } else { 422 }), 1));
    w.run(200_000);
    assert_eq!(w.status().breaker, Breaker::Paused);
    w.coordinator = Box::new(|r| (status(if r.id == "good" { 200 } else { 422 }), 1));
    w.run(400_000);
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 4));
}

#[test]
fn several_interactions_go_side_by_side_but_each_in_order() {
    let mut w = World::with_latency(unthrottled(), |_| (status(200), 100));
    for action in [Action::Start, Action::Progress, Action::Complete] {
        for i in 0..16 {
            w.report(action, &format!("i{i}"));
        }
    }
    w.ms = 1_000;
    w.run(10_000);
    assert_eq!(w.ms, 1_300, "three rounds of sixteen");
    for i in 0..16 {
        assert_eq!(w.sent(&format!("i{i}")), ["start", "progress", "complete"]);
    }
}

#[test]
fn order_is_kept_through_an_outage_while_reports_go_on() {
    let mut w = World::new(unthrottled(), |_| Answer::Failed("refused".into()));
    w.report(Action::Start, "i");
    w.run(20_000);
    w.report(Action::Progress, "i");
    w.run(20_000);
    w.coordinator = Box::new(|_| (status(200), 1));
    w.report(Action::Complete, "i");
    let failed = w.receipts.len();
    w.run(60_000);
    let order: Vec<_> = w.receipts[failed..]
        .iter()
        .map(|r| r.action.as_str())
        .collect();
    assert_eq!(order, ["start", "progress", "complete"]);
}

#[test]
fn a_start_goes_first_though_the_clock_of_its_writer_was_ahead() {
    let mut w = World::new(settings(), |_| status(200));
    w.ms = 5_000;
    w.report(Action::Start, "i");
    w.restart(); // another process, whose clock is behind
    w.ms = 4_000;
    w.report(Action::Progress, "i");
    w.ms = 6_000;
    w.run(10_000);
    assert_eq!(w.sent("i"), ["start", "progress"]);
}

#[test]
fn a_second_drainer_waits_for_the_lease_and_takes_over_when_the_first_dies() {
    let mut w = World::with_latency(unthrottled(), |_| (status(200), 1_000));
    for i in 0..40 {
        w.report(Action::Start, &format!("i{i}"));
    }
    w.ms += 1;
    assert_eq!(
        w.deliver_until(Duration::from_secs(60), 500),
        None,
        "it crashed"
    );
    w.restart();
    let refused = w.deliver(Duration::from_secs(60));
    assert!(refused.lease_held_elsewhere && refused.delivered == 0);
    let next = refused.next.unwrap();
    assert_eq!(
        next,
        LEASE - Duration::from_secs(1),
        "it died a second after it took the lease"
    );
    w.ms += next.as_millis() as u64;
    w.run(60_000);
    assert_eq!(w.status().waiting, 0);
    // The sixteen that were in flight went out twice, with the same key.
    assert_eq!(w.receipts.len(), 56);
    let mut keys: Vec<_> = w.receipts.iter().map(|r| &r.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 40);
}

#[test]
fn a_long_delivery_renews_its_lease() {
    let mut w = World::with_latency(settings(), |_| (status(200), 3_000));
    for i in 0..200 {
        w.report(Action::Start, &format!("i{i}"));
    }
    assert_eq!(w.deliver_until(Duration::from_secs(60), 20_000), None);
    assert!(w.status().lease_holder.is_some());
}

#[test]
fn who_loses_the_lease_sends_nothing_more_and_writes_nothing_back() {
    let mut w = World::new(unthrottled(), |_| status(200));
    for i in 0..3 {
        w.report(Action::Start, &format!("i{i}"));
    }
    let now = at_ms(0);
    let (store, dice) = (&mut w.store, &mut w.dice);
    assert_eq!(
        w.drainer.begin(store, dice, now, Duration::from_secs(60)),
        Ok(None)
    );
    let Step::Send(first) = w.drainer.poll(store, dice, now).unwrap() else {
        panic!()
    };
    // It stalls for ten seconds; another takes over and delivers all.
    let mut other = Drainer::new(unthrottled().into(), dice);
    let late = at_ms(10_000);
    assert_eq!(
        other.begin(store, dice, late, Duration::from_secs(60)),
        Ok(None)
    );
    loop {
        match other.poll(store, dice, late).unwrap() {
            Step::Send(out) => other.answered(out.token, status(200), late),
            Step::Wait { .. } => panic!("nothing to wait for"),
            Step::Done(done) => break assert_eq!(done.delivered, 3),
        }
    }
    w.drainer.answered(first.token, status(500), late);
    let Step::Done(done) = w.drainer.poll(store, dice, late).unwrap() else {
        panic!()
    };
    assert!(done.lease_held_elsewhere);
    assert_eq!(store.events(Place::Waiting), []);
}

#[test]
fn what_another_made_a_dead_letter_while_it_was_in_flight_is_not_written_back() {
    let mut w = World::new(unthrottled(), |_| status(200));
    w.report(Action::Start, "i");
    let (store, dice) = (&mut w.store, &mut w.dice);
    let minute = Duration::from_secs(60);
    assert_eq!(w.drainer.begin(store, dice, at_ms(0), minute), Ok(None));
    let Step::Send(start) = w.drainer.poll(store, dice, at_ms(0)).unwrap() else {
        panic!()
    };
    // One whose lease had expired writes down that the start was refused.
    let [(key, _)] = store.events(Place::Waiting)[..] else {
        panic!()
    };
    let value = store.map.remove(&key.name(Place::Waiting)).unwrap();
    store.map.insert(key.name(Place::Dead), value);
    w.ms = 1;
    w.report(Action::Progress, "i");
    let (store, dice) = (&mut w.store, &mut w.dice);
    let step = w.drainer.poll(store, dice, at_ms(200)).unwrap();
    assert!(matches!(step, Step::Wait { .. }), "{step:?}");
    // The listing showed it: what follows in its interaction follows it.
    assert_eq!(store.events(Place::Waiting), []);
    assert_eq!(store.events(Place::Dead).len(), 2);
    w.drainer.answered(start.token, status(500), at_ms(300));
    let step = w.drainer.poll(store, dice, at_ms(300)).unwrap();
    assert!(matches!(step, Step::Done(_)), "{step:?}");
    assert_eq!(store.events(Place::Waiting), []);
}

#[test]
fn an_event_accepted_while_another_delivers_is_not_forgotten() {
    let mut w = World::new(unthrottled(), |_| status(200));
    w.report(Action::Start, "a");
    let now = at_ms(0);
    let (store, dice) = (&mut w.store, &mut w.dice);
    assert_eq!(
        w.drainer.begin(store, dice, now, Duration::from_secs(60)),
        Ok(None)
    );
    let mut sent = Vec::new();
    let mut knocked = false;
    loop {
        let now = at_ms(sent.len() as u64);
        match w.drainer.poll(store, dice, now).unwrap() {
            Step::Send(out) => {
                w.drainer.answered(out.token, status(200), now);
                sent.push(out);
            }
            Step::Wait { .. } => panic!("nothing to wait for"),
            Step::Done(_) => break,
        }
        if !core::mem::replace(&mut knocked, true) {
            // A passing instance stores its event, finds the lease taken, and ends.
            let reports = [report(Action::Start, "b", "{}")];
            assert_eq!(w.acceptor.accept(store, dice, at_ms(0), &reports), [Ok(())]);
            let mut other = Drainer::new(unthrottled().into(), dice);
            let idle = other
                .begin(store, dice, at_ms(0), Duration::from_secs(5))
                .unwrap();
            assert!(idle.unwrap().lease_held_elsewhere);
        }
    }
    assert_eq!(sent.len(), 2);
}

#[test]
fn a_hanging_coordinator_costs_no_more_than_the_budget() {
    for budget in [300, 2_000, 5_500, 20_000] {
        let mut w = World::with_latency(settings(), |_| (status(200), u64::MAX / 4));
        for i in 0..30 {
            w.report(Action::Start, &format!("i{i}"));
        }
        w.deliver(Duration::from_millis(budget));
        assert!(w.ms <= budget, "{} ms of {budget}", w.ms);
        assert_eq!(w.status().waiting, 30);
        // A try that was cut short by the budget is nobody's failure.
        let cut_short = budget < 5_000;
        assert_eq!(
            w.status().breaker == Breaker::Closed,
            cut_short,
            "budget {budget}"
        );
    }
}

#[test]
fn a_damaged_record_is_set_aside_as_it_is_and_the_rest_flows() {
    let mut w = World::new(settings(), |_| status(200));
    w.report(Action::Start, "a");
    w.report(Action::Start, "b");
    let (first, _) = w.store.events(Place::Waiting)[0].clone();
    let value = w.store.map.get_mut(&first.name(Place::Waiting)).unwrap();
    value.truncate(20);
    let damaged = value.clone();
    w.run(10_000);
    assert_eq!(w.sent("b"), ["start"]);
    assert_eq!(w.store.map.get(&first.name(Place::Dead)), Some(&damaged));
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 1));
}

#[test]
fn of_a_move_that_a_crash_cut_in_half_the_later_name_counts() {
    for redriven in [false, true] {
        let mut w = World::new(settings(), |_| status(200));
        w.report(Action::Start, "a");
        let (key, record) = w.store.events(Place::Waiting)[0].clone();
        if redriven {
            w.store.map.remove(&key.name(Place::Waiting));
            let again = next_key(key).name(Place::Waiting);
            w.store.map.insert(again, record.encode());
        }
        w.store.map.insert(key.name(Place::Dead), record.encode());
        let seen = |w: &mut World<'_>| (w.status().waiting, w.status().dead_letters);
        assert_eq!(seen(&mut w), (redriven.into(), (!redriven).into()));
        w.run(10_000);
        assert_eq!(w.receipts.len(), usize::from(redriven));
        assert_eq!(seen(&mut w), (0, (!redriven).into()));
        assert_eq!(w.store.events(Place::Waiting).len(), 0);
    }
}

#[test]
fn a_drainer_that_stalls_in_a_move_does_not_delete_what_was_put_back_meanwhile() {
    let mut w = World::new(settings(), |_| status(422));
    w.report(Action::Start, "a");
    w.store.stall_next_delete(|store| {
        let moved = admin::redrive(store, &mut Dice::new(3), at_ms(7_000), &[]);
        assert_eq!(moved, Ok(1));
    });
    w.deliver(Duration::from_secs(5));
    assert_eq!((w.status().waiting, w.status().dead_letters), (1, 0));
    w.ms = 20_000;
    w.coordinator = Box::new(|_| (status(200), 1));
    w.run(30_000);
    assert_eq!(w.sent("a"), ["start"; 2]);
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 0));
}

#[test]
fn a_redrive_that_stalls_does_not_delete_what_was_refused_again_meanwhile() {
    let mut w = World::new(settings(), |_| status(422));
    w.report(Action::Start, "a");
    w.deliver(Duration::from_secs(5));
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 1));
    w.store.stall_next_delete(|store| {
        let mut other = World::new(settings(), |_| status(422));
        (other.store, other.ms) = (core::mem::take(store), 8_000);
        other.deliver(Duration::from_secs(5));
        assert_eq!(other.receipts.len(), 1);
        *store = other.store;
    });
    let moved = admin::redrive(&mut w.store, &mut w.dice, at_ms(1_000), &[]);
    assert_eq!(moved, Ok(1));
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 1));
    assert_eq!(w.store.events(Place::Dead).len(), 1);
}

#[test]
fn a_purge_of_dead_letters_in_the_middle_of_their_move_leaves_no_half_of_them() {
    let mut w = World::new(settings(), |_| status(200));
    w.report(Action::Start, "a");
    let (key, record) = w.store.events(Place::Waiting)[0].clone();
    w.store.map.insert(key.name(Place::Dead), record.encode());
    let dead = PurgeFilter {
        dead_letters: true,
        ..PurgeFilter::default()
    };
    let purged = admin::purge(&mut w.store, &mut w.dice, at_ms(1_000), &dead);
    assert_eq!(purged, Ok(1));
    assert_eq!((w.status().waiting, w.status().dead_letters), (0, 0));
}

#[test]
fn a_store_that_cannot_delete_never_makes_the_same_drainer_send_twice() {
    let mut w = World::new(unthrottled(), |_| status(200));
    w.report(Action::Start, "a");
    w.store.fail_next("delete_many");
    let now = at_ms(0);
    let (store, dice) = (&mut w.store, &mut w.dice);
    assert_eq!(
        w.drainer.begin(store, dice, now, Duration::from_secs(60)),
        Ok(None)
    );
    let Step::Send(out) = w.drainer.poll(store, dice, now).unwrap() else {
        panic!()
    };
    w.drainer.answered(out.token, status(200), now);
    assert!(w.drainer.poll(store, dice, now).is_err());
    w.report(Action::Complete, "a");
    w.run(20_000);
    assert_eq!(w.sent("a"), ["complete"], "the start went out above");
    assert_eq!(w.status().waiting, 0);
}

#[test]
fn a_stepped_clock_does_not_stop_delivery() {
    let hour = 3_600_000;
    for (from, to) in [(24 * hour, 0), (0, 24 * hour)] {
        let mut up = false;
        let mut w = World::new(settings(), |_| {
            let code = if core::mem::replace(&mut up, true) {
                200
            } else {
                429
            };
            Answer::Status {
                code,
                retry_after: Some("3600".into()),
                body: String::new(),
            }
        });
        w.ms = from;
        w.report(Action::Start, "a");
        // It dies with the lease in its hand and a hold of an hour written down.
        assert_eq!(w.deliver_until(Duration::from_secs(60), from + 1), None);
        w.restart();
        w.ms = to;
        w.report(Action::Start, "b");
        w.run(2 * hour);
        assert_eq!(w.status().waiting, 0, "from {from} to {to}");
    }
}

#[test]
fn what_was_tried_before_the_clock_was_set_back_is_tried_again_soon() {
    let day = 24 * 3_600_000;
    let mut up = false;
    let mut w = World::new(settings(), |_| {
        status(if core::mem::replace(&mut up, true) {
            200
        } else {
            500
        })
    });
    w.ms = day;
    w.report(Action::Start, "a");
    w.deliver(Duration::from_millis(300));
    w.restart();
    w.ms = 0;
    w.run(60_000);
    assert_eq!(w.status().waiting, 0);
}

#[test]
fn the_sends_of_a_clock_that_was_set_back_hold_a_successor_up_no_longer_than_a_window() {
    let day = 24 * 3_600_000;
    let mut w = World::new(settings(), |_| status(200));
    w.ms = day;
    for i in 0..30 {
        w.report(Action::Start, &format!("i{i}"));
    }
    w.deliver(Duration::from_millis(300));
    w.restart();
    w.ms = 0;
    // The budget is so short that it waits for nothing.
    for _ in 0..10 {
        w.deliver(Duration::from_millis(300));
        w.ms += 2_000;
    }
    assert_eq!(w.status().waiting, 0);
}

#[test]
fn an_idle_queue_is_not_listed_while_the_breaker_holds_it() {
    let mut w = World::new(settings(), |_| status(401));
    w.report(Action::Start, "a");
    w.deliver(Duration::from_secs(5));
    let listings = w.store.operations("list_keys");
    for _ in 0..10 {
        let d = w.deliver(Duration::from_secs(5));
        assert!(d.held && d.next.is_some());
    }
    assert_eq!(w.store.operations("list_keys"), listings);
}

#[test]
fn many_that_wait_for_one_are_seldom_listed() {
    // All of one interaction, so that one is under way and none is ready.
    let lifted = Settings {
        rate_limit: 0,
        ..settings()
    };
    let mut w = World::with_latency(lifted, |_| (status(200), 250));
    w.report(Action::Start, "a");
    for _ in 0..20_000 {
        w.report(Action::Progress, "a");
    }
    let listings = w.store.operations("list_keys");
    for _ in 0..10 {
        w.deliver(Duration::from_secs(6));
    }
    let listed = w.store.operations("list_keys") - listings;
    let (seconds, sent) = (w.ms / 1_000, w.receipts.len());
    assert!(
        seconds >= 10 && sent as u64 >= 3 * seconds,
        "{sent} in {seconds} s"
    );
    // Each 100 ms and 20 us for each: twice in a second.
    let expected = 2 * seconds;
    assert!(
        (expected / 2..=expected + 1).contains(&listed.into()),
        "{listed} in {seconds} s"
    );
}

#[test]
fn purge_takes_whole_interactions_and_only_those_it_names() {
    let mut w = World::new(settings(), |r| {
        status(if r.id == "dead" { 400 } else { 503 })
    });
    w.report(Action::Start, "dead");
    w.run(3_000);
    w.report(Action::Start, "old");
    w.report(Action::Start, "renewed");
    w.ms += 100_000;
    w.report(Action::Progress, "renewed");
    w.report(Action::Start, "new");
    let purge = |w: &mut World<'_>, filter: PurgeFilter| {
        admin::purge(&mut w.store, &mut w.dice, at_ms(w.ms), &filter).unwrap()
    };
    let older_than = Some(Duration::from_secs(50));
    let none = PurgeFilter {
        dead_letters: true,
        interaction_id: Some("old".into()),
        older_than,
    };
    assert_eq!(purge(&mut w, none), 0);
    assert_eq!(
        purge(
            &mut w,
            PurgeFilter {
                dead_letters: true,
                ..Default::default()
            }
        ),
        1
    );
    assert_eq!(
        purge(
            &mut w,
            PurgeFilter {
                older_than,
                ..Default::default()
            }
        ),
        1
    );
    let named = PurgeFilter {
        interaction_id: Some("renewed".into()),
        ..Default::default()
    };
    assert_eq!(purge(&mut w, named), 2);
    assert_eq!(w.status().waiting, 1);
}

#[test]
fn redrive_and_purge_keep_off_while_another_delivers() {
    let mut w = World::with_latency(settings(), |_| (status(200), 1_000));
    w.report(Action::Start, "a");
    assert_eq!(w.deliver_until(Duration::from_secs(60), 100), None);
    let (store, dice, now) = (&mut w.store, &mut w.dice, at_ms(w.ms));
    let busy = admin::redrive(store, dice, now, &[]);
    assert!(matches!(busy, Err(AdminError::Busy { .. })), "{busy:?}");
    let busy = admin::purge(store, dice, now, &PurgeFilter::default());
    assert!(matches!(busy, Err(AdminError::Busy { .. })), "{busy:?}");
    assert_eq!(store.events(Place::Waiting).len(), 1);
}

#[test]
fn pages_of_a_listing_join_without_gap_or_overlap() {
    let mut w = World::new(settings(), |_| status(200));
    for i in 0..25 {
        w.report(Action::Start, &format!("i{i}"));
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) =
            admin::list(&mut w.store, Place::Waiting, 10, cursor.as_deref()).unwrap();
        seen.extend(page.into_iter().map(|e| e.record.unwrap().interaction_id));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..25).map(|i| format!("i{i}")).collect::<Vec<_>>());
}

#[test]
fn a_brief_delivery_waits_for_no_backoff() {
    let mut w = World::new(settings(), |_| status(503));
    w.drainer.set_brief(true);
    w.report(Action::Start, "i");
    for tries in 1..=BREAKER_FAILURES {
        let began = w.ms;
        let done = w.deliver(Duration::from_secs(20));
        assert_eq!((done.failed, done.waiting), (1, 1));
        // Nothing but the answer was waited for.
        assert_eq!((w.ms - began, w.receipts.len()), (1, tries as usize));
        assert_eq!(w.status().lease_holder, None);
        w.ms += done.next.unwrap().as_millis() as u64 + 1;
    }
    // The breaker is open, but for so short a time that another would wait for its end.
    let began = w.ms;
    w.deliver(Duration::from_secs(20));
    let done = w.deliver(Duration::from_secs(20));
    assert!(done.held && done.next.is_some(), "{done:?}");
    assert!(w.ms - began <= 1, "{} ms", w.ms - began);
}

#[test]
fn a_brief_delivery_waits_for_the_throttle() {
    let mut w = World::new(settings(), |_| status(200));
    w.drainer.set_brief(true);
    for i in 0..25 {
        w.report(Action::Start, &format!("i{i}"));
    }
    let done = w.deliver(Duration::from_secs(20));
    assert_eq!((done.delivered, done.next), (25, None));
}

#[test]
fn a_brief_delivery_ends_after_so_many_swaps_and_the_next_one_goes_on() {
    const EVENTS: u32 = 2 * BRIEF_SWAPS;
    // With one request at once each has a reservation of its own.
    let settings = Settings {
        rate_limit: 10_000,
        max_in_flight: 1,
        ..settings()
    };
    let mut w = World::new(settings, |_| status(200));
    w.drainer.set_brief(true);
    for i in 0..EVENTS {
        w.report(Action::Start, &format!("i{i}"));
    }
    let mut delivered = 0;
    while delivered < EVENTS {
        let before = w.store.operations("compare_and_swap");
        let done = w.deliver(Duration::from_secs(20));
        let swaps = w.store.operations("compare_and_swap") - before;
        assert!(swaps < BRIEF_SWAPS + 20, "{swaps}");
        assert!(done.delivered > 0 && !done.lease_held_elsewhere, "{done:?}");
        delivered += done.delivered;
    }
    assert_eq!(w.receipts.len(), EVENTS as usize);
    assert!(w.store.operations("compare_and_swap") > 256);
}
