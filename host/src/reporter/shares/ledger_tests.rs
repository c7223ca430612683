use super::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Times are far from 0, as those of a wall clock.
const START: u64 = 1_000_000 * SECOND;
const RATE: Rate = Rate {
    limit: 10,
    period: Duration::from_secs(1),
};

fn ledger(shards: usize) -> Ledger {
    Ledger::new(shards, false, START, RATE)
}

impl Ledger {
    /// Settles and enters, with a log.
    fn go(&mut self, shard: usize, host: u64, now: u64, log: &[u64]) -> Option<u32> {
        self.settle(now, RATE);
        match self.enter(shard, host, now, RATE, true, Some(log)) {
            Entry::Own { permits, .. } => Some(permits),
            Entry::Elsewhere { .. } | Entry::TellLog => None,
        }
    }

    fn go_away(&mut self, shard: usize, host: u64, now: u64, log: &[u64]) {
        self.settle(now, RATE);
        self.leave(shard, host, now, RATE, Some(log));
    }
}

#[test]
fn one_busy_shard_has_all_of_the_rate() {
    let mut l = ledger(4);
    assert_eq!(l.go(2, 1, START, &[]), Some(10));
}

#[test]
fn busy_shards_share_the_rate_and_none_goes_without() {
    let mut l = ledger(4);
    assert_eq!(l.go(0, 1, START, &[]), Some(10));
    // The others find nothing, until the first looks again.
    assert_eq!(l.go(1, 1, START, &[]), Some(0));
    assert_eq!(l.go(2, 2, START, &[]), Some(0));
    assert_eq!(l.go(0, 1, START, &[]), Some(4));
    assert_eq!(l.go(1, 1, START, &[]), Some(3));
    assert_eq!(l.go(2, 2, START, &[]), Some(3));
}

#[test]
fn sends_of_a_share_that_shrinks_count_until_they_leave_the_window() {
    let mut l = ledger(2);
    l.go(0, 1, START, &[]);
    // Six sends, three of them later.
    let log = [0, 0, 0, 400, 400, 400].map(|ms| START + ms * MS);
    let now = START + 500 * MS;
    assert_eq!(l.go(1, 1, now, &[]), Some(0));
    assert_eq!(l.go(0, 1, now, &log), Some(5));
    // Five for shard 0, one of its sends beyond that, four unused.
    assert_eq!(l.go(1, 1, now, &[]), Some(4));
    // The oldest has left: a window of 1,050 ms, and the grain.
    assert_eq!(l.go(1, 1, START + 1_049 * MS, &[]), Some(4));
    assert_eq!(l.go(1, 1, START + 1_070 * MS, &[]), Some(5));
}

#[test]
fn an_idle_shards_permits_are_free_at_once_or_when_they_leave_the_window() {
    let mut l = ledger(2);
    l.go(0, 1, START, &[]);
    l.go(1, 1, START, &[]);
    l.go(0, 1, START, &[]);
    assert_eq!(l.go(1, 1, START, &[]), Some(5));
    // Two of its five are used.
    l.go_away(1, 1, START, &[START, START]);
    assert_eq!(l.go(0, 1, START, &[]), Some(8));
    assert_eq!(l.go(0, 1, START + 1_000 * MS, &[]), Some(8));
    assert_eq!(l.go(0, 1, START + 1_070 * MS, &[]), Some(10));
}

#[test]
fn a_shard_takes_back_what_it_counts_itself() {
    let mut l = ledger(2);
    l.go(0, 1, START, &[]);
    let log = [START; 10];
    l.go_away(0, 1, START, &log);
    // Another finds nothing; itself it has them all, and its log says that they are used.
    assert_eq!(l.clone().go(1, 1, START, &[]), Some(0));
    assert_eq!(l.go(0, 1, START, &log), Some(10));
}

#[test]
fn a_share_of_a_host_that_died_runs_out_and_then_counts_for_a_window() {
    let mut l = ledger(2);
    l.go(0, 1, START, &[]);
    let end = START + 6 * SECOND;
    assert_eq!(l.go(0, 2, end - 1, &[]), None, "it is good until then");
    assert_eq!(l.clone().go(1, 2, end, &[]), Some(0));
    assert_eq!(l.clone().go(1, 2, end + 1_300 * MS - 1, &[]), Some(0));
    assert_eq!(l.clone().go(1, 2, end + 1_300 * MS, &[]), Some(10));
    // The shard itself may be sent on at once: its log says what was sent.
    assert_eq!(l.go(0, 2, end, &[]), Some(10));
}

#[test]
fn a_claim_is_renewed_while_its_shard_is_delivered() {
    let mut l = ledger(2);
    for second in 0..20 {
        assert_eq!(l.go(0, 1, START + second * SECOND, &[]), Some(10));
    }
    assert_eq!(l.go(0, 2, START + 20 * SECOND, &[]), None);
}

#[test]
fn times_far_ahead_are_pulled_back_once_and_then_pass() {
    let mut l = ledger(2);
    l.go(0, 1, START + 86_400 * SECOND, &[]);
    l.counting.push(Counting {
        shard: None,
        permits: 1,
        until: START + 86_400 * SECOND,
    });
    assert!(l.settle(START, RATE));
    assert!(!l.settle(START, RATE));
    assert_eq!(l.go(0, 2, START + 6 * SECOND, &[]), Some(10));
}

#[test]
fn nothing_shrinks_without_the_log() {
    let mut l = ledger(2);
    l.go(0, 1, START, &[]);
    l.go(1, 1, START, &[]);
    assert_eq!(l.enter(0, 1, START, RATE, true, None), Entry::TellLog);
}

#[test]
fn a_share_grows_only_when_it_may_but_from_nothing_at_once() {
    let mut l = ledger(2);
    l.go(0, 1, START, &[]);
    l.go(1, 1, START, &[]);
    l.go(0, 1, START, &[]);
    let own = |permits| Entry::Own {
        permits,
        until: START + 6 * SECOND,
    };
    assert_eq!(l.enter(1, 1, START, RATE, false, None), own(5));
    l.go_away(0, 1, START, &[]);
    assert_eq!(l.enter(1, 1, START, RATE, false, None), own(5));
    assert_eq!(l.enter(1, 1, START, RATE, true, None), own(10));
}

#[test]
fn a_host_with_fewer_shards_is_given_some() {
    let mut l = ledger(4);
    for shard in 0..4 {
        l.go(shard, 1, START, &[]);
    }
    for shard in 0..4 {
        assert_eq!(l.go(shard, 2, START, &[]), None);
    }
    let kept = (0..4).filter(|shard| l.go(*shard, 1, START, &[]).is_some());
    assert_eq!(kept.count(), 2);
    let given = (0..4).filter(|shard| l.go(*shard, 2, START, &[]).is_some());
    assert_eq!(given.count(), 2);
    // Evenly divided, nothing moves any more; nor for a third host, which has one fewer.
    for shard in 0..4 {
        l.go(shard, 3, START, &[]);
    }
    let wishes: Vec<_> = l.shares.iter().filter(|s| s.wished != 0).collect();
    assert_eq!(wishes.len(), 1, "{wishes:?}");
}

#[test]
fn a_host_that_goes_takes_its_wishes_along() {
    let mut l = ledger(2);
    l.go(0, 1, START, &[]);
    l.go(1, 1, START, &[]);
    l.go(0, 2, START, &[]);
    l.go_away(1, 2, START, &[]);
    assert!(l.go(0, 1, START, &[]).is_some());
}

#[test]
fn a_record_survives_the_round_trip_and_another_number_of_shards_is_none() {
    let mut l = ledger(3);
    l.go(1, u64::MAX, START, &[]);
    l.go_away(1, u64::MAX, START, &[START, START + MS]);
    let bytes = l.encode();
    assert_eq!(Ledger::decode(&bytes, 3), Some(l.clone()));
    assert_ne!(bytes, l.encode(), "every version is different");
    assert_eq!(Ledger::decode(&bytes, 4), None);
    assert_eq!(Ledger::decode(b"nonsense", 3), None);
}

#[test]
fn of_an_outbox_that_was_used_nothing_is_free_for_a_window() {
    let mut l = Ledger::new(2, true, START, RATE);
    assert_eq!(l.go(0, 1, START, &[]), Some(0));
    assert_eq!(l.go(0, 1, START + 1_300 * MS, &[]), Some(10));
}

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// What a host believes of a shard: it may send so many, until then.
type Belief = Option<(u32, u64)>;

/// Hosts that claim, send, give up, hand over, stall and die, over one ledger. Returns how many
/// were sent and, if it ever happened, how many too many counted at one moment.
fn play(seed: u64, honest: bool) -> (usize, Option<String>) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let shards = 1 + dice.below(5) as usize;
    let rate = Rate {
        limit: shards as u32 + dice.below(20) as u32,
        period: Duration::from_millis(200 + dice.below(1_800)),
    };
    let (window, slack) = (nanos(rate.window()), nanos(rate.period / 4));
    let mut now = START;
    let mut ledger = Ledger::new(shards, false, now, rate);
    // From when each send of a shard counts: what its control record says.
    let mut logs = vec![Vec::<u64>::new(); shards];
    let mut names = vec![1, 2, 3];
    let mut beliefs = vec![vec![Belief::None; shards]; names.len()];
    let mut sent = 0;
    for _ in 0..2_000 {
        now += match dice.below(40) {
            0 => dice.below(8_000) * MS,
            _ => dice.below(60) * MS,
        };
        let host = dice.below(names.len() as u64) as usize;
        let shard = dice.below(shards as u64) as usize;
        ledger.settle(now, rate);
        let log = if honest { &logs[shard][..] } else { &[] };
        match dice.below(20) {
            0 => {
                // It dies; another with a name of its own comes in its place.
                names.push(names.len() as u64 + 1);
                names.swap_remove(host);
                beliefs[host] = vec![None; shards];
                names[host] = names.len() as u64 * 1_000 + now / MS % 1_000;
            }
            1..3 => {
                let log = (dice.below(8) > 0).then_some(log);
                ledger.leave(shard, names[host], now, rate, log);
                beliefs[host][shard] = None;
            }
            3..12 => {
                let grow = dice.below(3) > 0;
                let mut entry = ledger.enter(shard, names[host], now, rate, grow, None);
                if entry == Entry::TellLog {
                    entry = ledger.enter(shard, names[host], now, rate, grow, Some(log));
                }
                beliefs[host][shard] = match entry {
                    Entry::Own { permits, until } => Some((permits, until)),
                    Entry::Elsewhere { .. } | Entry::TellLog => None,
                };
            }
            _ => {}
        }
        // Whoever believes that it may sends, as much as its throttle lets it.
        if let Some((permits, until)) = beliefs[host][shard]
            && now < until
            && dice.below(2) == 0
        {
            let log = &mut logs[shard];
            log.retain(|at| at + window > now);
            let free = u64::from(permits).saturating_sub(log.len() as u64);
            for _ in 0..dice.below(free + 1) {
                log.push(now + dice.below(slack + 1));
                sent += 1;
            }
        }
        let count = |log: &Vec<u64>| log.iter().filter(|at| **at + window > now).count();
        let counting: usize = logs.iter().map(count).sum();
        if counting > rate.limit as usize {
            let wrong = format!("seed {seed}: {counting} of {} at {now}", rate.limit);
            return (sent, Some(wrong));
        }
        let used: u32 = ledger.shares.iter().map(|s| s.permits).sum();
        let counted: u32 = ledger.counting.iter().map(|c| c.permits).sum();
        assert!(used + counted <= rate.limit, "seed {seed}: {ledger:?}");
    }
    (sent, None)
}

#[test]
fn whatever_hosts_do_no_window_has_more_than_the_limit() {
    let mut sent = 0;
    for seed in 0..2_000 {
        let (count, wrong) = play(seed, true);
        assert_eq!(wrong, None);
        sent += count;
    }
    assert!(sent > 100_000, "only {sent} were sent: nothing was tried");
}

#[test]
fn that_test_notices_when_sends_are_not_counted() {
    let wrong = (0..100).filter(|seed| play(*seed, false).1.is_some());
    assert!(wrong.count() > 10);
}
