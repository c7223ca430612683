//! Copy loops: bytes before meaning.

use super::handover::Handover;
use crate::Direction;
use std::io::{self, Read, Write};

/// How much is read at once: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// Why a copy ended.
#[derive(Debug)]
pub enum Ended {
    /// There is nothing more to read.
    Eof,
    /// Nobody reads any more.
    ReaderGone,
    /// What the system said.
    Failed(io::Error),
}

/// Passes bytes on until there are no more.
///
/// They are handed over first, and the observer is woken after: an answer never comes to it before
/// what it answers, and nobody waits for it to wake.
pub fn copy(
    mut from: impl Read,
    mut to: impl Write,
    direction: Direction,
    handover: Option<&Handover>,
) -> Ended {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ended::Eof,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ended::Failed(error),
        };
        let wake = handover.is_some_and(|handover| handover.passing(direction, &buffer[..length]));
        let written = to.write_all(&buffer[..length]).and_then(|()| to.flush());
        if let Some(handover) = handover.filter(|_| wake) {
            handover.wake();
        }
        if let Err(error) = written {
            return match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ended::ReaderGone,
                _ => Ended::Failed(error),
            };
        }
    }
}
