//! Processes and pipes where there are no Unix signals. A client ends a server by the end of its
//! input, or by ending the wrapper's process.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::{Child, Command};

pub(super) fn command(program: &OsString, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// None.
#[derive(Debug)]
pub(super) struct Signals;

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub fn pass_on_to(&mut self, _server: u32) -> io::Result<()> {
        Ok(())
    }

    pub fn wait(&self, child: &mut Child) -> io::Result<i32> {
        Ok(child.wait()?.code().unwrap_or(1))
    }
}

#[cfg(windows)]
pub(super) fn take_stdin() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

#[cfg(windows)]
pub(super) fn take_stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}
