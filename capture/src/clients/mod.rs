//! The configuration files of MCP clients, in which a server can be made to run wrapped.
//!
//! [`enable`] takes the text of such a file and gives the text in which each server that runs as
//! a command (stdio) runs below `mcp-reporter wrap`; [`disable`] takes it back. Both work on the
//! text: what they do not have to change stays byte for byte as it was, be it comments, line
//! ends, the order of keys, escapes, a byte order mark or a missing last newline.
//!
//! ```
//! use mcp_reporter_capture::clients::{Wrapping, disable, enable};
//!
//! let text = r#"{ "mcpServers": { "files": { "command": "npx", "args": ["-y", "srv"] } } }"#;
//! let wrapping = Wrapping { program: "/usr/bin/mcp-reporter".into(), settings: vec![] };
//! let enabled = enable(text, &[], &wrapping)?;
//! assert!(enabled.text.contains(
//!     r#"["wrap", "--mcp-id", "files", "--", "npx", "-y", "srv"]"#
//! ));
//! assert_eq!(disable(&enabled.text, &[])?.text, text);
//! # Ok::<(), mcp_reporter_capture::clients::ClientFileError>(())
//! ```
//!
//! # The wrapped form
//!
//! `command` is the program, and `args` are `wrap`, settings, `--`, then the server's own command
//! and arguments. The settings begin with the server's name: `--mcp-id`, NAME. A server that had
//! no `args` at all gets it in one piece, `--mcp-id=NAME`: so [`disable`] knows, from the wrapped
//! form alone, to take `args` away again. (A name that begins with `-` is always written in one
//! piece, or it would be taken for a flag; if such a server had an empty list of arguments, it
//! has none after [`disable`], which means the same.)
//!
//! A server is wrapped already if its command's file name is `mcp-reporter`, in whatever folder,
//! and its first argument `wrap`.
//!
//! # What is read
//!
//! JSON with comments and trailing commas. Servers stand in `mcpServers` (most clients), in
//! `projects.<folder>.mcpServers` (Claude Code), in `servers`, `mcp.servers` (VS Code) or in
//! `context_servers` (Zed). One with `url`, `serverUrl` or `httpUrl` instead of a command is
//! remote and is left alone. [`places`] says where the usual clients keep these files.

mod document;
mod mask;
pub mod places;
mod rewrite;
#[cfg(test)]
mod tests;

pub use document::ClientFileError;
pub use mask::masked;
pub use rewrite::{Rewrite, Server, State, Wrapping, disable, enable};
