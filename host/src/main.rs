//! `mcp-reporter` on the command line. What each command does is in `cli`,
//! and what it does it with in the library.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
