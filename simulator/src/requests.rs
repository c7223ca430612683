//! The oracle's books of what clients post to the coordinator's own API: invariant 12.
//!
//! Each try of a request is an event of its own here, since each may have been stored. What tells
//! them apart is the `traceparent`: body and idempotency key are the same.

use std::collections::BTreeMap;

use crate::oracle::{Fate, Invariant, Ledger};

/// Days in nanoseconds.
const DAY: u64 = 86_400_000_000_000;

/// What a client posts until it has an answer.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub interaction: u64,
    pub body: Vec<u8>,
    pub key: String,
    /// The events of its tries.
    pub tries: Vec<usize>,
    /// Whether the client got an answer that says that it was taken in.
    pub answered: bool,
}

/// An answer as it was kept.
#[derive(Debug, Clone)]
struct Kept {
    request: usize,
    event: usize,
    text: String,
    /// It has not been damaged since.
    sound: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub all: Vec<Request>,
    /// By name, as the store has them.
    kept: BTreeMap<String, Kept>,
    /// All that ever were, in order.
    log: Vec<Kept>,
    /// The names of those that were damaged, in order.
    damaged: Vec<String>,
}

/// What an instance can know of a request when a try of it begins.
#[derive(Debug)]
pub(crate) struct Known {
    /// The name of its kept answer, and the text.
    answer: Option<(String, String)>,
    /// It was kept the day before.
    yesterday: bool,
    /// How many had been kept, and damaged.
    log: usize,
    damaged: usize,
}

/// A try, as far as what was done goes.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub event: usize,
    /// What was known when it began.
    pub known: Known,
    /// An operation of the store failed.
    pub faulted: bool,
    /// A kept answer was misread.
    pub misread: bool,
}

/// What came of a try.
#[derive(Debug)]
pub(crate) enum Said {
    /// The instance died, or the answer did not come out.
    Nothing,
    /// 200, for an event that was stored just now.
    Stored(String),
    /// 200, as before.
    Again(String),
    /// The outbox is full.
    Full,
    /// The store failed.
    Storage,
    /// Anything else.
    #[expect(dead_code, reason = "shown where it is complained about")]
    Other(String),
}

impl Ledger {
    /// What is known of a request to an instance whose clock says `wall_ns`.
    pub fn known(&self, request: usize, wall_ns: u64) -> Known {
        let today = wall_ns / DAY;
        let of = |day: u64| {
            let begin = format!("i.{day}.");
            let mut kept = self.requests.kept.iter();
            kept.find(|(name, kept)| {
                name.starts_with(&begin) && kept.request == request && kept.sound
            })
        };
        let (first, second) = (of(today), of(today - 1));
        let found = first.or(second);
        Known {
            yesterday: first.is_none() && second.is_some(),
            answer: found.map(|(name, kept)| (name.clone(), kept.text.clone())),
            log: self.requests.log.len(),
            damaged: self.requests.damaged.len(),
        }
    }

    /// The try whose event is `event` keeps an answer.
    pub fn keep_answer(&mut self, name: &str, value: &[u8], event: usize) {
        let Some(request) = self.events[event].request else {
            return;
        };
        if self.events[event].keys.is_empty() {
            let what = format!("an answer for event {event} was kept before the event was stored");
            self.violate(Invariant::SameAgain, what);
        }
        // The text stands behind the key.
        let key = self.requests.all[request].key.as_bytes();
        let at = value.windows(key.len()).position(|part| part == key);
        let text = at.map_or(&[][..], |at| &value[at + key.len()..]);
        let kept = Kept {
            request,
            event,
            text: String::from_utf8_lossy(text).into_owned(),
            sound: true,
        };
        self.requests.log.push(kept.clone());
        self.requests.kept.insert(name.into(), kept);
    }

    /// A kept answer was damaged where it lies.
    pub fn damage_answer(&mut self, name: &str) {
        self.requests.damaged.push(name.into());
        if let Some(kept) = self.requests.kept.get_mut(name) {
            kept.sound = false;
        }
    }

    /// What was stored has the key of the request that brought it.
    pub fn check_key(&mut self, request: Option<usize>, key: &str) {
        if let Some(request) = request
            && self.requests.all[request].key != key
        {
            let what = format!("request {request} was stored with the key {key:?}");
            self.violate(Invariant::SameAgain, what);
        }
    }

    /// Whether the coordinator got what `event` brings by another try of the same request.
    pub fn had_before(&self, event: usize) -> bool {
        let request = self.events[event].request;
        request.is_some_and(|request| {
            let mut tries = self.requests.all[request].tries.iter();
            tries.any(|other| *other != event && self.confirmed(*other))
        })
    }

    /// Invariant 12.
    pub fn check_answer(&mut self, attempt: &Attempt, said: Said) {
        let event = attempt.event;
        let Some(request) = self.events[event].request else {
            return;
        };
        if let Some(what) = self.wrong(request, attempt, &said) {
            let what = format!("event {event} of request {request}: {what}: {said:?}");
            self.violate(Invariant::SameAgain, what);
        }
        if !self.events[event].keys.is_empty() {
            self.count_doubles(request, attempt);
        }
        self.events[event].fate = match said {
            Said::Nothing | Said::Storage => Fate::Unknown,
            Said::Stored(_) => Fate::Acknowledged,
            Said::Again(text) => {
                // Those that this answer was for are as good as answered themselves.
                let log = self.requests.log.iter();
                for kept in log.filter(|kept| kept.request == request && kept.text == text) {
                    self.events[kept.event].fate = Fate::Acknowledged;
                }
                if attempt.known.yesterday {
                    self.excuse("post: the same answer the next day");
                }
                Fate::Refused
            }
            Said::Full | Said::Other(_) => Fate::Refused,
        };
    }

    /// What is wrong about an answer, if anything is.
    fn wrong(&self, request: usize, attempt: &Attempt, said: &Said) -> Option<&'static str> {
        let Requests { log, damaged, .. } = &self.requests;
        let Attempt { event, known, .. } = attempt;
        let stored = !self.events[*event].keys.is_empty();
        let lost = |name| attempt.misread || damaged[known.damaged..].contains(name);
        let expected = known.answer.as_ref().filter(|(name, _)| !lost(name));
        let of = |kept: &&Kept| kept.request == request;
        match said {
            _ if stored && expected.is_some() => {
                Some("it was stored again, though its answer was kept")
            }
            Said::Stored(text) => {
                let own = |kept: &Kept| kept.event == *event && kept.text == *text;
                (!log.iter().any(own)).then_some("it is answered, and the answer is not kept")
            }
            Said::Again(_) if stored => Some("it was stored, and answered as before"),
            Said::Again(text) => {
                let first = expected.is_some_and(|(_, first)| first == text);
                // Another try may have ended in between.
                let since = if expected.is_some() { known.log } else { 0 };
                let mut given = log[since..].iter().filter(of);
                let given = first || given.any(|kept| kept.text == *text);
                (!given).then_some("this was never answered to it, or not last")
            }
            Said::Storage => (!attempt.faulted).then_some("the store did not fail"),
            Said::Other(_) => Some("this is no answer to it"),
            Said::Nothing | Said::Full => None,
        }
    }

    /// Counts what was stored more than once, by its cause.
    fn count_doubles(&mut self, request: usize, attempt: &Attempt) {
        let Attempt {
            event,
            ref known,
            misread,
            ..
        } = *attempt;
        let Requests { all, kept, log, .. } = &self.requests;
        let mut others = all[request].tries.iter().filter(|other| **other != event);
        if !others.any(|other| !self.events[*other].keys.is_empty()) {
            return;
        }
        let of = |kept: &&Kept| kept.request == request && kept.event != event;
        let cause = if log[known.log..].iter().any(|kept| of(&kept)) {
            "post: stored twice, by tries at once"
        } else if misread || kept.values().filter(of).any(|kept| !kept.sound) {
            "post: stored twice, the kept answer was damaged"
        } else if log.iter().any(|kept| of(&kept)) {
            "post: stored twice, the answer was kept on another day"
        } else {
            "post: stored twice, no answer was kept"
        };
        self.excuse(cause);
    }
}
