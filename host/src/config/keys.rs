//! All keys: those of the component and those that only the host has.

use std::net::{Ipv4Addr, SocketAddr};

use mcp_reporter_core::settings;

use super::capture;
use crate::store::RedisUrl;

/// A key of the configuration, as documentation lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name.
    pub name: &'static str,
    /// Its default, as one would write it; none when it has none.
    pub default: Option<&'static str>,
    /// What is allowed: goes on after "must be".
    pub allowed: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// Whether its value is text, which a TOML file has in quotes.
    pub is_text: bool,
    /// Whether nobody may see its value: it has no flag, and is not in what is shown.
    pub is_secret: bool,
}

impl KeyInfo {
    /// The table of the configuration file in which it stands.
    pub fn table(&self) -> &'static str {
        if self.name == MCP_ID {
            "mcp"
        } else {
            "interaction_logging"
        }
    }

    /// Its environment variable: `MCP_REPORTER_RATE_LIMIT`.
    pub fn env(&self) -> String {
        format!("{}{}", settings::ENV_PREFIX, self.name.to_ascii_uppercase())
    }

    /// Its command-line flag: `--rate-limit`; none for a secret.
    pub fn flag(&self) -> Option<String> {
        (!self.is_secret).then(|| format!("--{}", self.name.replace('_', "-")))
    }
}

pub(super) const MCP_ID: &str = "mcp_id";
pub(super) const ENABLE: &str = "enable_interaction_logging";
pub(super) const API_KEY: &str = "coordinator_api_key";
pub(super) const API_KEY_FILE: &str = "coordinator_api_key_file";
pub(super) const STORE: &str = "store";
pub(super) const LOCAL_CACHE_PATH: &str = "local_cache_path";
pub(super) const DURABILITY: &str = "durability";
pub(super) const LOG_LEVEL: &str = "log_level";
pub(super) const LOG_FORMAT: &str = "log_format";
pub(super) const LOG_FILE: &str = "log_file";
pub(super) const CA_FILE: &str = "ca_file";
pub(super) const METRICS_LISTEN: &str = "metrics_listen";
pub(super) const INGEST_RATE_LIMIT: &str = "ingest_rate_limit";
pub(super) const SHARDS: &str = "shards";
pub(super) const RATE_LIMIT: &str = "rate_limit";
pub(super) const DELIVER_ON_REPORT: &str = "deliver_on_report";

/// Most shards: each has an instance that accepts and one that delivers, on each host.
const MOST_SHARDS: u32 = 64;

static KEY_FILE: KeyInfo = KeyInfo {
    name: API_KEY_FILE,
    default: None,
    allowed: "a path",
    doc: "File that holds the coordinator's key, instead of coordinator_api_key.",
    is_text: true,
    is_secret: false,
};

static HOST_KEYS: [KeyInfo; 10] = [
    KeyInfo {
        name: STORE,
        default: Some("sqlite"),
        allowed: "sqlite, memory or redis://[[user]:password@]host[:port][/database][?prefix=text], likewise rediss:// (TLS), or redis+unix:///path",
        doc: "Where events wait: a SQLite file at local_cache_path, memory (lost on exit), or Redis.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: LOCAL_CACHE_PATH,
        default: None,
        allowed: "a path",
        doc: "The SQLite file; if not set, mcp-reporter/outbox.db in the user's state folder.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: DURABILITY,
        default: Some("process"),
        allowed: "process or power",
        doc: "What an accepted event survives: the end of the process, or also a power cut.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: LOG_LEVEL,
        default: Some("info"),
        allowed: "error, warn, info, debug or trace",
        doc: "Least severe log lines to write.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: LOG_FORMAT,
        default: Some("text"),
        allowed: "text or json",
        doc: "Form of the log lines.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: LOG_FILE,
        default: None,
        allowed: "a path",
        doc: "Where log lines go; if not set, standard error.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: CA_FILE,
        default: None,
        allowed: "a path",
        doc: "PEM file of further root certificates to trust, beside the system's.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: METRICS_LISTEN,
        default: None,
        allowed: "a port, of 127.0.0.1, or an IP address and port such as 127.0.0.1:9464",
        doc: "Where a running reporter serves Prometheus metrics, at /metrics; if not set, nowhere.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: INGEST_RATE_LIMIT,
        default: Some("0"),
        allowed: "a whole number from 0 to 1000000 (0 for no limit)",
        doc: "Most events that `serve` takes in a second, over all clients; more are answered 429.",
        is_text: false,
        is_secret: false,
    },
    KeyInfo {
        name: SHARDS,
        default: Some("1"),
        allowed: "a whole number from 1 to 64, at most rate_limit unless that is 0, and the same for all who use the outbox",
        doc: "Into how many parts the outbox is split, by interaction, to deliver them side by side.",
        is_text: false,
        is_secret: false,
    },
];

/// Every key, in the order in which documentation lists them.
pub fn keys() -> impl Iterator<Item = KeyInfo> {
    let component = settings::KEYS.iter().flat_map(|key| {
        let info = KeyInfo {
            name: key.name,
            default: key.default,
            allowed: key.allowed,
            doc: key.doc,
            is_text: key.is_text(),
            is_secret: key.is_secret(),
        };
        // The two ways to give the API key stand side by side.
        [Some(info), (key.name == API_KEY).then_some(KEY_FILE)]
    });
    component.flatten().chain(HOST_KEYS).chain(capture::KEYS)
}

/// `shards`.
pub(super) fn shards(text: &str) -> Option<u32> {
    whole(text).filter(|number| (1..=MOST_SHARDS).contains(number))
}

/// `ingest_rate_limit`.
pub(super) fn ingest_rate_limit(text: &str) -> Option<u32> {
    whole(text).filter(|number| *number <= 1_000_000)
}

fn whole(text: &str) -> Option<u32> {
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<KeyInfo> {
    keys().find(|key| key.name == name)
}

/// Whether `text` is a value that `key` may have; else what to say.
pub(super) fn check(key: &KeyInfo, text: &str) -> Result<(), String> {
    let good = match key.name {
        STORE => return check_store(key, text),
        DURABILITY => Durability::parse(text).is_some(),
        LOG_LEVEL => LogLevel::parse(text).is_some(),
        LOG_FORMAT => LogFormat::parse(text).is_some(),
        METRICS_LISTEN => listen_address(text).is_some(),
        SHARDS => shards(text).is_some(),
        INGEST_RATE_LIMIT => ingest_rate_limit(text).is_some(),
        API_KEY_FILE | LOCAL_CACHE_PATH | LOG_FILE | CA_FILE => {
            !text.is_empty() && !text.contains('\0')
        }
        name if let Some(good) = capture::check(name, text) => good,
        name => return settings::check(name, text).map_err(|error| error.to_string()),
    };
    if good {
        return Ok(());
    }
    Err(format!(
        "{} = \"{}\": must be {}",
        key.name,
        settings::printable(text),
        key.allowed
    ))
}

fn check_store(key: &KeyInfo, text: &str) -> Result<(), String> {
    if StoreKind::parse(text).is_some() {
        return Ok(());
    }
    // What is meant as a URL may hold a password.
    let shown = match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('@') => format!("{}:…", settings::printable(scheme)),
        None if !text.contains('@') => settings::printable(text),
        _ => "***".to_owned(),
    };
    let wrong = match RedisUrl::parse(text) {
        Err(wrong) if RedisUrl::is_meant(text) => format!(" ({wrong})"),
        _ => String::new(),
    };
    Err(format!(
        "{} = \"{shown}\": must be {}{wrong}",
        key.name, key.allowed
    ))
}

/// The name among `names` that `name` is most likely a slip of.
pub(super) fn closest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let (distance, closest) = names
        .iter()
        .map(|known| (distance(name, known), known))
        .min()?;
    (distance <= 1 + name.len() / 8).then_some(closest)
}

/// Levenshtein distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A port alone is one of the loopback address: metrics are for this machine unless one says
/// otherwise.
pub(super) fn listen_address(text: &str) -> Option<SocketAddr> {
    match text.parse::<u16>() {
        Ok(port) => Some((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().ok(),
    }
}

/// `store`: where events wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The SQLite file at `local_cache_path`.
    Sqlite,
    /// The process's memory.
    Memory,
    /// A Redis server, at [`Config::redis`](super::Config::redis).
    Redis,
}

impl StoreKind {
    pub(super) fn parse(text: &str) -> Option<StoreKind> {
        match text {
            "sqlite" => Some(StoreKind::Sqlite),
            "memory" => Some(StoreKind::Memory),
            url => RedisUrl::parse(url).ok().map(|_| StoreKind::Redis),
        }
    }
}

/// `durability`: what an accepted event survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, however it comes.
    Process,
    /// Also a power cut.
    Power,
}

impl Durability {
    pub(super) fn parse(text: &str) -> Option<Durability> {
        match text {
            "process" => Some(Durability::Process),
            "power" => Some(Durability::Power),
            _ => None,
        }
    }
}

/// `log_level`: least severe log lines to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed for good.
    Error,
    /// What needs attention.
    Warn,
    /// What happened.
    Info,
    /// Why it happened.
    Debug,
    /// Each step.
    Trace,
}

impl LogLevel {
    /// Also takes the names of Python's `logging`, which the old client had.
    pub(super) fn parse(text: &str) -> Option<LogLevel> {
        match text.to_ascii_lowercase().as_str() {
            "error" | "critical" => Some(LogLevel::Error),
            "warn" | "warning" => Some(LogLevel::Warn),
            "info" => Some(LogLevel::Info),
            "debug" => Some(LogLevel::Debug),
            "trace" => Some(LogLevel::Trace),
            _ => None,
        }
    }

    /// Its name: `warn`.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// `log_format`: form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `time - name - level - message`.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Option<LogFormat> {
        match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}
