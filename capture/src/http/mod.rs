//! Streamable HTTP: a reverse proxy that passes every byte of every body, and hands over what it
//! saw.
//!
//! - [`Forwarder`] sends a request on and its answer back, in pieces as they come;
//! - [`serve`] has the socket and its connections;
//! - [`Handover`] takes what was seen to where [`Exchanges`] makes messages of it, for the
//!   [`Tracker`](crate::Tracker).

mod exchanges;
mod forward;
pub mod guard;
mod seen;
mod serve;
pub mod sse;
mod tee;

pub use exchanges::Exchanges;
pub use forward::{Answer, Forwarder, Upstream, UpstreamError};
pub use seen::{Handover, Piece, Seen, Unobserved};
pub use serve::{bind, serve};
pub use tee::{AnswerBody, RequestBody};
