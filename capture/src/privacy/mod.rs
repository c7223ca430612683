//! What may leave the machine: redaction of what is captured, whatever is captured.
//!
//! Three things are taken for secret: the value of a field whose name says so, a text that has the
//! form of a known kind of key, and whatever was found secret in the arguments of an earlier call,
//! wherever it turns up again. Servers repeat arguments in results, errors, progress messages and
//! resource URIs.

mod patterns;
mod uri;

pub(crate) use uri::public as public_uri;

use patterns::Patterns;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Shortest secret that is looked for elsewhere: shorter ones are in every text.
const LEAST_BYTES: usize = 4;

/// Longest one that is remembered.
const MOST_BYTES: usize = 8 << 10;

/// Most secrets of one call's arguments.
const MOST_OF_ONE_CALL: usize = 64;

/// Most secrets that are remembered; the oldest is forgotten.
const REMEMBERED: usize = 256;

/// Of what is larger nothing is captured: to look for secrets in it costs too much.
const MOST_SEARCHED_BYTES: usize = 1 << 20;

/// How deep and how large a captured value may be.
const MOST_DEPTH: usize = 32;
const FIELDS_PER_VALUE: usize = 16;

/// Redacts, and remembers what it has redacted.
#[derive(Debug)]
pub(crate) struct Redactor {
    patterns: Patterns,
    /// Secrets of earlier arguments, oldest first.
    known: VecDeque<String>,
    /// The forms in which they may turn up, longest first: of one that is part of another nothing
    /// is left over.
    forms: Vec<String>,
    max_field_bytes: usize,
}

impl Redactor {
    /// One that takes these names of fields for secret, too.
    pub fn new(names: &[String], max_field_bytes: usize) -> Self {
        Self {
            patterns: Patterns::new(names),
            known: VecDeque::new(),
            forms: Vec::new(),
            max_field_bytes,
        }
    }

    /// Remembers the secrets in arguments, as their bytes of the wire. False if some may be unknown:
    /// then what the server says of them must not be told.
    #[must_use]
    pub fn learn(&mut self, arguments: &str) -> bool {
        // The hint does not see through escapes.
        if !self.patterns.may_hold_secrets(arguments) && !arguments.contains("\\u") {
            return true;
        }
        let Ok(value) = serde_json::from_str(arguments) else {
            return false;
        };
        let mut found = Vec::new();
        let all = self.secrets(&value, false, 0, &mut found);
        found.truncate(MOST_OF_ONE_CALL + 1);
        let kept = all
            && found.len() <= MOST_OF_ONE_CALL
            && found.iter().all(|secret| secret.len() <= MOST_BYTES);
        for secret in found {
            self.remember(&secret);
        }
        kept
    }

    /// A text without secrets, and cut.
    pub fn text(&self, text: &str) -> String {
        if text.len() > MOST_SEARCHED_BYTES {
            return format!("[truncated, {} bytes]", text.len());
        }
        let clean = self.clean(text);
        cut(&clean, self.max_field_bytes)
    }

    /// A value without secrets, its texts cut; one that is very large is only its size.
    pub fn value(&self, raw: &str) -> Value {
        if raw.len() > MOST_SEARCHED_BYTES {
            return serde_json::json!({ "truncated_bytes": raw.len() });
        }
        let Ok(value) = serde_json::from_str(raw) else {
            return Value::Null;
        };
        let mut left = self.max_field_bytes.saturating_mul(FIELDS_PER_VALUE);
        let clean = self.clean_value(value, 0, &mut left);
        if left == 0 {
            serde_json::json!({ "truncated_bytes": raw.len() })
        } else {
            clean
        }
    }

    fn clean_value(&self, value: Value, depth: usize, left: &mut usize) -> Value {
        let clean = match value {
            Value::String(text) => {
                let text = self.text(&text);
                *left = left.saturating_sub(text.len());
                Value::String(text)
            }
            Value::Array(_) | Value::Object(_) if depth >= MOST_DEPTH || *left == 0 => {
                Value::String("[truncated]".to_owned())
            }
            Value::Array(all) => Value::Array(
                all.into_iter()
                    .map(|value| self.clean_value(value, depth + 1, left))
                    .collect(),
            ),
            Value::Object(all) => {
                let clean = all.into_iter().map(|(name, value)| {
                    let secret = self.patterns.is_secret_name(&name);
                    let name = self.text(&name);
                    *left = left.saturating_sub(name.len());
                    let value = if secret && !value.is_null() && !value.is_boolean() {
                        Value::String(REDACTED.to_owned())
                    } else {
                        self.clean_value(value, depth + 1, left)
                    };
                    (name, value)
                });
                Value::Object(clean.collect())
            }
            Value::Number(number) => {
                // A secret number is a secret wherever it stands.
                let text = number.to_string();
                if self.forms.contains(&text) {
                    Value::String(REDACTED.to_owned())
                } else {
                    Value::Number(number)
                }
            }
            other => other,
        };
        *left = left.saturating_sub(4);
        clean
    }

    fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for known in &self.forms {
            if clean.contains(known.as_str()) {
                clean = Cow::Owned(clean.replace(known.as_str(), REDACTED));
            }
        }
        match self.patterns.replace(&clean) {
            Cow::Borrowed(_) => clean,
            Cow::Owned(replaced) => Cow::Owned(replaced),
        }
    }

    /// False if the value goes deeper than is looked into.
    fn secrets(
        &self,
        value: &Value,
        named_secret: bool,
        depth: usize,
        found: &mut Vec<String>,
    ) -> bool {
        if depth > MOST_DEPTH {
            return false;
        }
        match value {
            Value::String(text) if named_secret => {
                // `Bearer x` as a whole, and x.
                found.extend(text.split_whitespace().next_back().map(str::to_owned));
                found.push(text.clone());
            }
            Value::String(text) => found.extend(self.patterns.find(text)),
            Value::Number(number) if named_secret => found.push(number.to_string()),
            // What else can be known is looked for even when something cannot.
            Value::Array(all) => {
                let mut whole = true;
                for value in all {
                    whole &= self.secrets(value, named_secret, depth + 1, found);
                }
                return whole;
            }
            Value::Object(all) => {
                let mut whole = true;
                for (name, value) in all {
                    let secret = named_secret || self.patterns.is_secret_name(name);
                    whole &= self.secrets(value, secret, depth + 1, found);
                }
                return whole;
            }
            _ => {}
        }
        true
    }

    fn remember(&mut self, secret: &str) {
        let fits = (LEAST_BYTES..=MOST_BYTES).contains(&secret.len());
        if !fits || self.known.iter().any(|known| known == secret) {
            return;
        }
        if self.known.len() == REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back(secret.to_owned());
        let forms = self.known.iter().flat_map(|secret| {
            let json = serde_json::to_string(secret).unwrap_or_default();
            let escaped = json
                .get(1..json.len().saturating_sub(1))
                .unwrap_or_default();
            [secret.clone(), escaped.to_owned(), uri::encoded(secret)]
        });
        self.forms = forms.filter(|form| form.len() >= LEAST_BYTES).collect();
        self.forms
            .sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.forms.dedup();
    }
}

/// At most `limit` bytes of a text, and how many there were.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}…[truncated, {} bytes]", &text[..end], text.len())
}
