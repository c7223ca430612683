//! A configuration file made fit to be shown.

use super::document::{ClientFileError, Kind, parse, parse_tokens, servers};
use super::rewrite::{BOM, Wrap};
use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::Token;
use std::collections::HashSet;

/// The text with everything hidden that could be a secret: what is left of values are the
/// servers' commands (unless arguments stand in them) and the settings of `wrap` (but no keys and
/// no URLs with a user in them). Comments are hidden, too; names and the arrangement in lines stay.
///
/// # Errors
///
/// The text is no client's configuration.
pub fn masked(text: &str) -> Result<String, ClientFileError> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let root = parse(text)?;
    // Where literals begin that may be seen.
    let mut seen = HashSet::new();
    names(&root, &mut seen);
    for entry in servers(&root) {
        let Kind::Stdio(server) = entry.kind else {
            continue;
        };
        let wrap = Wrap::of(&server).ok().flatten();
        if let Some(wrap) = &wrap {
            // Only its own program is known to have no arguments in its name.
            seen.insert(server.command.range.start);
            let settings = &wrap.args.items[..wrap.command];
            for (at, item) in settings.iter().enumerate() {
                let flag = at.checked_sub(1).map_or("", |at| &settings[at].value);
                if !could_be_secret(flag, &item.value) {
                    seen.insert(item.range.start);
                }
            }
        }
        let own = wrap.map_or(server.command, |wrap| wrap.args.items[wrap.command]);
        if !could_have_arguments(&own.value) {
            seen.insert(own.range.start);
        }
    }
    let mut shown = String::with_capacity(text.len());
    let mut copied = 0;
    for token in parse_tokens(text)? {
        let range = token.range;
        let hidden = match token.token {
            Token::String(_) if !seen.contains(&range.start) => "\"…\"",
            Token::Number(_) | Token::Word(_) => "…",
            Token::CommentLine(_) => "// …",
            Token::CommentBlock(_) => "/* … */",
            _ => continue,
        };
        shown.push_str(&text[copied..range.start]);
        shown.push_str(hidden);
        // Line numbers stay as they are.
        let lines = text[range.start..range.end].matches('\n').count();
        shown.extend(std::iter::repeat_n('\n', lines));
        copied = range.end;
    }
    shown.push_str(&text[copied..]);
    Ok(shown)
}

/// Of a setting of `wrap`, and what stands before it.
fn could_be_secret(flag: &str, item: &str) -> bool {
    let is_key = |text: &str| text.starts_with("--") && text.contains("key");
    let follows_key = is_key(flag) && !flag.contains('=') && !item.starts_with("--");
    let holds_key = is_key(item) && item.contains('=');
    follows_key || holds_key || (item.contains("://") && item.contains('@'))
}

/// Some write the arguments, or variables, into the command. A path with a space looks the same.
fn could_have_arguments(command: &str) -> bool {
    command.contains(|c: char| c.is_whitespace() || c == '=')
}

fn names(object: &Object<'_>, seen: &mut HashSet<usize>) {
    for property in &object.properties {
        seen.insert(property.name.range().start);
        below(&property.value, seen);
    }
}

fn below(value: &Value<'_>, seen: &mut HashSet<usize>) {
    match value {
        Value::Object(object) => names(object, seen),
        Value::Array(array) => array.elements.iter().for_each(|value| below(value, seen)),
        _ => {}
    }
}
