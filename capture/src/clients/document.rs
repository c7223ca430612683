//! Where in a configuration file the servers stand.

use jsonc_parser::ast::{Array, Object, ObjectProp, StringLit, Value};
use jsonc_parser::tokens::TokenAndRange;
use jsonc_parser::{
    CollectOptions, CommentCollectionStrategy, ParseOptions, ParseResult, parse_to_ast,
};
use thiserror::Error;

/// Why a text is no client's configuration. No message repeats anything of the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientFileError {
    /// It cannot be read.
    #[error(
        "not valid JSON, line {line}, column {column}: {what} (allowed are JSON, comments and \
         trailing commas)"
    )]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// It is JSON, but something else.
    #[error("it is no JSON object: an MCP client's configuration begins with {{")]
    NotAnObject,
}

/// Parses the text, which has no byte order mark.
pub(super) fn parse(text: &str) -> Result<Object<'_>, ClientFileError> {
    match collect(text, &CollectOptions::default())?.value {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(ClientFileError::NotAnObject),
    }
}

/// Its tokens, comments among them.
pub(super) fn parse_tokens(text: &str) -> Result<Vec<TokenAndRange<'_>>, ClientFileError> {
    let options = CollectOptions {
        comments: CommentCollectionStrategy::AsTokens,
        tokens: true,
    };
    Ok(collect(text, &options)?.tokens.unwrap_or_default())
}

fn collect<'a>(text: &'a str, what: &CollectOptions) -> Result<ParseResult<'a>, ClientFileError> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    parse_to_ast(text, what, &options).map_err(|error| ClientFileError::Syntax {
        line: error.line_display(),
        column: error.column_display(),
        what: error.kind().to_string(),
    })
}

/// A server as the file has it.
pub(super) struct Entry<'a> {
    /// The folder, for a server of one project.
    pub project: Option<&'a str>,
    pub name: &'a str,
    pub kind: Kind<'a>,
}

pub(super) enum Kind<'a> {
    Stdio(Stdio<'a>),
    Remote,
    /// Not understood, and why.
    Unclear(&'static str),
}

/// A server that runs as a command.
pub(super) struct Stdio<'a> {
    pub object: &'a Object<'a>,
    pub command: &'a StringLit<'a>,
    pub args: Option<Args<'a>>,
}

pub(super) struct Args<'a> {
    pub array: &'a Array<'a>,
    pub items: Vec<&'a StringLit<'a>>,
}

/// All servers, in the order of the file.
pub(super) fn servers<'a>(root: &'a Object<'a>) -> Vec<Entry<'a>> {
    let mut found = Vec::new();
    for property in &root.properties {
        let Some(object) = property.value.as_object() else {
            continue;
        };
        match property.name.as_str() {
            "mcpServers" | "servers" | "mcp.servers" | "context_servers" => {
                entries(None, object, &mut found);
            }
            "mcp" => below("servers", None, object, &mut found),
            "projects" => {
                for project in &object.properties {
                    if let Some(object) = project.value.as_object() {
                        below(
                            "mcpServers",
                            Some(project.name.as_str()),
                            object,
                            &mut found,
                        );
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn below<'a>(
    name: &str,
    project: Option<&'a str>,
    object: &'a Object<'a>,
    found: &mut Vec<Entry<'a>>,
) {
    for property in &object.properties {
        if let (true, Some(object)) = (property.name.as_str() == name, property.value.as_object()) {
            entries(project, object, found);
        }
    }
}

fn entries<'a>(project: Option<&'a str>, object: &'a Object<'a>, found: &mut Vec<Entry<'a>>) {
    found.extend(object.properties.iter().map(|property| Entry {
        project,
        name: property.name.as_str(),
        kind: kind(&property.value).unwrap_or_else(Kind::Unclear),
    }));
}

fn kind<'a>(server: &'a Value<'a>) -> Result<Kind<'a>, &'static str> {
    let object = server.as_object().ok_or("it is no JSON object")?;
    let url = ["url", "serverUrl", "httpUrl"];
    let has_url = object
        .properties
        .iter()
        .any(|property| url.contains(&property.name.as_str()));
    let Some(command) = only(object, "command", "its `command` is there twice")? else {
        return if has_url {
            Ok(Kind::Remote)
        } else {
            Err("it has neither a `command` nor a `url`")
        };
    };
    if has_url {
        return Err("it has both a `command` and a `url`");
    }
    let command = command
        .value
        .as_string_lit()
        .ok_or("its `command` is no string")?;
    let args = match only(object, "args", "its `args` are there twice")? {
        None => None,
        Some(property) => {
            let array = property.value.as_array().ok_or("its `args` are no list")?;
            let items = array.elements.iter().map(Value::as_string_lit);
            let items = items
                .collect::<Option<_>>()
                .ok_or("its `args` are not all strings")?;
            Some(Args { array, items })
        }
    };
    Ok(Kind::Stdio(Stdio {
        object,
        command,
        args,
    }))
}

fn only<'a>(
    object: &'a Object<'a>,
    name: &str,
    twice: &'static str,
) -> Result<Option<&'a ObjectProp<'a>>, &'static str> {
    let mut named = object
        .properties
        .iter()
        .filter(|property| property.name.as_str() == name);
    match (named.next(), named.next()) {
        (_, Some(_)) => Err(twice),
        (found, None) => Ok(found),
    }
}
