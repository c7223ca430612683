//! What the proxy hands over to the tracker's thread, and never waits for.
//!
//! The hand-over is bounded by the bytes that wait in it. When it is full, an exchange goes on
//! unobserved, and is counted.

use crate::clock::Clock;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

/// What a head costs, about.
const HEAD_BYTES: usize = 512;

/// A piece of an exchange.
#[derive(Debug)]
pub struct Seen {
    /// Which exchange: counted from 1.
    pub exchange: u64,
    /// When, in nanoseconds since 1970-01-01 UTC.
    pub at_ns: u64,
    /// What it is.
    pub piece: Piece,
    _permit: Option<Permit>,
}

/// A piece of an exchange: a request and its answer.
#[derive(Debug)]
pub enum Piece {
    /// The request's head.
    Request {
        /// Whether its body is JSON.
        json: bool,
        /// Whether it ends its session.
        delete: bool,
        /// Its `MCP-Session-Id`.
        session: Option<String>,
    },
    /// Bytes of the request's body.
    RequestBytes(Bytes),
    /// The request's body is complete.
    RequestEnd,
    /// The answer's head.
    Answer {
        /// Its status.
        status: u16,
        /// What its body is.
        body: AnswerBody,
        /// Its `MCP-Session-Id`.
        session: Option<String>,
    },
    /// Bytes of the answer's body.
    AnswerBytes(Bytes),
    /// The exchange is over. The last piece of every exchange.
    End(Ended),
    /// Pieces are missing from here on: the hand-over was full.
    Blind,
}

/// What the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerBody {
    /// `application/json`.
    Json,
    /// `text/event-stream`.
    Events,
    /// Something else, or compressed.
    Other,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The answer is complete.
    Complete,
    /// The server's connection broke, or there was none.
    Lost,
    /// The client went away.
    ClientGone,
}

#[derive(Debug)]
struct Permit {
    bytes: usize,
    waiting: Arc<AtomicUsize>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The proxy's end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handover {
    sender: mpsc::Sender<Seen>,
    clock: Clock,
    limit: usize,
    waiting: Arc<AtomicUsize>,
    exchanges: Arc<AtomicU64>,
    unobserved: Arc<AtomicU64>,
}

impl Handover {
    /// A hand-over of at most `limit` bytes, and its other end. That one gets nothing more when
    /// the last clone of this is gone.
    #[must_use]
    pub fn new(limit: usize, clock: Clock) -> (Self, mpsc::Receiver<Seen>) {
        let (sender, receiver) = mpsc::channel();
        let handover = Self {
            sender,
            clock,
            limit,
            waiting: Arc::default(),
            exchanges: Arc::default(),
            unobserved: Arc::default(),
        };
        (handover, receiver)
    }

    /// Exchanges that were not, or not wholly, observed because the hand-over was full.
    #[must_use]
    pub fn losses(&self) -> Unobserved {
        Unobserved(self.unobserved.clone())
    }

    /// Begins an exchange.
    pub(super) fn begin(&self, json: bool, delete: bool, session: Option<String>) -> Watch {
        let mut watch = Watch {
            handover: self.clone(),
            exchange: self.exchanges.fetch_add(1, Ordering::Relaxed) + 1,
            sight: Sight::Clear,
        };
        let head = Piece::Request {
            json,
            delete,
            session,
        };
        if !watch.offer(HEAD_BYTES, head) {
            // Nobody knows of it: no end either.
            watch.sight = Sight::None;
        }
        watch
    }

    fn permit(&self, bytes: usize) -> Option<Permit> {
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let permit = Permit {
            bytes,
            waiting: self.waiting.clone(),
        };
        // One piece always fits, however long.
        (before == 0 || before + bytes <= self.limit).then_some(permit)
    }
}

/// How many exchanges were not, or not wholly, observed.
#[derive(Debug, Clone)]
pub struct Unobserved(Arc<AtomicU64>);

impl Unobserved {
    /// So far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    Clear,
    /// Its head was seen, and a later piece was not.
    Blind,
    None,
}

/// Hands over the pieces of one exchange.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    handover: Handover,
    exchange: u64,
    sight: Sight,
}

impl Watch {
    /// Hands a piece over if there is room for its bytes.
    pub fn bytes(&mut self, piece: Piece, bytes: usize) {
        if self.sight == Sight::Clear && !self.offer(bytes, piece) {
            self.sight = Sight::Blind;
            self.send(Piece::Blind, None);
        }
    }

    /// Hands over a piece of a few bytes, of which an exchange has few.
    pub fn mark(&self, piece: Piece) {
        if self.sight != Sight::None {
            self.send(piece, None);
        }
    }

    fn offer(&self, bytes: usize, piece: Piece) -> bool {
        let Some(permit) = self.handover.permit(bytes) else {
            self.handover.unobserved.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        self.send(piece, Some(permit));
        true
    }

    fn send(&self, piece: Piece, permit: Option<Permit>) {
        // Without a listener there is nobody to miss it.
        let _ = self.handover.sender.send(Seen {
            exchange: self.exchange,
            at_ns: self.handover.clock.now_ns(),
            piece,
            _permit: permit,
        });
    }
}
