//! Standard input and output: a server's process, with the client's bytes passed to it and its
//! bytes passed back as they are.
//!
//! To the client this is the server, and to the server the client. What one of them does to a pipe
//! is done to the other's: its end, its closing, and the holding back of whoever writes faster than
//! is read. Signals go to the server, in a process group of its own; its exit code comes back.

mod copy;
mod handover;
mod lines;
mod server;
mod usage;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
use other as system;

pub use copy::{Ended, copy};
pub use handover::{Gathered, Handover, Piece};
pub use lines::{LINE_BYTES, Lines};
pub use server::{Server, ServerError};
#[cfg(target_os = "linux")]
pub use unix::become_server;
pub use usage::ServerProcess;

use crate::{Channel, Direction, End, Process, Report, Tracker};

/// Makes lines of what the copy loops hand over, and follows them.
#[derive(Debug)]
pub struct Observer<P> {
    tracker: Tracker<P>,
    lines: [Lines; 2],
    last_ns: u64,
}

impl<P: Process> Observer<P> {
    /// One that has seen nothing.
    pub fn new(tracker: Tracker<P>) -> Self {
        Self {
            tracker,
            lines: Default::default(),
            last_ns: 0,
        }
    }

    /// Takes what has gathered.
    pub fn see(&mut self, gathered: &Gathered) {
        for (direction, at_ns, piece) in gathered.pieces() {
            self.last_ns = at_ns;
            let (lines, tracker) = (&mut self.lines[direction as usize], &mut self.tracker);
            match piece {
                Piece::Bytes(bytes) => lines.push(bytes, |line| {
                    tracker.message(Channel::default(), direction, at_ns, line);
                }),
                Piece::Gap => lines.gap(),
            }
        }
    }

    /// Nothing more comes.
    pub fn finish(&mut self, now_ns: u64, why: End) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (lines, tracker) = (&mut self.lines[direction as usize], &mut self.tracker);
            lines.finish(|line| tracker.message(Channel::default(), direction, now_ns, line));
        }
        self.tracker.end_all(now_ns, why);
    }

    /// The next report, oldest first.
    pub fn next_report(&mut self) -> Option<Report> {
        self.tracker.next_report()
    }

    /// What has been followed.
    pub fn tracker(&self) -> &Tracker<P> {
        &self.tracker
    }

    /// Lines that were too long to look into, or not whole.
    pub fn unobserved(&self) -> u64 {
        self.lines.iter().map(Lines::unobserved).sum()
    }
}
