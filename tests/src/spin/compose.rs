//! What Spin makes of the files that a manifest names: components, composed with those that they
//! depend on.

use mcp_reporter_artifacts::DENY;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

/// What Spin's adapter denies of what the reporter imports, and the set of capabilities by which a
/// dependency may inherit it; none for what it inherits with everything else alone.
const DENIED: [(&str, Option<&str>); 3] = [
    ("wasi:config/store@0.2.0-draft-2024-09-27", None),
    (
        "wasi:http/outgoing-handler@0.2.0",
        Some("allowed_outbound_hosts"),
    ),
    ("wasi:keyvalue/store@0.2.0-draft2", Some("key_value_stores")),
];

/// A component that another depends on.
pub(super) struct Dependency {
    /// The import that it is for.
    pub import: String,
    pub component: Vec<u8>,
    pub inherits: Inherits,
}

/// What a dependency may use of what the component may that depends on it.
pub(super) enum Inherits {
    /// All of it.
    All,
    /// Only these sets of capabilities.
    Sets(Vec<String>),
}

/// Makes a component of a module for `wasm32-wasip1`.
pub(super) fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("the module does not make a component: {error:#}"))
}

/// Composes a component with its dependencies: each fills an import, and what it imports itself
/// goes to the host, or to the adapter that denies it.
pub(super) fn compose(component: &[u8], dependencies: &[Dependency]) -> Result<Vec<u8>, String> {
    let composed = composed(component, dependencies);
    composed.map_err(|error| {
        let mut said = format!("the component cannot be composed: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            said += &format!(": {error}");
            source = error.source();
        }
        said
    })
}

type Composed<T> = Result<T, Box<dyn std::error::Error>>;

fn composed(component: &[u8], dependencies: &[Dependency]) -> Composed<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let (package, instance) = add(&mut graph, "tests:component", component)?;
    for (number, dependency) in dependencies.iter().enumerate() {
        let import = &dependency.import;
        if !graph.types()[graph[package].ty()]
            .imports
            .contains_key(import)
        {
            return Err(format!("it does not import its dependency {import}").into());
        }
        let source = match &dependency.inherits {
            Inherits::All => dependency.component.clone(),
            Inherits::Sets(sets) => denied(&dependency.component, sets)?,
        };
        let name = format!("tests:dependency-{number}");
        let (_, provider) = add(&mut graph, &name, &source)?;
        let export = graph.alias_instance_export(provider, import)?;
        graph.set_instantiation_argument(instance, import, export)?;
    }
    export_all(&mut graph, package, instance)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

/// A dependency with whatever the adapter denies filled in, except what it inherits.
fn denied(dependency: &[u8], inherited: &[String]) -> Composed<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let (package, instance) = add(&mut graph, "tests:dependency", dependency)?;
    let (_, denials) = add(&mut graph, "tests:deny", DENY)?;
    for (name, set) in DENIED {
        if set.is_none_or(|set| !inherited.iter().any(|inherited| inherited == set)) {
            let denial = graph.alias_instance_export(denials, name)?;
            graph.set_instantiation_argument(instance, name, denial)?;
        }
    }
    export_all(&mut graph, package, instance)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

fn add(
    graph: &mut CompositionGraph,
    name: &str,
    component: &[u8],
) -> Composed<(PackageId, NodeId)> {
    let package = Package::from_bytes(name, None, component, graph.types_mut())?;
    let package = graph.register_package(package)?;
    Ok((package, graph.instantiate(package)))
}

fn export_all(graph: &mut CompositionGraph, package: PackageId, instance: NodeId) -> Composed<()> {
    let exports = graph.types()[graph[package].ty()].exports.keys();
    for name in exports.cloned().collect::<Vec<_>>() {
        let export = graph.alias_instance_export(instance, &name)?;
        graph.export(export, &name)?;
    }
    Ok(())
}
