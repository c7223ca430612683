//! What the built components ask of their runtime, what they offer, and how large they are.

use std::collections::BTreeSet;

use mcp_reporter_artifacts::{
    CONFIG_ENV, DENY, EDGE, KEYVALUE_FS, PLUGIN, REPORTER, plugin_with_tool_docs,
};
use wasmparser::{Parser, Payload};
use wit_component::DecodedWasm;
use wit_parser::{Resolve, TypeDefKind, WorldId, WorldItem};

/// All that a runtime must provide to the reporter: no files, no sockets, no environment.
const REPORTER_IMPORTS: [&str; 14] = [
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

const REPORTER_EXPORTS: [&str; 4] = [
    "mcp-reporter:interactions/coordinator@0.1.0",
    "mcp-reporter:interactions/outbox@0.1.0",
    "mcp-reporter:interactions/reporter@0.1.0",
    "wasi:http/incoming-handler@0.2.0",
];

const KEYVALUE_FS_IMPORTS: [&str; 4] = [
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:filesystem/preopens@0.2.0",
    "wasi:filesystem/types@0.2.0",
    "wasi:random/random@0.2.0",
];

/// The types of what it denies; nothing that it could call.
const DENY_IMPORTS: [&str; 1] = ["wasi:http/types@0.2.0"];

const DENY_EXPORTS: [&str; 3] = [
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:keyvalue/store@0.2.0-draft2",
];

const KEYVALUE: [&str; 3] = [
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/store@0.2.0-draft2",
];

/// All that a runtime must provide to the plugin and to the edge: what every runtime of WASI 0.2 has.
const PLUGIN_IMPORTS: [&str; 13] = [
    "mcp-reporter:interactions/types@0.1.0",
    "wasi:cli/environment@0.2.0",
    "wasi:cli/stderr@0.2.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:filesystem/preopens@0.2.0",
    "wasi:filesystem/types@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/types@0.2.0",
    "wasi:io/error@0.2.0",
    "wasi:io/poll@0.2.0",
    "wasi:io/streams@0.2.0",
    "wasi:random/random@0.2.0",
];

/// An HTTP handler would be a tool that nobody can call.
const PLUGIN_EXPORTS: [&str; 3] = [
    "mcp-reporter:interactions/coordinator@0.1.0",
    "mcp-reporter:interactions/outbox@0.1.0",
    "mcp-reporter:interactions/reporter@0.1.0",
];

const EDGE_EXPORTS: [&str; 1] = ["wasi:http/incoming-handler@0.2.0"];

const REPORTER_MAX_BYTES: usize = 200_000;
const PLUGIN_MAX_BYTES: usize = 320 * 1024;

fn decode(component: &[u8]) -> (Resolve, WorldId) {
    match wit_component::decode(component).unwrap() {
        DecodedWasm::Component(resolve, world) => (resolve, world),
        DecodedWasm::WitPackage(..) => panic!("not a component"),
    }
}

#[track_caller]
fn assert_world(component: &[u8], imports: &[&str], exports: &[&str]) {
    let (resolve, world) = decode(component);
    let world = &resolve.worlds[world];
    let names = |items: Vec<_>| -> Vec<String> {
        let mut names: Vec<_> = items
            .into_iter()
            .map(|key| resolve.name_world_key(key))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(world.imports.keys().collect()), imports);
    assert_eq!(names(world.exports.keys().collect()), exports);
}

#[test]
fn they_import_and_export_what_the_design_lists_and_nothing_else() {
    assert_world(REPORTER, &REPORTER_IMPORTS, &REPORTER_EXPORTS);
    assert_world(KEYVALUE_FS, &KEYVALUE_FS_IMPORTS, &KEYVALUE);
    assert_world(
        CONFIG_ENV,
        &["wasi:cli/environment@0.2.0"],
        &["wasi:config/store@0.2.0-draft-2024-09-27"],
    );
    assert_world(PLUGIN, &PLUGIN_IMPORTS, &PLUGIN_EXPORTS);
    assert_world(DENY, &DENY_IMPORTS, &DENY_EXPORTS);
    assert_world(EDGE, &PLUGIN_IMPORTS, &EDGE_EXPORTS);
}

#[test]
fn they_are_small_enough_to_ship_with_every_program() {
    let plugin = plugin_with_tool_docs();
    for (component, allowed) in [
        (REPORTER, REPORTER_MAX_BYTES),
        (PLUGIN, PLUGIN_MAX_BYTES),
        (EDGE, PLUGIN_MAX_BYTES),
        (&plugin, PLUGIN_MAX_BYTES),
    ] {
        let bytes = component.len();
        assert!(bytes <= allowed, "{bytes} bytes, of {allowed} allowed");
    }
}

#[test]
fn every_function_of_the_plugin_has_a_description() {
    let (resolve, world) = decode(PLUGIN);
    let exports = resolve.worlds[world].exports.values();
    let functions: BTreeSet<String> = exports
        .filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id].functions),
            _ => None,
        })
        .flat_map(|functions| functions.keys().cloned())
        .collect();

    let plugin = plugin_with_tool_docs();
    wasmparser::validate(&plugin).unwrap();
    let sections = Parser::new(0).parse_all(&plugin);
    let mut docs = sections.filter_map(|payload| match payload.unwrap() {
        Payload::CustomSection(section) if section.name() == "package-docs" => Some(section),
        _ => None,
    });
    let section = docs.next().unwrap();
    assert!(docs.next().is_none(), "two sections");
    // As Wassette reads it: a byte for the version, then JSON.
    let docs: serde_json::Value = serde_json::from_slice(&section.data()[1..]).unwrap();
    let docs = docs["worlds"]["root"]["func_exports"].as_object().unwrap();
    assert_eq!(docs.keys().cloned().collect::<BTreeSet<_>>(), functions);
    for (name, function) in docs {
        let text = function["docs"].as_str().unwrap();
        assert!(text.len() > 20 && text.ends_with('.'), "{name}: {text:?}");
    }
}

/// Wassette makes a tool of each function. Many clients cut the name of a tool at 64 characters, and
/// Wassette cannot call a function that has flags or resources.
#[test]
fn every_function_of_the_plugin_can_be_a_tool() {
    let (resolve, world) = decode(PLUGIN);
    let mut tools = BTreeSet::new();
    for item in resolve.worlds[world].exports.values() {
        let WorldItem::Interface { id, .. } = item else {
            panic!("no interface: {item:?}");
        };
        let interface = resolve.id_of(*id).unwrap();
        let interface = interface.replace([':', '/', '@', '.'], "_");
        for function in resolve.interfaces[*id].functions.keys() {
            let tool = format!("{interface}_{function}");
            assert!(tool.len() <= 64, "{tool}");
            tools.insert(tool);
        }
    }
    assert!(tools.contains("mcp-reporter_interactions_reporter_0_1_0_report-start"));

    let ours = |name: &str| name.starts_with("mcp-reporter:");
    let interfaces = resolve.interfaces.iter();
    let types = interfaces
        .filter(|(id, _)| resolve.id_of(*id).is_some_and(|name| ours(&name)))
        .flat_map(|(_, interface)| interface.types.values());
    let mut seen = 0;
    for id in types {
        let ty = &resolve.types[*id];
        let works = !matches!(ty.kind, TypeDefKind::Flags(_) | TypeDefKind::Resource);
        assert!(works, "{:?}", ty.name);
        seen += 1;
    }
    assert!(seen > 5, "only {seen} types");
}
