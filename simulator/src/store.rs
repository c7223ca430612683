//! The store as a process sees it: the one that all share, and what can befall an operation.

use mcp_reporter_core::control;
use mcp_reporter_core::outbox::{EventKey, Place, Record, Stage};
use mcp_reporter_core::store::{Random, Store, StoreError};

use crate::oracle::{Invariant, Ledger};
use crate::plan::{Model, Sabotage};
use crate::world::World;

/// What an operation is done for: decides what the oracle makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Accept,
    Drain,
    Redrive,
    Purge {
        dead: bool,
        wanted: Option<u64>,
        newest_ns: Option<u64>,
    },
    Look,
}

/// The store in the hands of one process, for one call of the core.
pub(crate) struct Handle<'w> {
    world: &'w World,
    process: usize,
    role: Role,
    /// The process died in the middle of the call: nothing that it still does counts.
    pub dead: bool,
    /// When the call began.
    began: u64,
    /// What the last listing of this call said.
    listed: Vec<String>,
}

/// What happens after an operation took effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    Lost,
    Crash,
}

fn error(text: &str) -> StoreError {
    StoreError(text.into())
}

impl<'w> Handle<'w> {
    pub fn new(world: &'w World, process: usize, role: Role) -> Self {
        Self {
            world,
            process,
            role,
            dead: false,
            began: world.now.get(),
            listed: Vec::new(),
        }
    }

    fn roll(&self, permille: u64) -> bool {
        self.world.faulty.get() && self.world.dice.borrow_mut().chance(permille)
    }

    fn interleave(&self) {
        if self.roll(self.world.config.faults.interleave) {
            self.world.interleave();
        }
    }

    /// What befalls an operation before it takes effect.
    fn before(&mut self, writes: bool) -> Result<After, StoreError> {
        let world = self.world;
        world.ops.set(world.ops.get() + 1);
        if self.dead {
            return Err(error("the process is dead"));
        }
        world.pass(50_000);
        let faults = world.config.faults;
        if self.roll(faults.slow) {
            world.hit("store: slow");
            let ms = world
                .dice
                .borrow_mut()
                .pick(&[20, 200, 1_200, 5_000, 8_000]);
            world.pass(ms * 1_000_000);
            world.tell(|| format!("p{} waited {ms} ms for the store", self.process));
        }
        self.interleave();
        if self.roll(faults.refusing) {
            world.hit(if writes { "store: full" } else { "store: busy" });
            return Err(error("database is locked"));
        }
        if self.roll(faults.lost) {
            if world.dice.borrow_mut().chance(500) {
                world.hit("store: connection lost before");
                return Err(error("connection lost"));
            }
            world.hit("store: connection lost after");
            return Ok(After::Lost);
        }
        if self.roll(faults.crash) {
            if world.dice.borrow_mut().chance(500) {
                world.hit("crash: before a store operation");
                self.dead = true;
                return Err(error("the process is dead"));
            }
            world.hit("crash: after a store operation");
            return Ok(After::Crash);
        }
        Ok(After::Nothing)
    }

    fn after(&mut self, after: After) -> Result<(), StoreError> {
        match after {
            After::Nothing => {
                self.interleave();
                Ok(())
            }
            After::Lost => Err(error("connection lost")),
            After::Crash => {
                self.dead = true;
                Err(error("the process is dead"))
            }
        }
    }

    /// How much of a batch takes effect.
    fn share(&self, len: usize, after: After) -> usize {
        if after == After::Nothing || self.world.config.model == Model::Strict {
            return len;
        }
        self.world.hit("store: half a batch");
        self.world.dice.borrow_mut().between(0, len as u64 + 1) as usize
    }

    /// Between two items of a batch that is not atomic.
    fn between_items(&self) {
        if self.world.config.model == Model::Spin {
            self.interleave();
        }
    }

    fn put(&self, name: &str, value: &[u8]) {
        let world = self.world;
        world.tell(|| format!("p{} {:?} sets {name}", self.process, self.role));
        if let Some((place, key)) = EventKey::parse(name) {
            let mut ledger = world.ledger.borrow_mut();
            match (self.role, place) {
                (Role::Accept, Place::Waiting) => {
                    if let Ok(record) = Record::decode(value) {
                        ledger.stored(
                            key,
                            &record.body,
                            record.idempotency_key,
                            world.ops.get(),
                            world.now.get(),
                        );
                    }
                }
                (Role::Drain, Place::Dead) => {
                    if let Some(at) = ledger.by_key(&key) {
                        world.hit("event: dead letter");
                        let after = world.config.dead_letter_after_s * 1_000_000_000;
                        ledger.check_dead_letter(
                            at,
                            world.now.get(),
                            world.config.max_retries,
                            after,
                        );
                    }
                }
                (Role::Redrive, Place::Waiting) => {
                    world.hit("event: redriven");
                    if let Some(at) = ledger.by_key(&key) {
                        ledger.events[at].redriven = true;
                        ledger.events[at].stored_op = world.ops.get();
                        ledger.events[at].stored_at = world.now.get();
                    }
                }
                _ => {}
            }
            let forgets = world.config.sabotage == Some(Sabotage::ForgetsSets);
            if forgets && self.role == Role::Accept && key.random % 4 == 0 {
                return;
            }
        }
        world.map.borrow_mut().insert(name.into(), value.into());
    }

    fn take(&self, name: &str) {
        let world = self.world;
        world.tell(|| format!("p{} {:?} deletes {name}", self.process, self.role));
        let parsed = EventKey::parse(name);
        if let Some((place, key)) = parsed {
            if !world.map.borrow().contains_key(name) {
                return;
            }
            if world.config.sabotage == Some(Sabotage::KeepsDeleted)
                && self.role == Role::Drain
                && place == Place::Waiting
                && !world.calm.get()
            {
                return;
            }
            let other = key.name(match place {
                Place::Waiting => Place::Dead,
                Place::Dead => Place::Waiting,
            });
            let elsewhere = world.map.borrow().contains_key(&other);
            let mut ledger = world.ledger.borrow_mut();
            let at = ledger.by_key(&key);
            match self.role {
                Role::Drain => {
                    let overtaken = self.overtaken(&ledger);
                    ledger.deleted_by_drainer(place, &key, elsewhere, overtaken);
                }
                Role::Redrive if place == Place::Waiting => {
                    ledger.violate(Invariant::OnlyTheNamed, format!("a redrive deleted {name}"));
                }
                Role::Redrive if !elsewhere => {
                    // Put back, and by now delivered, or moved again by a drainer that took the lease.
                    let overtaken = self.overtaken(&ledger);
                    ledger.deleted_by_redrive(&key, overtaken);
                }
                Role::Accept | Role::Purge { .. } => {
                    let whole = self.whole(&key);
                    if !whole || !self.named(place, &key) {
                        ledger.violate(
                            Invariant::OnlyTheNamed,
                            format!("{:?} deleted {name}", self.role),
                        );
                    }
                    if let Some(at) = at {
                        let event = &mut ledger.events[at];
                        if self.role == Role::Accept {
                            event.dropped = true;
                            ledger.dropped += 1;
                            world.hit("event: dropped");
                        } else {
                            event.purged = true;
                            world.hit("event: purged");
                        }
                    }
                }
                Role::Redrive | Role::Look => {}
            }
        }
        world.map.borrow_mut().remove(name);
    }

    /// Whether another took the lease in the middle of this call.
    fn overtaken(&self, ledger: &Ledger) -> bool {
        let instance = self.world.meta.borrow()[self.process].instance;
        let mut leases = ledger.leases.iter();
        leases.any(|(at, who)| *at >= self.began && *who != instance)
    }

    /// Whether the last listing had this event.
    fn whole(&self, key: &EventKey) -> bool {
        [Place::Waiting, Place::Dead]
            .iter()
            .any(|place| self.listed.contains(&key.name(*place)))
    }

    /// Whether the purge under way names this event.
    fn named(&self, place: Place, key: &EventKey) -> bool {
        let Role::Purge {
            dead,
            wanted,
            newest_ns,
        } = self.role
        else {
            return true;
        };
        let newest = self.listed.iter().filter_map(|n| EventKey::parse(n));
        let newest = newest
            .filter(|(p, k)| k.interaction == key.interaction && (!dead || *p == Place::Dead))
            .map(|(_, k)| k.ns)
            .max();
        wanted.is_none_or(|w| w == key.interaction)
            && (!dead || place == Place::Dead)
            && newest_ns.is_none_or(|n| newest.is_some_and(|newest| newest <= n))
    }

    /// A value as it is read: damaged, at times.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.world;
        let mut value = world.map.borrow().get(name).cloned()?;
        let faults = world.config.faults;
        let (misread, damage) = (self.roll(faults.misread), self.roll(faults.damage));
        if (misread || damage) && name != control::CREATION_KEY && !value.is_empty() {
            let at = world.dice.borrow_mut().below(value.len() as u64) as usize;
            if world.dice.borrow_mut().chance(500) {
                world.hit("store: a value cut short");
                value.truncate(at);
            } else {
                world.hit("store: a value damaged");
                value[at] ^= 0x10;
            }
            let mut ledger = world.ledger.borrow_mut();
            match EventKey::parse(name).map(|(_, key)| ledger.by_key(&key)) {
                Some(Some(at)) => ledger.events[at].damaged = true,
                Some(None) => {}
                None => ledger.control_damaged.push(world.now.get()),
            }
            if damage {
                world.map.borrow_mut().insert(name.into(), value.clone());
            }
        }
        Some(value)
    }
}

impl Store for Handle<'_> {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let after = self.before(false)?;
        let value = self.read(key);
        self.after(after)?;
        Ok(value)
    }

    fn get_many(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if self.world.config.model == Model::Spin {
            // As the guest's adapter does where `get-many` fails.
            return keys.iter().map(|key| self.get(key)).collect();
        }
        let after = self.before(false)?;
        let values = keys.iter().map(|key| self.read(key)).collect();
        self.after(after)?;
        Ok(values)
    }

    fn list_keys(&mut self) -> Result<Vec<String>, StoreError> {
        let began = self.world.ops.get();
        let wall = self.world.clock(self.process).wall_ns;
        let after = self.before(false)?;
        let world = self.world;
        let mut names: Vec<String> = world.map.borrow().keys().cloned().collect();
        if world.config.model == Model::Spin {
            // Key by key, while others write; with other applications' keys.
            let half = world.dice.borrow_mut().between(0, names.len() as u64 + 1) as usize;
            let last = half.checked_sub(1).map(|at| names[at].clone());
            names.truncate(half);
            self.interleave();
            let map = world.map.borrow();
            let rest = map.keys().filter(|n| last.as_ref().is_none_or(|l| *n > l));
            names.extend(rest.cloned());
            names.push("q.foreign".into());
            names.push("session:42".into());
        }
        match world.config.sabotage {
            Some(Sabotage::ListsNothing) if world.calm.get() => names.clear(),
            Some(Sabotage::HidesOldest) if self.role == Role::Drain => {
                let mut seen = Vec::new();
                names.retain(|n| match EventKey::parse(n) {
                    Some((Place::Waiting, key)) if key.stage != Stage::End => {
                        let known = seen.contains(&key.interaction);
                        seen.push(key.interaction);
                        known
                    }
                    _ => true,
                });
            }
            _ => {}
        }
        self.after(after)?;
        self.listed.clone_from(&names);
        if self.role == Role::Drain {
            let instance = world.meta.borrow()[self.process].instance;
            let mut ledger = world.ledger.borrow_mut();
            let sender = ledger.sender(instance);
            sender.listing = (began, world.ops.get());
            sender.listing_wall = wall;
        }
        Ok(names)
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let after = self.before(true)?;
        self.put(key, value);
        self.after(after)
    }

    fn set_many(&mut self, pairs: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        let after = self.before(true)?;
        for (key, value) in &pairs[..self.share(pairs.len(), after)] {
            self.put(key, value);
            self.between_items();
        }
        self.after(after)
    }

    fn delete_many(&mut self, keys: &[String]) -> Result<(), StoreError> {
        let after = self.before(true)?;
        for key in &keys[..self.share(keys.len(), after)] {
            self.take(key);
            self.between_items();
        }
        if matches!(self.role, Role::Purge { .. })
            && self.world.config.sabotage == Some(Sabotage::PurgesMore)
        {
            let more = self
                .world
                .map
                .borrow()
                .keys()
                .find(|k| k.starts_with("q."))
                .cloned();
            if let Some(more) = more {
                self.take(&more);
            }
        }
        self.after(after)
    }

    fn increment(&mut self, key: &str, delta: i64) -> Result<i64, StoreError> {
        let after = self.before(true)?;
        let mut map = self.world.map.borrow_mut();
        // Spin's host panics on a value of any other length.
        let old = map.get(key).map_or(0, |v| {
            i64::from_le_bytes(
                v.as_slice()
                    .try_into()
                    .expect("a counter shares its key with a set"),
            )
        });
        map.insert(key.into(), (old + delta).to_le_bytes().into());
        drop(map);
        self.after(after)?;
        Ok(old + delta)
    }

    fn compare_and_swap(
        &mut self,
        key: &str,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError> {
        let began = self.world.now.get();
        let after = self.before(true)?;
        let world = self.world;
        if self.roll(world.config.faults.swap) {
            world.hit("store: a failed swap");
            self.after(after)?;
            return Ok(false);
        }
        let spin = world.config.model == Model::Spin;
        let mut map = world.map.borrow_mut();
        let hit = match map.get(key) {
            Some(value) => value == expected,
            None => spin,
        };
        world.tell(|| {
            format!(
                "p{} {:?} swaps: {hit} (epoch {})",
                self.process, self.role, new[31]
            )
        });
        if hit {
            map.insert(key.into(), new.into());
            let instance = world.meta.borrow()[self.process].instance;
            let mut ledger = world.ledger.borrow_mut();
            match self.role {
                Role::Drain => ledger.sender(instance).wrote = began,
                // Drop-oldest takes the lease.
                Role::Accept => ledger.leases.push((world.now.get(), 0)),
                _ => {}
            }
        } else {
            world.hit("store: a lost race");
        }
        drop(map);
        self.after(after)?;
        if spin && hit && world.dice.borrow_mut().chance(300) {
            // It says that it failed: the guest's adapter reads again.
            world.hit("store: a swap that took and says it failed");
            return Ok(self.get(key)?.as_deref() == Some(new));
        }
        Ok(hit)
    }
}
