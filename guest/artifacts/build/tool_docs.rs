//! The custom section `package-docs`, from the comments of `wit/`: what a runtime that offers each
//! function as a tool (Wassette) tells about it.
//!
//! That runtime looks for `worlds.<any>.func_exports.<function>.docs` in the JSON behind the first
//! byte, whatever interface the function is of. Bytecode Alliance's own tools read the section too,
//! but for functions that the world itself exports, and refuse a component whose section names
//! others. So it is not part of the composition; who needs it appends it.

use std::{borrow::Cow, path::Path};

use serde_json::{Map, json};
use wasm_encoder::{ComponentSection, CustomSection};
use wit_parser::{Resolve, WorldItem};

/// The section, ready to be appended to a component.
pub fn section(wit: &Path) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_path(wit)
        .map_err(|e| format!("{}: {e:#}", wit.display()))?;
    let mut functions = Map::new();
    for (world, id) in &resolve.packages[package].worlds {
        for item in resolve.worlds[*id].exports.values() {
            let WorldItem::Interface { id, .. } = item else {
                continue;
            };
            let interface = &resolve.interfaces[*id];
            // Of others' interfaces (the HTTP handler) a composition exports none.
            if interface.package != Some(package) {
                continue;
            }
            for (name, function) in &interface.functions {
                let docs = function.docs.contents.as_deref();
                let docs = docs.ok_or_else(|| format!("{world}: {name} has no comment"))?;
                let docs = docs.split_whitespace().collect::<Vec<_>>().join(" ");
                let before = functions.insert(name.clone(), json!({ "docs": docs }));
                if before.is_some() {
                    return Err(format!("{world}: two functions are called {name}"));
                }
            }
        }
    }
    let docs = json!({ "worlds": { "root": { "func_exports": functions } } });
    let mut data = vec![0];
    data.extend_from_slice(docs.to_string().as_bytes());
    let section = CustomSection {
        name: Cow::Borrowed("package-docs"),
        data: Cow::Owned(data),
    };
    let mut bytes = Vec::new();
    section.append_to_component(&mut bytes);
    Ok(bytes)
}
