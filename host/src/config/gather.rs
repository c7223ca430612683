//! Brings the sources together: one checked text for each key, and where it stood.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mcp_reporter_core::settings::{ENV_PREFIX, printable};

use super::error::Problem;
use super::file;
use super::keys::{self, API_KEY, API_KEY_FILE, KeyInfo, STORE};
use super::source::{ENV_FILE, Source, Sources};
use crate::store::RedisUrl;

/// A text and where it stood.
#[derive(Clone)]
pub(super) struct Entry {
    pub key: &'static str,
    pub text: String,
    pub source: Source,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redis = RedisUrl::parse(&self.text).ok();
        let text = match redis.filter(|_| self.key == STORE) {
            Some(url) => url.to_string(),
            None if keys::find(self.key).is_some_and(|key| key.is_secret) => "***".to_owned(),
            None => self.text.clone(),
        };
        write!(f, "{text:?} ({})", self.source)
    }
}

/// What was found so far; later levels override earlier ones.
#[derive(Default)]
pub(super) struct Gathered {
    pub entries: BTreeMap<&'static str, Entry>,
    pub problems: Vec<Problem>,
    /// Keys that were given, but not well: they are not missing.
    pub bad: BTreeSet<&'static str>,
}

impl Gathered {
    /// The environment. An empty variable counts as not set, as shells have no
    /// other way to take one away from a command.
    pub fn env(&mut self, sources: &Sources) {
        let mut level = Vec::new();
        for (name, text) in &sources.env {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            if name == ENV_FILE || text.is_empty() {
                continue;
            }
            let source = Source::Env(name.clone());
            let Some(key) = keys::keys().find(|key| key.name.to_ascii_uppercase() == rest) else {
                let known: Vec<String> = keys::keys()
                    .map(|key| key.env())
                    .chain([ENV_FILE.to_owned()])
                    .collect();
                let message = format!(
                    "{} is not a setting{}",
                    printable(name),
                    suggestion(name, &known)
                );
                self.problem(name, message, None);
                continue;
            };
            match text.to_str() {
                Some(text) => level.push((key, text.to_owned(), source)),
                None => {
                    self.bad.insert(key.name);
                    self.problem(
                        key.name,
                        format!("{name} must be valid UTF-8: {}", key.allowed),
                        None,
                    );
                }
            }
        }
        self.level(level);
    }

    /// The command line.
    pub fn flags(&mut self, sources: &Sources) {
        let mut level = Vec::new();
        for (name, text) in &sources.flags {
            let name = name.trim_start_matches('-').replace('_', "-");
            let flag = format!("--{name}");
            match keys::find(&name.replace('-', "_")) {
                Some(key) if key.flag().is_none() => {
                    self.bad.insert(key.name);
                    let or_file = match key.name {
                        API_KEY => format!(", as {API_KEY_FILE},"),
                        _ => String::new(),
                    };
                    let message = format!(
                        "{flag}: every user of the machine can read a command line: must be given as {}{or_file} or in the configuration file",
                        key.env()
                    );
                    self.problem(key.name, message, None);
                }
                Some(key) if key.name == STORE && holds_password(text) => {
                    self.bad.insert(key.name);
                    let message = format!(
                        "{flag}: every user of the machine can read a command line: a URL with a password must be given as {}, or in the configuration file",
                        key.env()
                    );
                    self.problem(key.name, message, None);
                }
                Some(key) => level.push((key, text.clone(), Source::Flag(flag))),
                None => {
                    let known: Vec<String> = keys::keys().filter_map(|key| key.flag()).collect();
                    let message = format!(
                        "{} is not a setting{}",
                        printable(&flag),
                        suggestion(&flag, &known)
                    );
                    self.problem(&name, message, None);
                }
            }
        }
        self.level(level);
    }

    /// The program that uses the library.
    pub fn code<K: AsRef<str>, V: Into<String>>(
        &mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) {
        let known: Vec<String> = keys::keys().map(|key| key.name.to_owned()).collect();
        let mut level = Vec::new();
        for (name, text) in pairs {
            let name = name.as_ref();
            match keys::find(name) {
                Some(key) => level.push((key, text.into(), Source::Code)),
                None => {
                    let message = format!(
                        "{} is not a setting{}",
                        printable(name),
                        suggestion(name, &known)
                    );
                    self.problem(name, message, Some(Source::Code));
                }
            }
        }
        self.level(level);
    }

    /// The configuration file.
    pub fn file(&mut self, found: file::Found) {
        for (key, problem) in found.problems {
            self.bad.extend(key);
            self.problems.push(problem);
        }
        self.level(found.values);
    }

    /// Takes over one level, checked, above those before it.
    fn level(&mut self, values: Vec<(KeyInfo, String, Source)>) {
        let mut level = BTreeMap::new();
        for (key, text, source) in values {
            // `coordinator_url = ""` is how a template leaves a key open.
            if text.is_empty() && key.default.is_none() {
                continue;
            }
            match keys::check(&key, &text) {
                Ok(()) => {
                    level.insert(
                        key.name,
                        Entry {
                            key: key.name,
                            text,
                            source,
                        },
                    );
                }
                Err(message) => {
                    self.bad.insert(key.name);
                    self.problem(key.name, message, Some(source));
                }
            }
        }
        match (level.contains_key(API_KEY), level.get(API_KEY_FILE)) {
            (true, Some(file)) => {
                let message =
                    format!("{API_KEY} and {API_KEY_FILE} are both set: must be one of them");
                let source = file.source.clone();
                self.problem(API_KEY_FILE, message, Some(source));
            }
            // Two ways to say one thing: the upper level's way hides the lower's.
            (true, None) => drop(self.entries.remove(API_KEY_FILE)),
            (false, Some(_)) => drop(self.entries.remove(API_KEY)),
            (false, None) => {}
        }
        self.entries.extend(level);
    }

    pub fn problem(&mut self, key: &str, message: String, source: Option<Source>) {
        self.problems.push(Problem {
            key: printable(key),
            message,
            source,
        });
    }
}

/// Whether a text for `store` is a URL with a password.
fn holds_password(text: &str) -> bool {
    RedisUrl::parse(text).is_ok_and(|url| url.has_password())
}

/// What goes on after "is not a setting".
pub(super) fn suggestion(name: &str, known: &[String]) -> String {
    let mean = keys::closest(name, known)
        .map(|close| format!("; did you mean {close}?"))
        .unwrap_or(".".to_owned());
    format!("{mean} Allowed are: {}", known.join(", "))
}
