//! Clients of the coordinator's own API: what they post, and post again.
//!
//! Each request is answered by a fresh instance, which dies alone where a crash strikes, and which
//! a process has beside whatever else it does.

use mcp_reporter_core::accept::Acceptor;
use mcp_reporter_core::edge::{Head, Operation, Performed, Response};

use crate::dice::Dice;
use crate::requests::{Attempt, Request, Said};
use crate::store::{Handle, Role};
use crate::world::World;

/// Lets clients in.
pub(crate) const INGEST_KEY: &str = "in";

/// A try of a request while another is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Again {
    request: usize,
    process: usize,
}

impl World {
    /// A client posts what some interaction reports next, with a key of its own.
    pub fn post(&self, process: usize, at_once: Option<usize>) {
        let text = self.next_report(self.clock(process));
        let mut ledger = self.ledger.borrow_mut();
        let request = ledger.requests.all.len();
        ledger.requests.all.push(Request {
            interaction: text.interaction,
            body: text.body,
            key: format!("request-{request:04}"),
            tries: Vec::new(),
            answered: false,
        });
        drop(ledger);
        self.attempt(process, request, at_once);
    }

    /// A client posts again what it posted before.
    pub fn post_again(&self, process: usize, at_once: Option<usize>) {
        let count = self.ledger.borrow().requests.all.len();
        if count == 0 {
            return;
        }
        let mut some: Vec<_> = (0..count).collect();
        if self.roll(0, 10) < 6 {
            some.retain(|request| !self.ledger.borrow().requests.all[*request].answered);
        }
        if !some.is_empty() {
            let request = self.dice.borrow_mut().pick(&some);
            self.attempt(process, request, at_once);
        }
    }

    /// In the middle of a try, the client tries again.
    pub fn post_at_once(&self, Again { request, process }: Again) {
        self.hit("post: at once");
        self.depth.set(self.depth.get() + 1);
        self.attempt(process, request, None);
        self.depth.set(self.depth.get() - 1);
    }

    /// The clients post again whatever they got no good answer for.
    pub fn post_unanswered(&self) {
        let count = self.ledger.borrow().requests.all.len();
        for request in 0..count {
            if !self.ledger.borrow().requests.all[request].answered {
                self.attempt(request % self.config.processes, request, None);
            }
        }
    }

    /// One try of a request.
    fn attempt(&self, process: usize, request: usize, at_once: Option<usize>) {
        if !self.runs(process) {
            self.hit("post: nobody answers");
            return;
        }
        let now = self.clock(process);
        let acceptor = self.new_instance();
        let dice = &mut Dice::new(self.dice.borrow_mut().bits());
        let (event, body, headers, known) = {
            let mut ledger = self.ledger.borrow_mut();
            let known = ledger.known(request, now.wall_ns);
            let Request {
                interaction,
                body,
                key,
                tries,
                ..
            } = ledger.requests.all[request].clone();
            let traceparent = format!("00-{:032x}-{:016x}-01", request + 1, tries.len() + 1);
            let content = (body.clone(), traceparent.clone());
            let event = ledger.submit(interaction, content, acceptor, Some(request));
            ledger.requests.all[request].tries.push(event);
            let headers = [
                ("authorization", format!("Bearer {INGEST_KEY}")),
                ("content-type", "application/json".to_owned()),
                ("idempotency-key", key),
                ("traceparent", traceparent),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.into_bytes()));
            (event, body, headers, known)
        };
        let mut handle = Handle::new(self, process, Role::Accept);
        handle.attempt = Some(event);
        let again = at_once.map(|process| (self.roll(0, 8), Again { request, process }));
        handle.meanwhile.set(again);
        let head = Head {
            method: "POST",
            target: "/api/v2/interactions",
            headers: &headers,
        };
        let settings = &self.settings;
        let told = Operation::of(head).and_then(|operation| {
            operation.admit(head, settings)?;
            operation.body_limit(head, settings)?;
            let mut acceptor = Acceptor::new(settings.clone());
            Ok(operation.perform(&body, settings, &mut acceptor, &mut handle, dice, now))
        });
        handle.check_change(None);
        let said = match told.unwrap_or_else(Performed::Answer) {
            _ if handle.dead => Said::Nothing,
            Performed::Stored(response) if response.status == 200 => Said::Stored(response.body),
            Performed::Answer(response) => said(response),
            other => Said::Other(format!("{other:?}")),
        };
        self.tell(|| format!("p{process} answers request {request}, event {event}: {said:?}"));
        let mut ledger = self.ledger.borrow_mut();
        let stored = !ledger.events[event].keys.is_empty();
        self.hit(match (&said, stored) {
            (Said::Nothing, true) => "post: no answer, and the event is stored",
            (Said::Nothing, false) => "post: no answer",
            (Said::Storage, true) => "post: the store fails, and the event is stored",
            (Said::Storage, false) => "post: storage",
            (Said::Again(_), _) => "post: the same answer again",
            (Said::Full, _) => "post: outbox full",
            (Said::Stored(_) | Said::Other(_), _) => "post: stored",
        });
        if matches!(said, Said::Stored(_) | Said::Again(_)) {
            if self.roll(0, 5) == 0 && !self.calm.get() {
                self.hit("post: the answer got lost");
            } else {
                ledger.requests.all[request].answered = true;
            }
        }
        let attempt = Attempt {
            event,
            known,
            faulted: handle.faulted,
            misread: handle.misread,
        };
        ledger.check_answer(&attempt, said);
        drop(ledger);
        self.wake_timer(process);
    }
}

/// What an answer says that stands for no event stored just now.
fn said(response: Response) -> Said {
    match (response.status, response.headers.as_slice()) {
        (200, _) => Said::Again(response.body),
        (503, [("retry-after", "30")]) => Said::Full,
        (503, _) => Said::Storage,
        (status, _) => Said::Other(format!("{status} {}", response.body)),
    }
}
