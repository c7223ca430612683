//! What the tracker is told of, and what it tells.

use crate::performance::Usage;
use mcp_reporter_event::event::Action;

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The client, to the server.
    ToServer,
    /// The server, to the client.
    ToClient,
}

impl Direction {
    /// The way of the answer.
    pub(super) fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// The scope within which request ids and progress tokens are unique: a stdio session, an HTTP
/// session, or, where there is no session, one HTTP exchange. Tasks and request states outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Channel(pub u64);

/// Why what is open on a channel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server's process ended, with this code; 128 + n for signal n.
    ServerExited(i32),
    /// The connection was lost, or the client is gone.
    ConnectionLost,
    /// The answer's stream ended without a result.
    NoResult,
    /// The client closed the answer's stream, which cancels the request.
    ClientCancelled,
    /// The server answered with this HTTP status and no JSON-RPC message.
    HttpStatus(u16),
}

/// The server's process, as far as its use of the machine can be known.
pub trait Process {
    /// What it has used so far; none where the system does not tell.
    fn usage(&mut self) -> Option<Usage>;
}

/// A process of which nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProcess;

impl Process for NoProcess {
    fn usage(&mut self) -> Option<Usage> {
        None
    }
}

/// One event to report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What happened.
    pub action: Action,
    /// Which interaction.
    pub interaction_id: String,
    /// The payload: a JSON object.
    pub data: String,
    /// When, in nanoseconds since 1970-01-01 UTC.
    pub timestamp_ns: u64,
    /// The trace that the client gave.
    pub traceparent: Option<String>,
}
