//! Makes a component smaller without changing what it is or does: takes away the custom sections,
//! which name every type and function and the tools that made it, and shortens the names by which
//! its parts know each other. Only the names of its own imports and exports mean anything to a
//! runtime; those of the modules inside are as long, and each stands there twice.

use std::collections::HashMap;

use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ExportSection, ImportSection, InstanceSection,
    ModuleArg,
    reencode::{Error, Reencode, ReencodeComponent, component_utils::component_alias},
};
use wasmparser::{
    ComponentAlias, ComponentAliasSectionReader, CustomSectionReader, Export, ImportSectionReader,
    Instance, Parser,
};

type Result<T = ()> = std::result::Result<T, Error>;

/// Shrinks `component`.
pub fn shrink(component: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let mut shrunk = Component::new();
    Shrink::default()
        .parse_component(&mut shrunk, Parser::new(0), component)
        .map_err(|e| format!("the component cannot be made smaller: {e}"))?;
    let shrunk = shrunk.finish();
    wasmparser::validate(&shrunk)
        .map_err(|e| format!("the component made smaller is none any more: {e}"))?;
    Ok(shrunk)
}

#[derive(Default)]
struct Shrink {
    names: HashMap<String, String>,
}

impl Shrink {
    /// What `name` of a module becomes, wherever it stands: the next number that is not in use.
    fn short(&mut self, name: &str) -> String {
        let next = self.names.len();
        let short = self.names.entry(name.to_owned());
        short.or_insert_with(|| format!("{next:x}")).clone()
    }
}

impl Reencode for Shrink {
    type Error = std::convert::Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result {
        for import in section.into_imports() {
            let import = import?;
            let (module, name) = (self.short(import.module), self.short(import.name));
            imports.import(&module, &name, self.entity_type(import.ty)?);
        }
        Ok(())
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: Export<'_>) -> Result {
        let index = self.external_index(export.kind, export.index)?;
        let kind = self.export_kind(export.kind)?;
        exports.export(&self.short(export.name), kind, index);
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        _module: &mut wasm_encoder::Module,
        _section: CustomSectionReader<'_>,
    ) -> Result {
        Ok(())
    }
}

impl ReencodeComponent for Shrink {
    fn parse_instance(
        &mut self,
        instances: &mut InstanceSection,
        instance: Instance<'_>,
    ) -> Result {
        match instance {
            Instance::Instantiate { module_index, args } => {
                let args = args.iter();
                let args: Vec<_> = args
                    .map(|arg| (self.short(arg.name), ModuleArg::Instance(arg.index)))
                    .collect();
                instances.instantiate(module_index, args);
            }
            Instance::FromExports(exports) => {
                let exports = exports.iter().map(|export| {
                    let kind = self.export_kind(export.kind)?;
                    Ok((self.short(export.name), kind, export.index))
                });
                let exports = exports.collect::<Result<Vec<_>>>()?;
                instances.export_items(exports);
            }
        }
        Ok(())
    }

    fn parse_component_alias_section(
        &mut self,
        aliases: &mut ComponentAliasSection,
        section: ComponentAliasSectionReader<'_>,
    ) -> Result {
        for alias in section {
            let alias = alias?;
            match alias {
                ComponentAlias::CoreInstanceExport {
                    kind,
                    instance_index,
                    name,
                } => {
                    aliases.alias(Alias::CoreInstanceExport {
                        instance: instance_index,
                        kind: kind.into(),
                        name: &self.short(name),
                    });
                }
                // Names that the runtime knows.
                other => {
                    aliases.alias(component_alias(self, other)?);
                }
            }
        }
        Ok(())
    }

    fn parse_component_custom_section(
        &mut self,
        _component: &mut Component,
        _section: CustomSectionReader<'_>,
    ) -> Result {
        Ok(())
    }
}
