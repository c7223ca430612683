//! Counts what became of the events: what the reporter process acknowledged,
//! against what the coordinator received.

use super::script::{self, Call};
use mcp_reporter::coordinator::{Receipt, StoredEvent};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// The figures of the demo's table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Events whose report the reporter process acknowledged.
    pub reported: usize,
    /// Of these, the ones that the coordinator has, word for word.
    pub delivered: usize,
    /// Events that the coordinator took, and was sent once more.
    pub delivered_twice: usize,
    /// Events that the coordinator has twice.
    pub kept_twice: usize,
    /// Events that were reported and did not arrive.
    pub lost: usize,
    /// Events that arrived after a later one of the same interaction.
    pub out_of_order: usize,
    /// The longest time that a report took its caller.
    pub longest_blocked: Duration,
    /// The time that half of the reports did not exceed.
    pub median_blocked: Duration,
}

impl Tally {
    /// `blocked`: for each call how long its report took, if it was
    /// acknowledged. `taken`: the calls whose events were taken by the
    /// coordinator, stored or recognised as repeated, in order. `stored`: the
    /// calls whose events it has, in order of their first receipt.
    pub fn count(
        calls: &[Call],
        blocked: &[Option<Duration>],
        taken: &[usize],
        stored: &[usize],
    ) -> Self {
        let mut times: Vec<Duration> = blocked.iter().flatten().copied().collect();
        times.sort();
        let often = |calls: &[usize]| occurrences(calls).into_values().filter(|n| *n > 1).count();
        let has = occurrences(stored);
        let reported = times.len();
        let delivered = (0..calls.len())
            .filter(|i| blocked.get(*i).is_some_and(Option::is_some) && has.contains_key(i))
            .count();
        Self {
            reported,
            delivered,
            delivered_twice: often(taken),
            kept_twice: often(stored),
            lost: reported - delivered,
            out_of_order: out_of_order(calls, stored),
            longest_blocked: times.last().copied().unwrap_or_default(),
            median_blocked: times.get(reported / 2).copied().unwrap_or_default(),
        }
    }

    /// Whether the reporter kept its promises.
    pub fn is_good(&self) -> bool {
        self.reported > 0 && self.lost + self.out_of_order + self.kept_twice == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        let repeats = match (self.delivered_twice, self.kept_twice) {
            (0, 0) => String::new(),
            (_, 0) => "same idempotency key: the coordinator kept one of each".to_owned(),
            (_, kept) => format!("{kept} of them are kept twice"),
        };
        let median = format!("half of the callers: at most {}", ms(self.median_blocked));
        let rows = [
            ("events reported", self.reported.to_string(), ""),
            ("delivered", self.delivered.to_string(), ""),
            (
                "delivered twice",
                self.delivered_twice.to_string(),
                &repeats,
            ),
            ("lost", self.lost.to_string(), ""),
            ("out of order", self.out_of_order.to_string(), ""),
            (
                "longest time a caller was blocked",
                ms(self.longest_blocked),
                &median,
            ),
        ];
        for (what, figure, note) in rows {
            let line = format!("  {what:<34}{figure:>10}   {note}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn occurrences(calls: &[usize]) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for call in calls {
        *counts.entry(*call).or_default() += 1;
    }
    counts
}

fn out_of_order(calls: &[Call], stored: &[usize]) -> usize {
    let mut seen = vec![false; calls.len()];
    let mut latest: HashMap<&str, usize> = HashMap::new();
    let mut late = 0;
    for &index in stored {
        let Some(call) = calls.get(index) else {
            continue;
        };
        if std::mem::replace(&mut seen[index], true) {
            continue;
        }
        let latest = latest.entry(&call.interaction).or_insert(index);
        late += usize::from(index < *latest);
        *latest = index.max(*latest);
    }
    late
}

/// The calls of the requests that the coordinator took, in order of receipt.
pub(super) fn taken(receipts: &[Receipt]) -> Vec<usize> {
    receipts
        .iter()
        .filter(|r| {
            r.stored
                || r.answered
                    .is_some_and(|status| (200..300).contains(&status))
        })
        .filter_map(|r| script::index(r.idempotency_key.as_deref()?))
        .collect()
}

/// The calls whose events the coordinator has, in order. An event that says
/// something else than its call does not count.
pub(super) fn stored(calls: &[Call], events: &[StoredEvent]) -> Vec<usize> {
    events
        .iter()
        .filter_map(|event| {
            let index = script::index(event.idempotency_key.as_deref()?)?;
            says(&event.body, calls.get(index)?).then_some(index)
        })
        .collect()
}

fn says(body: &[u8], call: &Call) -> bool {
    let Ok(body) = serde_json::from_slice::<HashMap<String, &RawValue>>(body) else {
        return false;
    };
    let text = |key| {
        body.get(key)
            .and_then(|v| serde_json::from_str::<String>(v.get()).ok())
    };
    let data_key = match &*call.action {
        "start" => "request_data",
        "progress" => "progress_data",
        "complete" => "result_data",
        _ => "error_data",
    };
    text("action") == Some(format!("interaction_{}", call.action))
        && text("interaction_id").as_ref() == Some(&call.interaction)
        && body.get(data_key).map(|data| data.get()) == Some(call.data.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls 0, 1, 3 are of interaction a, call 2 is of b.
    fn calls() -> Vec<Call> {
        [
            ("start", "a"),
            ("progress", "a"),
            ("start", "b"),
            ("complete", "a"),
        ]
        .map(|(action, call)| {
            let call =
                format!(r#"{{"at_ms":0,"action":"{action}","call":"{call}","data":{{"n":1e2}}}}"#);
            serde_json::from_str(&call).unwrap()
        })
        .into()
    }

    fn count(blocked_ms: [Option<u64>; 4], taken: &[usize], stored: &[usize]) -> Tally {
        let blocked = blocked_ms.map(|ms| ms.map(Duration::from_millis));
        Tally::count(&calls(), &blocked, taken, stored)
    }

    const ALL: [Option<u64>; 4] = [Some(1), Some(9), Some(2), Some(3)];

    #[test]
    fn all_is_well_when_each_arrived_once_and_in_its_place() {
        let tally = count(ALL, &[2, 0, 1, 3], &[2, 0, 1, 3]);
        let expected = Tally {
            reported: 4,
            delivered: 4,
            longest_blocked: Duration::from_millis(9),
            median_blocked: Duration::from_millis(3),
            ..Tally::default()
        };
        assert_eq!(tally, expected);
        assert!(tally.is_good());
    }

    #[test]
    fn a_lost_event_is_counted() {
        let tally = count(ALL, &[0, 1, 3], &[0, 1, 3]);
        assert_eq!((tally.reported, tally.delivered, tally.lost), (4, 3, 1));
        assert!(!tally.is_good());
    }

    #[test]
    fn what_was_never_acknowledged_is_not_lost() {
        let tally = count([Some(1), None, Some(2), None], &[0, 1, 2], &[0, 1, 2]);
        assert_eq!((tally.reported, tally.delivered, tally.lost), (2, 2, 0));
    }

    #[test]
    fn a_repeat_is_counted_and_forgiven_unless_it_was_kept() {
        let tally = count(ALL, &[0, 1, 1, 1, 2, 3, 3], &[0, 1, 2, 3]);
        assert_eq!(
            (tally.delivered, tally.delivered_twice, tally.kept_twice),
            (4, 2, 0)
        );
        assert!(tally.is_good());
        let tally = count(ALL, &[0, 1, 1, 2, 3], &[0, 1, 1, 2, 3]);
        assert_eq!(
            (tally.delivered, tally.delivered_twice, tally.kept_twice),
            (4, 1, 1)
        );
        assert!(!tally.is_good());
    }

    #[test]
    fn an_inversion_is_counted_within_an_interaction_alone() {
        assert_eq!(count(ALL, &[], &[0, 3, 2, 1]).out_of_order, 1);
        assert_eq!(count(ALL, &[], &[3, 1, 0, 2]).out_of_order, 2);
        assert_eq!(count(ALL, &[], &[0, 1, 3, 2]).out_of_order, 0);
        // A repeat comes late by nature: the first receipt decides.
        assert_eq!(count(ALL, &[], &[0, 1, 3, 1]).out_of_order, 0);
        assert!(!count(ALL, &[], &[0, 3, 2, 1]).is_good());
    }

    #[test]
    fn an_event_must_say_what_its_call_said() {
        let call = &calls()[1];
        let body = |action, id, data| {
            format!(
                r#"{{"action":"{action}","interaction_id":"{id}","mcp_id":"m","timestamp":1.5,"progress_data":{data}}}"#
            )
        };
        assert!(says(
            body("interaction_progress", "a", r#"{"n":1e2}"#).as_bytes(),
            call
        ));
        assert!(!says(
            body("interaction_start", "a", r#"{"n":1e2}"#).as_bytes(),
            call
        ));
        assert!(!says(
            body("interaction_progress", "b", r#"{"n":1e2}"#).as_bytes(),
            call
        ));
        assert!(!says(
            body("interaction_progress", "a", r#"{"n":100}"#).as_bytes(),
            call
        ));
        assert!(!says(b"nonsense", call));
    }
}
