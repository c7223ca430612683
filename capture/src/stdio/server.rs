//! The server's process, from its start to its exit code.

use super::copy::{Ended, copy};
use super::handover::Handover;
use super::system;
use crate::Direction;
use std::ffi::OsString;
use std::io;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long what a server wrote before it ended may take to arrive. A process that it left behind
/// may hold its output open for ever.
const DRAIN: Duration = Duration::from_millis(300);

/// A server that is running.
#[derive(Debug)]
pub struct Server {
    child: Child,
    signals: system::Signals,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The command cannot be started.
    #[error("{program}: {source}")]
    Start {
        /// What was to be started. Its arguments are nobody's business.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The wrapper's own pipes or threads fail.
    #[error("cannot stand between client and server: {0}")]
    Wrap(io::Error),
}

impl ServerError {
    /// The exit code that a shell has for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            _ => 126,
        }
    }
}

impl Server {
    /// Starts a program. It gets this process's environment, folder and standard error.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(program: &OsString, arguments: &[OsString]) -> Result<Self, ServerError> {
        // Before there is anybody to pass them to: none is lost.
        let signals = system::Signals::listen().map_err(ServerError::Wrap)?;
        let mut command = system::command(program, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().map_err(|source| ServerError::Start {
            program: program.to_string_lossy().into_owned(),
            source,
        })?;
        Ok(Self { child, signals })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Passes everything on until the server ends, and returns its exit code: 128 + n for signal n.
    ///
    /// The client's end may stay open after that, with a thread that reads from it: this process is
    /// to end now.
    ///
    /// # Errors
    ///
    /// The wrapper's own pipes or threads fail.
    pub fn run(mut self, handover: Option<&Handover>) -> Result<i32, ServerError> {
        let wrap = ServerError::Wrap;
        let (Some(to_server), Some(from_server)) =
            (self.child.stdin.take(), self.child.stdout.take())
        else {
            return Err(wrap(io::Error::other("the server has no pipes")));
        };
        let from_client = system::take_stdin().map_err(wrap)?;
        let to_client = system::take_stdout().map_err(wrap)?;
        let ours = handover.cloned();
        thread::Builder::new()
            .name("to server".to_owned())
            .spawn(move || copy(from_client, to_server, Direction::ToServer, ours.as_ref()))
            .map_err(wrap)?;
        let ours = handover.cloned();
        let (done, drained) = mpsc::channel::<Ended>();
        thread::Builder::new()
            .name("to client".to_owned())
            .spawn(move || {
                let ended = copy(from_server, to_client, Direction::ToClient, ours.as_ref());
                // Nobody listens any more if the server was gone long before.
                let _ = done.send(ended);
            })
            .map_err(wrap)?;
        self.signals.pass_on_to(self.child.id()).map_err(wrap)?;
        let code = self.signals.wait(&mut self.child).map_err(wrap)?;
        let _ = drained.recv_timeout(DRAIN);
        Ok(code)
    }
}
