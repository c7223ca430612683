//! Compositions: the reporter with providers for the imports that a runtime lacks.

use wac_graph::{CompositionGraph, EncodeOptions, NodeId, types::Package};

const KEYVALUE: [&str; 3] = [
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
];

const CONFIG: [&str; 1] = ["wasi:config/store@0.2.0-draft-2024-09-27"];

/// What a plugin offers: our own interfaces. Not the HTTP handler, which some runtimes show as a
/// tool that nobody can call.
const PLUGIN: [&str; 3] = [
    "mcp-reporter:interactions/reporter@0.1.0",
    "mcp-reporter:interactions/outbox@0.1.0",
    "mcp-reporter:interactions/coordinator@0.1.0",
];

/// What a server of HTTP calls.
const EDGE: [&str; 1] = ["wasi:http/incoming-handler@0.2.0"];

/// The reporter, and the providers of what a runtime lacks.
pub struct Parts<'a> {
    pub reporter: &'a [u8],
    pub keyvalue: &'a [u8],
    pub config: &'a [u8],
}

impl Parts<'_> {
    /// Our own interfaces, on files and environment variables.
    pub fn plugin(&self) -> Result<Vec<u8>, String> {
        let plugin = self.exporting(&PLUGIN);
        plugin.map_err(|e| format!("the plugin cannot be composed: {e:#}"))
    }

    /// The coordinator's API, on files and environment variables.
    pub fn edge(&self) -> Result<Vec<u8>, String> {
        let edge = self.exporting(&EDGE);
        edge.map_err(|e| format!("the edge cannot be composed: {e:#}"))
    }

    fn exporting(&self, exports: &[&str]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut graph = CompositionGraph::new();
        let reporter = add(&mut graph, "mcp-reporter:reporter", self.reporter)?;
        let keyvalue = add(&mut graph, "mcp-reporter:keyvalue", self.keyvalue)?;
        let config = add(&mut graph, "mcp-reporter:config", self.config)?;
        let plugs = KEYVALUE.map(|name| (keyvalue, name));
        for (provider, name) in plugs.into_iter().chain(CONFIG.map(|name| (config, name))) {
            let provided = graph.alias_instance_export(provider, name)?;
            graph.set_instantiation_argument(reporter, name, provided)?;
        }
        for name in exports {
            let export = graph.alias_instance_export(reporter, name)?;
            graph.export(export, *name)?;
        }
        Ok(graph.encode(EncodeOptions::default())?)
    }
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
