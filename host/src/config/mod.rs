//! The configuration of one reporter: from flags, environment and file, in this
//! precedence, checked, each value with where it came from.
//!
//! The component gets its settings as the texts they were given as
//! ([`Config::pairs`]); the keys that only the host has are read here. Names,
//! defaults and bounds of the component's keys stand in
//! [`mcp_reporter_core::settings`], and in no other place.

mod capture;
mod error;
mod file;
mod gather;
mod key_file;
mod keys;
mod plain_http;
mod source;
mod template;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Problem};
pub use keys::{Durability, KeyInfo, LogFormat, LogLevel, StoreKind, keys};
pub use source::{Source, Sources};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mcp_reporter_capture::CaptureSettings;
use mcp_reporter_core::settings::{Settings, printable};

use crate::store::RedisUrl;
use gather::{Entry, Gathered};
use keys::{
    API_KEY, API_KEY_FILE, CA_FILE, DELIVER_ON_REPORT, DURABILITY, ENABLE, INGEST_RATE_LIMIT,
    LOCAL_CACHE_PATH, LOG_FILE, LOG_FORMAT, LOG_LEVEL, MCP_ID, METRICS_LISTEN, RATE_LIMIT, SHARDS,
    STORE,
};

/// A checked configuration. Its `Debug` shows neither the API key nor the store's password.
#[derive(Debug, Clone)]
pub struct Config {
    entries: BTreeMap<&'static str, Entry>,
    settings: Option<Settings>,
    store: StoreKind,
    redis: Option<RedisUrl>,
    local_cache_path: PathBuf,
    durability: Durability,
    log_level: LogLevel,
    log_format: LogFormat,
    log_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    metrics_listen: Option<SocketAddr>,
    shards: u32,
    file: Option<PathBuf>,
    warnings: Vec<String>,
}

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The key.
    pub key: &'static str,
    /// Its value, paths made absolute; `*** (set)` for the API key, `***` for the
    /// store's password; none when not set.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
}

impl Config {
    /// Loads a configuration. While reporting is off nothing is required, but
    /// what is there must be well-formed.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not TOML; or everything that is unknown,
    /// malformed or missing in any of the sources.
    pub fn load(sources: Sources) -> Result<Config, ConfigError> {
        let mut gathered = Gathered::default();
        let mut path = None;
        if let Some((found, bytes)) = sources.read_file()? {
            gathered.file(file::read(&found, &bytes)?);
            path = Some(found);
        }
        gathered.env(&sources);
        gathered.flags(&sources);
        Config::build(gathered, path, &sources.cwd, sources.state_dir.as_deref())
    }

    /// Makes a configuration of keys and texts, for a program that uses the
    /// library. Relative paths stay as they are. The last of equal keys counts.
    ///
    /// # Errors
    ///
    /// Everything that is unknown, malformed or missing.
    pub fn from_pairs<K: AsRef<str>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Config, ConfigError> {
        let mut gathered = Gathered::default();
        gathered.code(pairs);
        Config::build(
            gathered,
            None,
            Path::new(""),
            source::state_dir().as_deref(),
        )
    }

    fn build(
        mut gathered: Gathered,
        file: Option<PathBuf>,
        cwd: &Path,
        state_dir: Option<&Path>,
    ) -> Result<Config, ConfigError> {
        let mut warnings = Vec::new();
        let enabled = gathered
            .entries
            .get(ENABLE)
            .is_some_and(|entry| matches!(&*entry.text, "true" | "1"));
        if enabled {
            read_key_file(&mut gathered, cwd, &mut warnings);
        }
        let secret = keys().filter(|key| key.is_secret).find_map(|key| {
            match &gathered.entries.get(key.name)?.source {
                Source::File { path, .. } => Some((path, key.name)),
                _ => None,
            }
        });
        if let Some((path, name)) = secret {
            warnings.extend(key_file::exposed(path, name));
        } else if let Some(Entry {
            text,
            source: Source::File { path, .. },
            ..
        }) = gathered.entries.get(STORE)
            && RedisUrl::parse(text).is_ok_and(|url| url.has_password())
        {
            warnings.extend(key_file::exposed(path, STORE));
        }
        let pairs = component_pairs(&gathered.entries);
        let settings = Settings::from_pairs(pairs).unwrap_or_else(|errors| {
            // A bad text was named where it was found; what is left is missing.
            for error in errors {
                if !gathered.bad.contains(error.key) {
                    let message = format!("{error}{}", how_to_set(error.key));
                    gathered.problems.push(Problem {
                        key: error.key.to_owned(),
                        message,
                        source: None,
                    });
                }
            }
            None
        });
        let entries = &gathered.entries;
        let store = choice(entries, STORE, StoreKind::parse).unwrap_or(StoreKind::Sqlite);
        let path = |key| entries.get(key).map(|entry| resolve(entry, cwd));
        let local_cache_path = path(LOCAL_CACHE_PATH)
            .or_else(|| state_dir.map(|dir| dir.join("mcp-reporter").join("outbox.db")));
        if enabled
            && store == StoreKind::Sqlite
            && local_cache_path.is_none()
            && !gathered.bad.contains(LOCAL_CACHE_PATH)
        {
            let message = format!(
                "{LOCAL_CACHE_PATH} is not set, and there is no home folder for its default{}",
                how_to_set(LOCAL_CACHE_PATH)
            );
            gathered.problem(LOCAL_CACHE_PATH, message, None);
        }
        let shards = choice(&gathered.entries, SHARDS, keys::shards).unwrap_or(1);
        if let Some(settings) = &settings {
            let entry = gathered.entries.get(SHARDS);
            let source = entry.map(|entry| entry.source.clone());
            if let Some(message) = shards_and(settings, shards) {
                gathered.problem(SHARDS, message, source);
            }
        }
        if !gathered.problems.is_empty() {
            return Err(ConfigError::Invalid(gathered.problems));
        }
        if let Some(settings) = &settings
            && !settings.endpoint.tls
            && plain_http::is_public(settings.endpoint.host())
        {
            warnings.push(format!(
                "coordinator_url = \"http://{}\": the API key and all events cross the network unencrypted; use https://",
                settings.endpoint.authority
            ));
        }
        let entries = gathered.entries;
        let metrics_listen = choice(&entries, METRICS_LISTEN, keys::listen_address);
        if let Some(address) = metrics_listen.filter(|address| !address.ip().is_loopback()) {
            warnings.push(format!(
                "metrics_listen = \"{address}\": everyone who reaches this address can read the metrics, which ask for no key; use 127.0.0.1, or a firewall"
            ));
        }
        let path = |key| entries.get(key).map(|entry| resolve(entry, cwd));
        Ok(Config {
            store,
            redis: choice(&entries, STORE, |text| RedisUrl::parse(text).ok()),
            local_cache_path: local_cache_path.unwrap_or_default(),
            durability: choice(&entries, DURABILITY, Durability::parse)
                .unwrap_or(Durability::Process),
            log_level: choice(&entries, LOG_LEVEL, LogLevel::parse).unwrap_or(LogLevel::Info),
            log_format: choice(&entries, LOG_FORMAT, LogFormat::parse).unwrap_or(LogFormat::Text),
            log_file: path(LOG_FILE),
            ca_file: path(CA_FILE),
            metrics_listen,
            shards,
            settings,
            file,
            warnings,
            entries,
        })
    }

    /// Whether interactions are reported at all.
    pub fn enabled(&self) -> bool {
        self.settings.is_some()
    }

    /// The component's settings; none while reporting is off.
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// The component's settings that differ from their defaults, as it reads
    /// them through `wasi:config`. The API key is among them.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        component_pairs(&self.entries)
    }

    /// `mcp_id`, also while reporting is off.
    pub fn mcp_id(&self) -> Option<&str> {
        self.entries.get(MCP_ID).map(|entry| &*entry.text)
    }

    /// `store`.
    pub fn store(&self) -> StoreKind {
        self.store
    }

    /// `store` where that is a Redis server.
    pub fn redis(&self) -> Option<&RedisUrl> {
        self.redis.as_ref()
    }

    /// The file in which the old client may have left events that are to be
    /// taken over: the store itself, or what `local_cache_path` names beside a
    /// Redis server; none where it was not set there.
    pub fn legacy_cache(&self) -> Option<&Path> {
        let looked_for = match self.store {
            StoreKind::Sqlite => true,
            StoreKind::Redis => self.entries.contains_key(LOCAL_CACHE_PATH),
            StoreKind::Memory => false,
        };
        looked_for.then_some(&self.local_cache_path)
    }

    /// `local_cache_path`. Empty when it is neither set nor needed and there is
    /// no home folder.
    pub fn local_cache_path(&self) -> &Path {
        &self.local_cache_path
    }

    /// `durability`.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// `log_level`.
    pub fn log_level(&self) -> LogLevel {
        self.log_level
    }

    /// `log_format`.
    pub fn log_format(&self) -> LogFormat {
        self.log_format
    }

    /// `log_file`; none for standard error.
    pub fn log_file(&self) -> Option<&Path> {
        self.log_file.as_deref()
    }

    /// `ca_file`.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// `metrics_listen`; none to serve no metrics.
    pub fn metrics_listen(&self) -> Option<SocketAddr> {
        self.metrics_listen
    }

    /// `shards`, from 1.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// `ingest_rate_limit`: most events that `serve` takes in a second; 0 for no limit.
    pub fn ingest_rate_limit(&self) -> u32 {
        choice(&self.entries, INGEST_RATE_LIMIT, keys::ingest_rate_limit).unwrap_or(0)
    }

    /// What of the MCP traffic is reported: `capture` and the keys beside it.
    pub fn capture(&self) -> CaptureSettings {
        capture::read(|key| self.entries.get(key).map(|entry| &*entry.text))
    }

    /// Where `wrap` writes its log when `log_file` is not set: `mcp-reporter/wrap.log` in the
    /// user's state folder. None where there is no home folder.
    pub fn wrap_log() -> Option<PathBuf> {
        source::state_dir().map(|dir| dir.join("mcp-reporter").join("wrap.log"))
    }

    /// The configuration file that was read, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the user should know although it is allowed, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Every key with its value and where it comes from.
    pub fn show(&self) -> Vec<Shown> {
        keys().map(|key| self.shown(key)).collect()
    }

    fn shown(&self, key: KeyInfo) -> Shown {
        let entry = self.entries.get(key.name);
        let path = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.display().to_string());
        let value = match key.name {
            _ if key.is_secret => entry.map(|_| "*** (set)".to_owned()),
            STORE if self.redis.is_some() => self.redis.as_ref().map(RedisUrl::to_string),
            LOCAL_CACHE_PATH => path(&self.local_cache_path),
            LOG_FILE => self.log_file().and_then(path),
            CA_FILE => self.ca_file().and_then(path),
            _ => entry
                .map(|entry| entry.text.clone())
                .or(key.default.map(str::to_owned)),
        };
        Shown {
            key: key.name,
            value,
            source: entry.map_or(Source::Default, |entry| entry.source.clone()),
        }
    }

    /// A configuration file to begin with: valid as it is, reporting off, every
    /// key with its default and what is allowed.
    pub fn template() -> String {
        template::template()
    }

    /// Writes [`Config::template`] to a new file with mode 0600, and makes the
    /// folders on the way to it with mode 0700.
    ///
    /// # Errors
    ///
    /// The file exists, or cannot be written.
    pub fn write_template(path: &Path) -> Result<(), ConfigError> {
        template::write(path)
    }
}

/// What is wrong with this number of shards beside the other settings.
fn shards_and(settings: &Settings, shards: u32) -> Option<String> {
    if shards == 1 {
        return None;
    }
    if (1..shards).contains(&settings.rate_limit) {
        let limit = settings.rate_limit;
        return Some(format!(
            "{SHARDS} = {shards}: must be at most {RATE_LIMIT} = {limit}, so that each shard may send: lower it, or raise {RATE_LIMIT}"
        ));
    }
    // Who accepts would send beside who delivers, and has no share of the rate.
    settings.deliver_on_report.then(|| {
        format!("{SHARDS} = {shards}: must be 1 with {DELIVER_ON_REPORT} = true: set that to false")
    })
}

/// Puts the key that `coordinator_api_key_file` holds in its place.
fn read_key_file(gathered: &mut Gathered, cwd: &Path, warnings: &mut Vec<String>) {
    // With both set, that is the problem to be told.
    if gathered.entries.contains_key(API_KEY) {
        return;
    }
    let Some(entry) = gathered.entries.get(API_KEY_FILE) else {
        return;
    };
    let path = resolve(entry, cwd);
    match key_file::read(&path) {
        Ok(key) => {
            warnings.extend(key_file::exposed(&path, API_KEY));
            let text = key.expose().to_owned();
            gathered.entries.insert(
                API_KEY,
                Entry {
                    key: API_KEY,
                    text,
                    source: Source::KeyFile(path),
                },
            );
        }
        Err(error) => {
            let source = Some(entry.source.clone());
            let shown = printable(&path.display().to_string());
            gathered.bad.insert(API_KEY);
            gathered.problem(
                API_KEY_FILE,
                format!("{API_KEY_FILE} = \"{shown}\": {error}"),
                source,
            );
        }
    }
}

fn component_pairs<'a>(
    entries: &'a BTreeMap<&'static str, Entry>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    mcp_reporter_core::settings::KEYS
        .iter()
        .filter_map(|key| entries.get(key.name))
        .map(|entry| (entry.key, &*entry.text))
}

fn choice<T>(
    entries: &BTreeMap<&'static str, Entry>,
    key: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    match entries.get(key) {
        Some(entry) => parse(&entry.text),
        None => parse(keys::find(key)?.default?),
    }
}

/// A path of the file starts at the file's folder, others at the working folder.
fn resolve(entry: &Entry, cwd: &Path) -> PathBuf {
    let base = match &entry.source {
        Source::File { path, .. } => path.parent().unwrap_or(cwd),
        _ => cwd,
    };
    source::join(base, Path::new(&entry.text))
}

/// Goes on after "is not set …".
fn how_to_set(name: &str) -> String {
    let Some(key) = keys::find(name) else {
        return String::new();
    };
    let or_file = if name == API_KEY {
        " (or coordinator_api_key_file)"
    } else {
        ""
    };
    format!(
        "; set {name}{or_file} in table [{}] of the configuration file, or {}",
        key.table(),
        key.env()
    )
}
