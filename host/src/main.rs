//! `mcp-reporter` on the command line. What each command does is in `cli`,
//! and what it does it with in the library.

mod cli;

fn main() -> std::process::ExitCode {
    // The first half of starting a server that `wrap` runs.
    #[cfg(target_os = "linux")]
    if let Some(code) = mcp_reporter_capture::stdio::become_server(std::env::args_os()) {
        return code.into();
    }
    cli::main()
}
