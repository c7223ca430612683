//! A store in Redis or Valkey, for reporters on several machines.
//!
//! Everything lies under three keys that begin with the [URL](RedisUrl)'s prefix, so foreign keys
//! never matter:
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `<prefix>values` | hash | key → value |
//! | `<prefix>keys` | sorted set | every key, all with score 0, so in the order of their bytes |
//! | `<prefix>schema` | string | the version of this layout, `1` |
//!
//! Hash and set change together or not at all: in one `MULTI` or in one script. So a listing, which reads the set alone, is a snapshot. Each
//! operation is one round trip, but a script that Redis has forgotten (`NOSCRIPT`: it was not
//! run), which is sent again with its text.
//!
//! An operation ends within 5 s, 2 of which it may wait for a connection; it fails when Redis is
//! away, and the next one tries anew. Whether a write was done that got no answer is unknown: it
//! fails, and is never sent again.
//!
//! What an acknowledged write survives is up to Redis: see `docs/redis.md`.

mod link;
#[cfg(test)]
mod tests;
mod url;

use std::path::PathBuf;
use std::sync::LazyLock;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};

use self::link::Link;
use self::url::Address;
use super::{Durability, Store, StoreError, StoreWarning};
use crate::tls;

pub use self::url::RedisUrl;

/// The version of the layout that this program writes.
const SCHEMA: u32 = 1;

/// Answers with the sum as text, as a number of Lua has 53 bits; with nil when there is none.
static INCREMENT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local sum = redis.pcall('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
if type(sum) == 'table' then
  if string.find(sum.err, 'integer') or string.find(sum.err, 'overflow') then
    return false
  end
  return sum
end
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return redis.call('HGET', KEYS[1], ARGV[1])
",
    )
});

/// Not a `MULTI`: a Redis that is full queues no command, not even one that makes room. Lua's
/// stack holds some thousands of arguments at once.
static DELETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for first = 1, #ARGV, 1000 do
  local last = math.min(first + 999, #ARGV)
  redis.call('HDEL', KEYS[1], unpack(ARGV, first, last))
  redis.call('ZREM', KEYS[2], unpack(ARGV, first, last))
end
",
    )
});

/// The expected value is the third argument; without one, absence is expected.
static COMPARE_AND_SWAP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local current = redis.call('HGET', KEYS[1], ARGV[1])
if current ~= (ARGV[3] or false) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 1
",
    )
});

/// Which Redis, and what is expected of it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Where it is.
    pub url: RedisUrl,
    /// PEM file of root certificates to trust beside the system's; read for `rediss://` only.
    pub ca_file: Option<PathBuf>,
    /// What an acknowledged write shall survive: warned of when Redis is not set so.
    pub durability: Durability,
}

/// The names of the three keys.
struct Names {
    values: String,
    keys: String,
    schema: String,
}

/// A store in Redis.
pub struct RedisStore {
    link: Link,
    values: String,
    keys: String,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisStore({:?})", self.link.shown())
    }
}

impl RedisStore {
    /// Opens the store. One that cannot be reached is opened all the same, with a warning: its
    /// operations fail until it can. Must be called on a tokio runtime.
    ///
    /// # Errors
    ///
    /// Redis is there and refuses: the password, the certificate, or what lies under the prefix
    /// is wrong.
    pub async fn open(options: RedisOptions) -> Result<(Self, Vec<StoreWarning>), StoreError> {
        let RedisOptions {
            url,
            ca_file,
            durability,
        } = options;
        let name = |name: &str| format!("{}{name}", url.prefix);
        let (values, keys) = (name("values"), name("keys"));
        let names = Names {
            values: values.clone(),
            keys: keys.clone(),
            schema: name("schema"),
        };
        let tls = match &url.address {
            Address::Tcp { tls: true, .. } => {
                let config = tls::client(ca_file.as_deref());
                Some(config.map_err(|detail| StoreError::Refused {
                    store: url.to_string(),
                    detail,
                })?)
            }
            _ => None,
        };
        let store = Self {
            link: Link::new(url, names, tls),
            values,
            keys,
        };
        let warnings = match store.settings().await {
            Ok(settings) => warnings(store.link.shown(), &settings, durability),
            Err(error @ (StoreError::Unreachable { .. } | StoreError::Unanswered { .. })) => {
                vec![StoreWarning::Away {
                    error: Box::new(error),
                }]
            }
            Err(error) => return Err(error),
        };
        Ok((store, warnings))
    }

    /// What Redis is set to; a setting that this user may not read is none.
    async fn settings(&self) -> Result<Settings, StoreError> {
        self.link
            .run(|mut connection| async move {
                Ok(Settings {
                    policy: setting(&mut connection, "maxmemory-policy").await?,
                    append: setting(&mut connection, "appendonly").await?,
                    sync: setting(&mut connection, "appendfsync").await?,
                })
            })
            .await
    }
}

async fn setting(
    connection: &mut MultiplexedConnection,
    name: &str,
) -> RedisResult<Option<String>> {
    let mut get = redis::cmd("CONFIG");
    get.arg("GET").arg(name);
    match get.query_async::<Vec<String>>(connection).await {
        Ok(pair) => Ok(pair.into_iter().nth(1)),
        Err(error) if error.code().is_some() => {
            tracing::debug!("Redis does not say its {name}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What `CONFIG GET` says.
struct Settings {
    policy: Option<String>,
    append: Option<String>,
    sync: Option<String>,
}

fn warnings(store: &str, settings: &Settings, durability: Durability) -> Vec<StoreWarning> {
    let mut warnings = Vec::new();
    if let Some(policy) = settings.policy.as_deref().filter(|p| *p != "noeviction") {
        warnings.push(StoreWarning::Evicts {
            store: store.to_owned(),
            policy: policy.to_owned(),
        });
    }
    let appends = settings.append.as_deref().is_none_or(|a| a == "yes");
    let syncs = settings.sync.as_deref().is_none_or(|s| s == "always");
    let wanted = match durability {
        Durability::Process if !appends => Some("appendonly yes"),
        Durability::Power if !appends || !syncs => Some("appendonly yes and appendfsync always"),
        _ => None,
    };
    warnings.extend(wanted.map(|wanted| StoreWarning::Volatile {
        store: store.to_owned(),
        wanted,
    }));
    warnings
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut get = redis::cmd("HGET");
        get.arg(&self.values).arg(key);
        self.link
            .run(|mut connection| async move { get.query_async(&mut connection).await })
            .await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        if keys.is_empty() {
            // Redis wants at least one.
            return self.link.run(|_| async { Ok(Vec::new()) }).await;
        }
        let mut get = redis::cmd("HMGET");
        get.arg(&self.values).arg(&keys);
        let values: Vec<Option<Vec<u8>>> = self
            .link
            .run(|mut connection| async move { get.query_async(&mut connection).await })
            .await?;
        if values.len() != keys.len() {
            let detail = format!("HMGET of {} keys gave {}", keys.len(), values.len());
            return Err(self.link.refused(detail));
        }
        Ok(keys.into_iter().zip(values).collect())
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        let mut range = redis::cmd("ZRANGE");
        range.arg(&self.keys).arg(0).arg(-1);
        self.link
            .run(|mut connection| async move { range.query_async(&mut connection).await })
            .await
    }

    async fn list_keys_with(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut range = redis::cmd("ZRANGEBYLEX");
        range.arg(&self.keys);
        // No key, being UTF-8, has the byte that ends the range.
        range.arg([b"[", prefix.as_bytes()].concat());
        range.arg([b"(", prefix.as_bytes(), b"\xff"].concat());
        self.link
            .run(|mut connection| async move { range.query_async(&mut connection).await })
            .await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.set_many(vec![(key, value)]).await
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        if pairs.is_empty() {
            return self.link.run(|_| async { Ok(()) }).await;
        }
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("HSET").arg(&self.values);
        for (key, value) in &pairs {
            pipe.arg(key).arg(&value[..]);
        }
        pipe.ignore().cmd("ZADD").arg(&self.keys);
        for (key, _) in &pairs {
            pipe.arg(0).arg(key);
        }
        pipe.ignore();
        drop(pairs);
        self.link
            .run(|mut connection| async move { pipe.query_async(&mut connection).await })
            .await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return self.link.run(|_| async { Ok(()) }).await;
        }
        let mut script = DELETE.prepare_invoke();
        script.key(&self.values).key(&self.keys).arg(&keys);
        self.link
            .run(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        let mut script = INCREMENT.prepare_invoke();
        script.key(&self.values).key(&self.keys);
        script.arg(&key).arg(delta);
        let sum: Option<i64> = self
            .link
            .run(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await?;
        sum.ok_or(StoreError::NotANumber { key, delta })
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        let mut script = COMPARE_AND_SWAP.prepare_invoke();
        script.key(&self.values).key(&self.keys);
        script.arg(&key).arg(&new[..]);
        if let Some(expected) = &expected {
            script.arg(&expected[..]);
        }
        self.link
            .run(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await
    }

    async fn close(&self) {
        self.link.close();
    }
}
