//! What the component asks of a runtime, and how large it is.

use mcp_reporter_artifacts::REPORTER;
use wit_parser::decoding::{DecodedWasm, decode};

/// The design's list, and the types that the contract's own interfaces share.
const IMPORTS: [&str; 14] = [
    "mcp-reporter:interactions/types@0.1.0",
    "wasi:cli/stderr@0.2.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/types@0.2.0",
    "wasi:io/error@0.2.0",
    "wasi:io/poll@0.2.0",
    "wasi:io/streams@0.2.0",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:random/random@0.2.0",
];

const EXPORTS: [&str; 3] = [
    "mcp-reporter:interactions/coordinator@0.1.0",
    "mcp-reporter:interactions/outbox@0.1.0",
    "mcp-reporter:interactions/reporter@0.1.0",
];

#[test]
fn the_component_imports_and_exports_what_the_design_lists_and_nothing_else() {
    let DecodedWasm::Component(resolve, world) = decode(REPORTER).unwrap() else {
        panic!("it is not a component");
    };
    let world = &resolve.worlds[world];
    let names = |items: Vec<_>| {
        let mut names: Vec<_> = items
            .iter()
            .map(|key| resolve.name_world_key(key))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(world.imports.keys().cloned().collect()), IMPORTS);
    assert_eq!(names(world.exports.keys().cloned().collect()), EXPORTS);
}

#[test]
fn the_component_has_at_most_150_kib() {
    let bytes = REPORTER.len();
    assert!(bytes <= 153_600, "{bytes} bytes");
}
