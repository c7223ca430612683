//! A key-value store in memory.

use mcp_reporter_event::outbox::{EventKey, Place, Record};
use mcp_reporter_event::store::{Store, StoreError};
use std::collections::BTreeMap;

/// A store in memory, which fails and stalls when told to.
#[derive(Default)]
pub struct Memory {
    /// What lies in it.
    pub map: BTreeMap<String, Vec<u8>>,
    calls: BTreeMap<&'static str, u32>,
    failing: Option<&'static str>,
    stalled: Option<Meanwhile>,
}

/// What others do while an operation stalls.
type Meanwhile = Box<dyn FnOnce(&mut Memory)>;

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// The events in this place, by name.
    ///
    /// # Panics
    ///
    /// A record cannot be read.
    #[must_use]
    pub fn events(&self, place: Place) -> Vec<(EventKey, Record)> {
        let events = self.map.iter().filter_map(|(name, value)| {
            let (p, key) = EventKey::parse(name)?;
            (p == place).then(|| (key, Record::decode(value).expect("a record")))
        });
        events.collect()
    }

    /// How often the operation `name` was called.
    #[must_use]
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
        let old = self.map.get(key).map_or(0, |v| {
            i64::from_le_bytes(v[..].try_into().expect("a counter"))
        });
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
