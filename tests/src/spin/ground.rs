//! What an application stands on: a store of either kind that goes away with its owner, and the
//! variables that reporting requires.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mcp_reporter_test_support::RedisServer;

use super::{Backend, Spin, SpinOptions};
use crate::{INGEST_KEY, KEY, Place};

/// Which of Spin's backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Its default.
    Sqlite,
    /// Redis, with its faults, shared with other applications.
    Redis,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Redis];
}

/// Keys of other applications in the same Redis: some look like ours and are not.
const FOREIGN: [(&str, &str); 8] = [
    ("session:42", "{}"),
    ("q", "1"),
    ("q.", ""),
    ("q.1.2.s.3.4", "not an event"),
    ("d.00000000000000000000", "not a dead letter"),
    ("i.00001.short", "not an answer"),
    ("two words", "*"),
    ("ключ", "значение"),
];

/// A store that is made for one test.
#[derive(Debug)]
pub struct Ground {
    place: Place,
    redis: Option<RedisServer>,
}

impl Ground {
    /// A new one; a Redis has keys of other applications in it.
    pub async fn new(mode: Mode) -> Self {
        let ground = Self {
            place: Place::new(),
            redis: (mode == Mode::Redis).then(RedisServer::durable),
        };
        if let Backend::Redis(url) = ground.backend() {
            let client = redis::Client::open(url).expect("a URL");
            let connection = client.get_multiplexed_async_connection().await;
            let mut set = redis::cmd("MSET");
            for (key, value) in FOREIGN {
                set.arg(key).arg(value);
            }
            let set = set.exec_async(&mut connection.expect("it runs")).await;
            set.expect("it takes them");
        }
        ground
    }

    /// Where it is.
    pub fn backend(&self) -> Backend {
        match &self.redis {
            Some(server) => Backend::Redis(server.url()),
            None => Backend::Sqlite(self.place.path("sqlite_key_value.db")),
        }
    }

    /// Starts the reporter on it, with `more` variables, with which it may reach `coordinator`.
    pub async fn start(&self, coordinator: SocketAddr, more: &[(&str, &str)]) -> Spin {
        let options = self.options(coordinator, more);
        let started = Spin::start(mcp_reporter_artifacts::REPORTER, options).await;
        started.expect("it does not start")
    }

    /// The same, to be changed before the start.
    pub fn options(&self, coordinator: SocketAddr, more: &[(&str, &str)]) -> SpinOptions {
        let url = format!("http://{coordinator}");
        let mut options = SpinOptions::new(variables(&url, more), self.backend());
        options.allowed_outbound_hosts.push(url);
        options
    }

    /// Asserts that other applications' keys are as they were.
    pub async fn assert_foreign_keys_untouched(&self, spin: &Spin) {
        if self.redis.is_none() {
            return;
        }
        for (key, value) in FOREIGN {
            let found = spin.store().get(key).await.expect("it can be read");
            assert_eq!(found.as_deref(), Some(value.as_bytes()), "{key}");
        }
    }
}

/// The variables that reporting to `url` requires, and `more`; all else has its default.
pub fn variables(url: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let required = [
        ("enable_interaction_logging", "true"),
        ("mcp_id", "test"),
        ("coordinator_url", url),
        ("coordinator_api_key", KEY),
        ("ingest_keys", INGEST_KEY),
    ];
    let all = required.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
