//! What the built component asks of its runtime, what it offers, and how large it is.

use wit_component::DecodedWasm;

/// All that a runtime must provide: no files, no sockets, no environment.
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

const EXPORTS: [&str; 4] = [
    "mcp-reporter:interactions/coordinator@0.1.0",
    "mcp-reporter:interactions/outbox@0.1.0",
    "mcp-reporter:interactions/reporter@0.1.0",
    "wasi:http/incoming-handler@0.2.0",
];

const MAX_BYTES: usize = 200_000;

#[test]
fn it_imports_and_exports_what_the_design_lists_and_nothing_else() {
    let decoded = wit_component::decode(mcp_reporter_artifacts::REPORTER).unwrap();
    let DecodedWasm::Component(resolve, world) = decoded else {
        panic!("not a component");
    };
    let world = &resolve.worlds[world];
    let names = |items: Vec<_>| -> Vec<String> {
        let mut names: Vec<_> = items
            .into_iter()
            .map(|key| resolve.name_world_key(key))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(world.imports.keys().collect()), IMPORTS);
    assert_eq!(names(world.exports.keys().collect()), EXPORTS);
}

#[test]
fn it_is_small_enough_to_ship_with_every_program() {
    let bytes = mcp_reporter_artifacts::REPORTER.len();
    assert!(bytes <= MAX_BYTES, "{bytes} bytes, of {MAX_BYTES} allowed");
}
