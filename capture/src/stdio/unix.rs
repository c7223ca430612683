//! Processes, signals and pipes on Unix.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The first argument that has this program become a server: see [`become_server`].
#[cfg(target_os = "linux")]
const BECOME: &str = "__server";

/// The command that starts a server, in a process group of its own.
pub(super) fn command(program: &OsString, arguments: &[OsString]) -> Command {
    #[cfg(target_os = "linux")]
    let mut command = {
        // By way of this program, which on Linux can have itself killed with its parent.
        let mut command = Command::new("/proc/self/exe");
        command
            .args([BECOME, &std::process::id().to_string()])
            .arg(program);
        command
    };
    #[cfg(not(target_os = "linux"))]
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    command
}

/// Turns this process into the server that its arguments name, if they say so, and does not return
/// then. The kernel kills the server when the wrapper is killed, which else could leave it behind.
///
/// To be called before anything else, by the program whose wrapper calls
/// [`Server::start`](super::Server::start). Returns the exit code if the server cannot be started.
#[cfg(target_os = "linux")]
pub fn become_server(mut arguments: impl Iterator<Item = OsString>) -> Option<u8> {
    use super::ServerError;

    if arguments.nth(1)? != BECOME {
        return None;
    }
    let parent = arguments.next()?;
    let program = arguments.next()?;
    // Without it all else is as it should be.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if now.is_none_or(|now| parent != OsString::from(now)) {
        // It was killed before that could be said.
        return Some(1);
    }
    let source = Command::new(&program).args(arguments).exec();
    let error = ServerError::Start {
        program: program.to_string_lossy().into_owned(),
        source,
    };
    eprintln!("mcp-reporter: {}", error.to_string().escape_debug());
    Some(error.exit_code())
}

/// Signals that are passed on.
#[derive(Debug)]
pub(super) struct Signals {
    signals: Option<iterator::Signals>,
    /// None once the server has been waited for: its number may then be another's.
    server: Arc<Mutex<Option<Pid>>>,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        let signals = iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGQUIT])?;
        Ok(Self {
            signals: Some(signals),
            server: Arc::default(),
        })
    }

    pub fn pass_on_to(&mut self, server: u32) -> io::Result<()> {
        *lock(&self.server) = i32::try_from(server).ok().and_then(Pid::from_raw);
        let Some(mut signals) = self.signals.take() else {
            return Ok(());
        };
        let server = self.server.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if let (Some(server), Some(signal)) =
                        (*lock(&server), Signal::from_named_raw(signal))
                    {
                        // It may have ended just now.
                        let _ = kill_process_group(server, signal);
                    }
                }
            })?;
        Ok(())
    }

    pub fn wait(&self, child: &mut Child) -> io::Result<i32> {
        let server = *lock(&self.server);
        if let Some(server) = server {
            let dead = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(server), dead) {}
        }
        *lock(&self.server) = None;
        let status = child.wait()?;
        Ok(status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }
}

fn lock(server: &Mutex<Option<Pid>>) -> std::sync::MutexGuard<'_, Option<Pid>> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard input, which this process then has no more: when the file is closed, whoever writes
/// notices.
pub(super) fn take_stdin() -> io::Result<File> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(taken.into())
}

/// Standard output, likewise.
pub(super) fn take_stdout() -> io::Result<File> {
    let taken = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(taken.into())
}
