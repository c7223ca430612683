//! Exchanges put together again from their pieces: which message belongs to which session, and what
//! it means that an exchange ends.
//!
//! A session is one [`Channel`], and so is each exchange that belongs to none. In a session the end
//! of an answer's stream does not end a request: the client may have the rest resent, if the
//! server gave its events ids.

use super::seen::{AnswerBody, Ended, Piece, Seen};
use super::sse::Events;
use crate::{Channel, Direction, End, Process, Report, Tracker};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};

/// Longest message that is looked into.
const MESSAGE_BYTES: usize = 16 << 20;

/// Most bytes of unfinished messages, over all exchanges.
const HELD_BYTES: usize = 64 << 20;

/// Most sessions that are known at once; the oldest is forgotten.
const SESSIONS: usize = 10_000;

/// All exchanges, and the tracker of their messages.
pub struct Exchanges<P> {
    tracker: Tracker<P>,
    open: HashMap<u64, Exchange>,
    sessions: HashMap<String, Channel>,
    by_age: BTreeMap<Channel, String>,
    held: usize,
    too_long: u64,
}

struct Exchange {
    channel: Channel,
    in_session: bool,
    /// The session that the client named.
    asked: Option<String>,
    delete: bool,
    request: Message,
    /// The JSON of the ids of its requests.
    ids: Vec<String>,
    answer: Answer,
    status: u16,
}

/// A message of which not all is there yet.
enum Message {
    None,
    Part(Vec<u8>),
}

enum Answer {
    None,
    Json(Vec<u8>),
    Events(Events),
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

impl<P: Process> Exchanges<P> {
    /// None yet.
    pub fn new(tracker: Tracker<P>) -> Self {
        Self {
            tracker,
            open: HashMap::new(),
            sessions: HashMap::new(),
            by_age: BTreeMap::new(),
            held: 0,
            too_long: 0,
        }
    }

    /// Takes a piece.
    pub fn see(&mut self, seen: Seen) {
        let (id, at) = (seen.exchange, seen.at_ns);
        if let Piece::Request {
            json,
            delete,
            session,
        } = seen.piece
        {
            self.begin(id, json, delete, session);
            return;
        }
        let Some(mut exchange) = self.open.remove(&id) else {
            return;
        };
        self.held -= exchange.held();
        let over = self.take(&mut exchange, at, seen.piece);
        if !over {
            self.held += exchange.held();
            self.open.insert(id, exchange);
        }
    }

    /// Ends all that is open.
    pub fn end_all(&mut self, now_ns: u64) {
        self.tracker.end_all(now_ns, End::ConnectionLost);
    }

    /// The next report, oldest first.
    pub fn next_report(&mut self) -> Option<Report> {
        self.tracker.next_report()
    }

    /// The tracker of their messages.
    pub fn tracker(&self) -> &Tracker<P> {
        &self.tracker
    }

    /// Messages that were not looked into, for their length.
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    fn begin(&mut self, id: u64, json: bool, delete: bool, asked: Option<String>) {
        let channel = match &asked {
            Some(session) => self.session(session, Channel(id)),
            None => Channel(id),
        };
        let exchange = Exchange {
            channel,
            in_session: asked.is_some(),
            asked,
            delete,
            request: if json {
                Message::Part(Vec::new())
            } else {
                Message::None
            },
            ids: Vec::new(),
            answer: Answer::None,
            status: 0,
        };
        self.open.insert(id, exchange);
    }

    /// The channel of a session; `new` if it was not known.
    fn session(&mut self, session: &str, new: Channel) -> Channel {
        if let Some(known) = self.sessions.get(session) {
            return *known;
        }
        self.sessions.insert(session.to_owned(), new);
        self.by_age.insert(new, session.to_owned());
        self.tracker.session(new, session);
        new
    }

    fn forget_session(&mut self, session: &str, now_ns: u64) {
        if let Some(channel) = self.sessions.remove(session) {
            self.by_age.remove(&channel);
            self.tracker.end(channel, now_ns, End::ConnectionLost);
        }
    }

    /// Whether that was the last piece.
    fn take(&mut self, exchange: &mut Exchange, at: u64, piece: Piece) -> bool {
        match piece {
            Piece::Request { .. } => {}
            Piece::RequestBytes(bytes) => {
                if let Message::Part(part) = &mut exchange.request {
                    if self.held + part.len() + bytes.len() > HELD_BYTES
                        || part.len() + bytes.len() > MESSAGE_BYTES
                    {
                        exchange.request = Message::None;
                        self.too_long += 1;
                    } else {
                        part.extend_from_slice(&bytes);
                    }
                }
            }
            Piece::RequestEnd => {
                if let Message::Part(message) =
                    std::mem::replace(&mut exchange.request, Message::None)
                {
                    exchange.ids = ids(&message);
                    self.tracker
                        .message(exchange.channel, Direction::ToServer, at, &message);
                }
            }
            Piece::Answer {
                status,
                body,
                session,
            } => {
                exchange.status = status;
                exchange.answer = match body {
                    AnswerBody::Json => Answer::Json(Vec::new()),
                    AnswerBody::Events => Answer::Events(Events::new(MESSAGE_BYTES)),
                    AnswerBody::Other => Answer::None,
                };
                if let (Some(session), None) = (session, &exchange.asked) {
                    self.session(&session, exchange.channel);
                    exchange.in_session = true;
                    if self.sessions.len() > SESSIONS
                        && let Some((_, oldest)) = self.by_age.first_key_value()
                    {
                        let oldest = oldest.clone();
                        self.forget_session(&oldest, at);
                    }
                }
            }
            Piece::AnswerBytes(bytes) => self.answer_bytes(exchange, at, &bytes),
            Piece::Blind => {
                // What is missing may have been the answer.
                exchange.request = Message::None;
                exchange.answer = Answer::None;
            }
            Piece::End(how) => {
                self.end(exchange, at, how);
                return true;
            }
        }
        false
    }

    fn answer_bytes(&mut self, exchange: &mut Exchange, at: u64, bytes: &[u8]) {
        match &mut exchange.answer {
            Answer::None => {}
            Answer::Json(part) => {
                if self.held + part.len() + bytes.len() > HELD_BYTES
                    || part.len() + bytes.len() > MESSAGE_BYTES
                {
                    exchange.answer = Answer::None;
                    self.too_long += 1;
                } else {
                    part.extend_from_slice(bytes);
                }
            }
            Answer::Events(events) => {
                if self.held + events.held_bytes() + bytes.len() > HELD_BYTES {
                    exchange.answer = Answer::None;
                    self.too_long += 1;
                    return;
                }
                let dropped = events.dropped();
                let (tracker, channel) = (&mut self.tracker, exchange.channel);
                events.push(bytes, |data| {
                    tracker.message(channel, Direction::ToClient, at, data)
                });
                self.too_long += events.dropped() - dropped;
            }
        }
    }

    fn end(&mut self, exchange: &mut Exchange, at: u64, how: Ended) {
        let succeeded = (200..300).contains(&exchange.status);
        let resumable = match &exchange.answer {
            Answer::Events(events) => events.resumable(),
            _ => false,
        };
        if let (Answer::Json(message), Ended::Complete) = (&exchange.answer, how) {
            self.tracker
                .message(exchange.channel, Direction::ToClient, at, message);
        }
        let why = match how {
            Ended::Complete if !succeeded => End::HttpStatus(exchange.status),
            Ended::Complete => End::NoResult,
            Ended::Lost => End::ConnectionLost,
            Ended::ClientGone => End::ClientCancelled,
        };
        if !exchange.in_session {
            self.tracker.end(exchange.channel, at, why);
            return;
        }
        if let Some(session) = &exchange.asked
            && how == Ended::Complete
            && (exchange.status == 404 || exchange.delete && succeeded)
        {
            for id in &exchange.ids {
                self.tracker.end_request(exchange.channel, id, at, why);
            }
            let session = session.clone();
            self.forget_session(&session, at);
            return;
        }
        if resumable {
            return;
        }
        // In a session a client that goes away has not cancelled; but nobody can hear the answer.
        let why = if how == Ended::ClientGone {
            End::ConnectionLost
        } else {
            why
        };
        for id in &exchange.ids {
            self.tracker.end_request(exchange.channel, id, at, why);
        }
    }
}

impl Exchange {
    fn held(&self) -> usize {
        let request = match &self.request {
            Message::None => 0,
            Message::Part(part) => part.len(),
        };
        let answer = match &self.answer {
            Answer::None => 0,
            Answer::Json(part) => part.len(),
            Answer::Events(events) => events.held_bytes(),
        };
        request + answer
    }
}

/// The ids of the requests in a message or a batch.
fn ids(message: &[u8]) -> Vec<String> {
    let of = |head: &Head<'_>| match (head.id, head.method) {
        (Some(id), Some(_)) => Some(id.get().to_owned()),
        _ => None,
    };
    if let Ok(head) = serde_json::from_slice::<Head<'_>>(message) {
        return of(&head).into_iter().collect();
    }
    let batch: Vec<Head<'_>> = serde_json::from_slice(message).unwrap_or_default();
    batch.iter().filter_map(of).collect()
}
