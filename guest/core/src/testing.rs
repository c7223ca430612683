//! A store in memory, dice with a seed, and shorthands, for the tests of this crate.

use crate::event::{Action, Report};
use crate::outbox::{EventKey, Place, Record};
use crate::settings::Settings;
use crate::store::{Now, Random, Store, StoreError};
use std::collections::BTreeMap;

/// The settings of the tests: everything at its default.
pub(crate) fn settings() -> Settings {
    Settings::from_pairs([
        ("enable_interaction_logging", "true"),
        ("mcp_id", "m1"),
        ("coordinator_url", "http://127.0.0.1:1"),
        ("coordinator_api_key", "secret"),
    ])
    .unwrap()
    .unwrap()
}

pub(crate) fn report<'a>(action: Action, id: &'a str, data: &'a str) -> Report<'a> {
    Report {
        action,
        interaction_id: id,
        data,
        timestamp_ns: None,
        mcp_id: None,
        idempotency_key: None,
        traceparent: None,
    }
}

/// Wall clock readings begin here, so that both clocks differ.
pub(crate) const EPOCH_MS: u64 = 1_718_000_000_000;

pub(crate) fn at_ms(ms: u64) -> Now {
    Now {
        wall_ns: (EPOCH_MS + ms) * 1_000_000,
        mono_ns: ms * 1_000_000,
    }
}

/// SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Random for Dice {
    fn fill(&mut self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

#[derive(Default)]
pub(crate) struct Memory {
    pub map: BTreeMap<String, Vec<u8>>,
    calls: BTreeMap<&'static str, u32>,
    failing: Option<&'static str>,
    stalled: Option<Meanwhile>,
}

/// What others do while an operation stalls.
type Meanwhile = Box<dyn FnOnce(&mut Memory)>;

impl Memory {
    pub fn events(&self, place: Place) -> Vec<(EventKey, Record)> {
        let events = self.map.iter().filter_map(|(name, value)| {
            let (p, key) = EventKey::parse(name)?;
            (p == place).then(|| (key, Record::decode(value).unwrap()))
        });
        events.collect()
    }

    pub fn operations(&self, name: &str) -> u32 {
        self.calls.get(name).copied().unwrap_or(0)
    }

    /// Lets the next operation `name` fail without doing anything.
    pub fn fail_next(&mut self, name: &'static str) {
        self.failing = Some(name);
    }

    /// Stalls before the next delete, and others do this meanwhile.
    pub fn stall_next_delete(&mut self, meanwhile: impl FnOnce(&mut Self) + 'static) {
        self.stalled = Some(Box::new(meanwhile));
    }

    fn call(&mut self, name: &'static str) -> Result<(), StoreError> {
        *self.calls.entry(name).or_default() += 1;
        if self.failing == Some(name) {
            self.failing = None;
            return Err(StoreError("disk on fire".into()));
        }
        Ok(())
    }
}

impl Store for Memory {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call("get")?;
        Ok(self.map.get(key).cloned())
    }

    fn get_many(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.call("get_many")?;
        Ok(keys.iter().map(|k| self.map.get(k).cloned()).collect())
    }

    fn list_keys(&mut self) -> Result<Vec<String>, StoreError> {
        self.call("list_keys")?;
        Ok(self.map.keys().cloned().collect())
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.call("set")?;
        self.map.insert(key.into(), value.into());
        Ok(())
    }

    fn set_many(&mut self, pairs: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.call("set_many")?;
        self.map.extend(pairs.iter().cloned());
        Ok(())
    }

    fn delete_many(&mut self, keys: &[String]) -> Result<(), StoreError> {
        self.call("delete_many")?;
        if let Some(meanwhile) = self.stalled.take() {
            meanwhile(self);
        }
        for key in keys {
            self.map.remove(key);
        }
        Ok(())
    }

    fn increment(&mut self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.call("increment")?;
        let old = self
            .map
            .get(key)
            .map_or(0, |v| i64::from_le_bytes(v[..].try_into().unwrap()));
        self.map
            .insert(key.into(), (old + delta).to_le_bytes().into());
        Ok(old + delta)
    }

    fn compare_and_swap(
        &mut self,
        key: &str,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError> {
        self.call("compare_and_swap")?;
        let hit = self.map.get(key).is_some_and(|v| v == expected);
        if hit {
            self.map.insert(key.into(), new.into());
        }
        Ok(hit)
    }
}
