//! Compositions: the reporter with providers for the imports that a runtime lacks.

use wac_graph::{CompositionGraph, EncodeOptions, NodeId, types::Package};

const KEYVALUE: [&str; 3] = [
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
];

const CONFIG: [&str; 1] = ["wasi:config/store@0.2.0-draft-2024-09-27"];

/// What a composition offers: our own interfaces. Not the HTTP handler, which some runtimes show
/// as a tool that nobody can call.
const EXPORTS: [&str; 3] = [
    "mcp-reporter:interactions/reporter@0.1.0",
    "mcp-reporter:interactions/outbox@0.1.0",
    "mcp-reporter:interactions/coordinator@0.1.0",
];

/// The reporter on files and environment variables.
pub fn plugin(reporter: &[u8], keyvalue: &[u8], config: &[u8]) -> Result<Vec<u8>, String> {
    compose(reporter, keyvalue, config).map_err(|e| format!("the plugin cannot be composed: {e:#}"))
}

fn compose(
    reporter: &[u8],
    keyvalue: &[u8],
    config: &[u8],
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut graph = CompositionGraph::new();
    let reporter = add(&mut graph, "mcp-reporter:reporter", reporter)?;
    let keyvalue = add(&mut graph, "mcp-reporter:keyvalue", keyvalue)?;
    let config = add(&mut graph, "mcp-reporter:config", config)?;
    let plugs = KEYVALUE.map(|name| (keyvalue, name));
    for (provider, name) in plugs.into_iter().chain(CONFIG.map(|name| (config, name))) {
        let provided = graph.alias_instance_export(provider, name)?;
        graph.set_instantiation_argument(reporter, name, provided)?;
    }
    for name in EXPORTS {
        let export = graph.alias_instance_export(reporter, name)?;
        graph.export(export, name)?;
    }
    Ok(graph.encode(EncodeOptions::default())?)
}

fn add(
    graph: &mut CompositionGraph,
    name: &str,
    component: &[u8],
) -> Result<NodeId, Box<dyn std::error::Error>> {
    let package = Package::from_bytes(name, None, component, graph.types_mut())?;
    let package = graph.register_package(package)?;
    Ok(graph.instantiate(package))
}
