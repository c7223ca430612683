//! What must hold of any input that comes from outside: a module for each
//! boundary, each with one function `check` that panics where it does not.
//!
//! libFuzzer drives them (`targets/`), and so does a bounded replay
//! (`tests/replay.rs`) that needs neither libFuzzer nor a C++ compiler.

pub mod answer;
pub mod config;
pub mod edge;
mod host_config;
mod input;
// Where the configuration looks for it.
use host_config::{private, store};
pub mod payload;
pub mod record;
pub mod retry_after;
mod world;

/// The API key of all targets: a text that turns up nowhere by accident.
pub const KEY: &str = "k-7f3a9c51e2d84b06";

/// A check of one boundary.
pub type Check = fn(&[u8]);

/// All of them, by the names of their targets and corpora.
pub const CHECKS: [(&str, Check); 6] = [
    ("answer", answer::check),
    ("config", config::check),
    ("edge", edge::check),
    ("payload", payload::check),
    ("record", record::check),
    ("retry_after", retry_after::check),
];

/// That a person can be shown `text`: nothing in it breaks or reorders a line
/// or commands a terminal.
fn assert_printable(text: &str) {
    let bad =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(bad), "{text:?}");
}
