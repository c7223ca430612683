//! What happens in the demo and when: the calls of the recording, and the
//! faults between them.

use crate::cli::error::Error;
use mcp_reporter::Action;
use mcp_reporter::coordinator::Fault;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One line per call, made by `xtask/fixtures/make_demo_fixture.py`.
const RECORDING: &str = include_str!("../../../fixtures/demo-session.jsonl");

/// One call of the recording: something that happened in an interaction.
#[derive(Debug, Deserialize)]
pub(super) struct Call {
    at_ms: f64,
    /// `start`, `progress`, `complete` or `error`.
    pub action: String,
    /// Which interaction. Its id in the recording is its id in the demo.
    #[serde(rename = "call")]
    pub interaction: String,
    /// The payload, byte for byte.
    pub data: Box<RawValue>,
}

impl Call {
    /// The same for the library.
    pub fn action(&self) -> Action {
        match self.action.as_str() {
            "start" => Action::Start,
            "progress" => Action::Progress,
            "complete" => Action::Complete,
            _ => Action::Error,
        }
    }
}

/// The calls, in the order in which they were recorded.
pub(super) fn calls() -> Result<Vec<Call>, Error> {
    let calls: Result<_, serde_json::Error> = RECORDING.lines().map(serde_json::from_str).collect();
    calls.map_err(|why| Error::Failed(format!("the recorded session cannot be read: {why}")))
}

/// The key by which a repeated send, or a repeated report, of call `index` is
/// recognised as the same event.
pub(super) fn key(index: usize) -> String {
    format!("demo-{index}")
}

/// The call whose [`key`] this is, with or without the quotes of the header.
pub(super) fn index(key: &str) -> Option<usize> {
    key.trim_matches('"').strip_prefix("demo-")?.parse().ok()
}

/// What happens at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The reporter process is handed this call.
    Call(usize),
    /// The coordinator behaves like this from now on, which is told like this.
    Coordinator(Fault, &'static str),
    /// The reporter process is killed, and another takes its place.
    Kill,
}

/// The answers that [`Fault::Cut`] cuts off; then there is no fault.
pub(super) const LOST_ANSWERS: u32 = 3;

/// What goes wrong, by the milliseconds of the recording. The kill is in a
/// burst: a call has just been handed over, and an interaction has no end yet.
const FAULTS: [(f64, Step); 5] = [
    (
        2000.0,
        Step::Coordinator(Fault::Cut, "stores 3 more, but its answers get lost"),
    ),
    (
        3000.0,
        Step::Coordinator(Fault::Hang, "hangs: takes requests, never answers"),
    ),
    (3700.0, Step::Coordinator(Fault::Refuse, "down")),
    (4006.4, Step::Kill),
    (5700.0, Step::Coordinator(Fault::None, "back")),
];

/// All steps in order, each with its milliseconds since the first.
pub(super) fn steps(calls: &[Call]) -> Vec<(f64, Step)> {
    let calls = calls.iter().enumerate();
    let mut steps: Vec<_> = calls.map(|(i, call)| (call.at_ms, Step::Call(i))).collect();
    steps.extend(FAULTS);
    steps.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let first = steps.first().map_or(0.0, |(at, _)| *at);
    steps
        .into_iter()
        .map(|(at, step)| (at - first, step))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_on_after_every_fault_and_an_interaction_spans_the_kill() {
        let calls = calls().unwrap();
        let steps = steps(&calls);
        let kill = steps.iter().position(|(_, s)| *s == Step::Kill).unwrap();
        let open = |until: usize| {
            let mut open = std::collections::HashSet::new();
            for (_, step) in &steps[..until] {
                if let Step::Call(i) = step {
                    match calls[*i].action() {
                        Action::Start => open.insert(&calls[*i].interaction),
                        Action::Progress => false,
                        Action::Complete | Action::Error => open.remove(&calls[*i].interaction),
                    };
                }
            }
            open.len()
        };
        assert!(open(kill) > 0);
        assert_eq!(open(steps.len()), 0);
        for (at, step) in &steps {
            let later = steps
                .iter()
                .filter(|(t, s)| t > at && matches!(s, Step::Call(_)));
            assert!(
                matches!(step, Step::Call(_)) || later.count() >= 10,
                "{step:?}"
            );
        }
    }

    #[test]
    fn a_key_names_its_call() {
        assert_eq!(index(&key(17)), Some(17));
        assert_eq!(index("\"demo-3\""), Some(3));
        assert_eq!(index("3a1d8a2e-0000-4000-8000-000000000000"), None);
    }
}
