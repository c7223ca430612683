//! `spin.toml`, as far as the profile has what stands there.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::SpinComponent;
use super::compose::{Dependency, Inherits, componentize, compose};
use super::keyvalue::DECLARED;

/// A manifest of version 2.
#[derive(Debug, Clone)]
pub struct Manifest {
    table: Table,
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no TOML of this version.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let table: Table = text.parse().map_err(|error| format!("{error}"))?;
        match table
            .get("spin_manifest_version")
            .and_then(Value::as_integer)
        {
            Some(2) => Ok(Self { table }),
            other => Err(format!(
                "spin_manifest_version is {other:?}, and 2 is known"
            )),
        }
    }

    /// The same where the dependencies inherit these sets of capabilities alone. By itself Spin has
    /// them inherit none.
    #[must_use]
    pub fn inheriting(mut self, sets: &[&str]) -> Self {
        let components = self.table.get_mut("component");
        let components = components.and_then(Value::as_table_mut);
        for (_, component) in components.into_iter().flatten() {
            let Some(component) = component.as_table_mut() else {
                continue;
            };
            component.remove("dependencies_inherit_configuration");
            let dependencies = component.get_mut("dependencies");
            let dependencies = dependencies.and_then(Value::as_table_mut);
            for (_, dependency) in dependencies.into_iter().flatten() {
                if let Some(dependency) = dependency.as_table_mut() {
                    dependency.insert("inherit_configuration".to_owned(), sets.to_vec().into());
                }
            }
        }
        self
    }

    /// The components, where the application's variables have these values. `load` is asked for
    /// the files that are named.
    ///
    /// # Errors
    ///
    /// A variable or a component is not there; a key is of another type; the components are not
    /// composed; a store is declared that the profile has not.
    pub fn components(
        &self,
        variables: &[(&str, &str)],
        load: impl Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Vec<SpinComponent>, String> {
        let variables = self.variables(variables)?;
        let triggers = &self
            .table
            .get("trigger")
            .and_then(|trigger| trigger.get("http"));
        let triggers = triggers.and_then(Value::as_array);
        let triggers = triggers.ok_or("there is no [[trigger.http]]")?;
        let component = |trigger: &Value| {
            let name = text(trigger, "component")?;
            let components = self.table.get("component");
            let component = components.and_then(|components| components.get(name));
            let component = component.ok_or_else(|| format!("there is no component {name}"))?;
            let declared = strings(component, "key_value_stores")?;
            if declared != [DECLARED] {
                return Err(format!("{name}: key_value_stores is {declared:?}"));
            }
            let templates = component.get("variables").and_then(Value::as_table);
            let of_component = templates.into_iter().flatten().map(|(name, value)| {
                let template = value.as_str().ok_or_else(|| format!("{name} is no text"))?;
                Ok((name.clone(), filled(template, &variables)?))
            });
            let hosts = strings(component, "allowed_outbound_hosts")?;
            let hosts = hosts.into_iter().map(|host| filled(host, &variables));
            Ok(SpinComponent {
                route: text(trigger, "route")?.to_owned(),
                bytes: bytes(component, &load)?,
                variables: of_component.collect::<Result<_, String>>()?,
                allowed_outbound_hosts: hosts.collect::<Result<_, String>>()?,
            })
        };
        triggers.iter().map(component).collect()
    }

    /// The application's variables: those that are given, and the defaults of the others.
    fn variables(&self, given: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let declared = self.table.get("variables").and_then(Value::as_table);
        let given: BTreeMap<_, _> = given.iter().copied().collect();
        if let Some(name) = given
            .keys()
            .find(|name| declared.is_none_or(|declared| !declared.contains_key(**name)))
        {
            return Err(format!("the variable {name} is not declared"));
        }
        let value = |(name, declared): (&String, &Value)| {
            let default = declared.get("default").and_then(Value::as_str);
            match given.get(name.as_str()).copied().or(default) {
                Some(value) => Ok((name.clone(), value.to_owned())),
                None => Err(format!("the variable {name} has no value")),
            }
        };
        declared.into_iter().flatten().map(value).collect()
    }
}

/// The component of this table, composed with what it depends on.
fn bytes(
    component: &Value,
    load: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<u8>, String> {
    let source = as_component(load(text(component, "source")?)?)?;
    let dependencies = component.get("dependencies").and_then(Value::as_table);
    let inherits = component.get("dependencies_inherit_configuration");
    let inherits_all = inherits.and_then(Value::as_bool).unwrap_or(false);
    let dependency = |(import, dependency): (&String, &Value)| {
        Ok(Dependency {
            import: import.clone(),
            component: as_component(load(text(dependency, "path")?)?)?,
            inherits: match inherits_all {
                true => Inherits::All,
                false => {
                    let sets = strings(dependency, "inherit_configuration")?;
                    Inherits::Sets(sets.into_iter().map(str::to_owned).collect())
                }
            },
        })
    };
    let dependencies = dependencies.into_iter().flatten().map(dependency);
    let dependencies = dependencies.collect::<Result<Vec<_>, String>>()?;
    match dependencies.is_empty() {
        true => Ok(source),
        false => compose(&source, &dependencies),
    }
}

/// What is no component yet becomes one.
fn as_component(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    // Behind the magic number: the version, in which a module has a 1.
    match bytes.get(4) {
        Some(1) => componentize(&bytes),
        _ => Ok(bytes),
    }
}

fn text<'a>(table: &'a Value, key: &str) -> Result<&'a str, String> {
    let value = table.get(key).and_then(Value::as_str);
    value.ok_or_else(|| format!("{key} is missing, or is no text"))
}

fn strings<'a>(table: &'a Value, key: &str) -> Result<Vec<&'a str>, String> {
    let Some(value) = table.get(key) else {
        return Ok(Vec::new());
    };
    let texts = value.as_array().map(|all| all.iter().map(Value::as_str));
    let texts = texts.and_then(Iterator::collect);
    texts.ok_or_else(|| format!("{key} is no list of texts"))
}

/// A text with each `{{ name }}` in it replaced by that variable's value.
fn filled(template: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part
            .split_once("}}")
            .ok_or_else(|| format!("{template} has a {{{{ that is not closed"))?;
        let value = variables.get(name.trim());
        text += value.ok_or_else(|| format!("{template} names no variable that is declared"))?;
        text += rest;
    }
    Ok(text)
}
