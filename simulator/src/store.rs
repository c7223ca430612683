//! The store as a process sees it: the one that all share, and what can befall an operation.

use std::cell::Cell;

use mcp_reporter_core::control;
use mcp_reporter_core::outbox::{EventKey, Place, Record, Stage};
use mcp_reporter_core::store::{Random, Store, StoreError};

use crate::client::Again;
use crate::oracle::{Invariant, Lease, Ledger};
use crate::plan::{Model, Sabotage};
use crate::world::World;

/// What an operation is done for: decides what the oracle makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Accept,
    Drain,
    Redrive {
        wanted: Option<u64>,
    },
    Purge {
        dead: bool,
        wanted: Option<u64>,
        newest_ns: Option<u64>,
    },
    Look,
}

/// Whether it is the name of an answer that is kept for a request that may come again.
fn is_answer(name: &str) -> bool {
    name.starts_with("i.")
}

/// The store in the hands of one process, for one call of the core.
pub(crate) struct Handle<'w> {
    world: &'w World,
    process: usize,
    role: Role,
    /// The process died in the middle of the call: nothing that it still does counts.
    pub dead: bool,
    /// An operation of this call failed, or a swap did.
    pub faulted: bool,
    /// An answer that is kept was misread.
    pub misread: bool,
    /// A try of the same request in the middle of this one, after so many steps.
    pub meanwhile: Cell<Option<(u64, Again)>>,
    /// The try of a request that this is, by its event.
    pub attempt: Option<usize>,
    /// When the call began, and what the wall clock of the process said then.
    began: u64,
    began_wall: u64,
    /// What the last listing of this call said.
    listed: Vec<String>,
    /// What of it was to be deleted, but for what moves left over, and how much of that was there.
    named: Vec<String>,
    removed: u64,
}

/// What happens after an operation took effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    Lost,
    Crash,
}

impl<'w> Handle<'w> {
    pub fn new(world: &'w World, process: usize, role: Role) -> Self {
        Self {
            world,
            process,
            role,
            dead: false,
            faulted: false,
            misread: false,
            meanwhile: Cell::new(None),
            attempt: None,
            began: world.now.get(),
            began_wall: world.clock(process).wall_ns,
            listed: Vec::new(),
            named: Vec::new(),
            removed: 0,
        }
    }

    fn fail<T>(&mut self, text: &str) -> Result<T, StoreError> {
        self.faulted = true;
        Err(StoreError(text.into()))
    }

    fn roll(&self, permille: u64) -> bool {
        self.world.faulty.get() && self.world.dice.borrow_mut().chance(permille)
    }

    fn interleave(&self) {
        if let Some((steps, again)) = self.meanwhile.take() {
            match steps.checked_sub(1) {
                Some(left) => self.meanwhile.set(Some((left, again))),
                None => self.world.post_at_once(again),
            }
        }
        if self.roll(self.world.config.faults.interleave) {
            self.world.interleave();
        }
    }

    /// What befalls an operation before it takes effect.
    fn before(&mut self, writes: bool) -> Result<After, StoreError> {
        let world = self.world;
        world.ops.set(world.ops.get() + 1);
        if self.dead {
            return self.fail("the process is dead");
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
            return self.fail("database is locked");
        }
        if self.roll(faults.lost) {
            if world.dice.borrow_mut().chance(500) {
                world.hit("store: connection lost before");
                return self.fail("connection lost");
            }
            world.hit("store: connection lost after");
            return Ok(After::Lost);
        }
        if self.roll(faults.crash) {
            if world.dice.borrow_mut().chance(500) {
                world.hit("crash: before a store operation");
                self.dead = true;
                return self.fail("the process is dead");
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
            After::Lost => self.fail("connection lost"),
            After::Crash => {
                self.dead = true;
                self.fail("the process is dead")
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

    fn held(&self, name: &str) -> bool {
        self.world.map.borrow().contains_key(name)
    }

    fn put(&self, name: &str, value: &[u8]) {
        let world = self.world;
        world.tell(|| format!("p{} {:?} sets {name}", self.process, self.role));
        if let Some((place, key)) = EventKey::parse(name) {
            let (op, now) = (world.ops.get(), world.now.get());
            let mut ledger = world.ledger.borrow_mut();
            match (self.role, place) {
                (Role::Accept, Place::Waiting) => {
                    if let Ok(record) = Record::decode(value) {
                        ledger.stored(key, record, op, now);
                    }
                }
                (Role::Drain, Place::Dead) => {
                    if let Some(at) = ledger.by_key(&key) {
                        world.hit("event: dead letter");
                        let after = world.config.dead_letter_after_s * 1_000_000_000;
                        let poison = (world.config.max_retries, after);
                        ledger.check_dead_letter(at, now, poison);
                    }
                }
                (Role::Redrive { wanted }, Place::Waiting) => {
                    world.hit("event: redriven");
                    if !self.lost_the_lease(&ledger) {
                        ledger.check_idle(&key, now, self.began_wall);
                    }
                    if wanted.is_some_and(|w| w != key.interaction) {
                        ledger.violate(Invariant::OnlyTheNamed, format!("a redrive set {name}"));
                    }
                    if let Ok(record) = Record::decode(value) {
                        ledger.put_back(key, &record, op, now);
                    }
                }
                _ => {}
            }
            let forgets = world.config.sabotage == Some(Sabotage::ForgetsSets);
            if forgets && self.role == Role::Accept && key.random % 4 == 0 {
                return;
            }
        }
        if let (true, Some(event)) = (is_answer(name), self.attempt) {
            let mut ledger = world.ledger.borrow_mut();
            ledger.keep_answer(name, value, event);
            if world.config.sabotage == Some(Sabotage::ForgetsAnswers) {
                return;
            }
        }
        world.map.borrow_mut().insert(name.into(), value.into());
    }

    fn take(&mut self, name: &str) {
        let world = self.world;
        world.tell(|| format!("p{} {:?} deletes {name}", self.process, self.role));
        let by_hand = matches!(self.role, Role::Accept | Role::Purge { .. });
        let Some((place, key)) = EventKey::parse(name) else {
            if is_answer(name) {
                // There are never as many as the drainer keeps.
                let what = format!("{:?} deleted {name}", self.role);
                let mut ledger = world.ledger.borrow_mut();
                ledger.violate(Invariant::OnlyTheNamed, what);
            }
            world.map.borrow_mut().remove(name);
            return;
        };
        match world.config.sabotage {
            Some(Sabotage::KeepsDeleted)
                if self.role == Role::Drain && place == Place::Waiting && !world.calm.get() =>
            {
                return;
            }
            Some(Sabotage::PurgesHalf) if by_hand && key.random % 2 == 0 => return,
            Some(Sabotage::PutsBackHalf)
                if matches!(self.role, Role::Redrive { .. }) && key.random % 2 == 0 =>
            {
                return;
            }
            _ => {}
        }
        let ledger = &mut *world.ledger.borrow_mut();
        let listed = |name: &str| self.listed.iter().any(|n| n == name);
        let left_over = ledger.later(place, &key, listed);
        let named = by_hand && !left_over;
        let moved = matches!(self.role, Role::Redrive { .. }) && place == Place::Dead;
        if named || moved && !left_over {
            self.named.push(name.into());
        }
        if named && self.role == Role::Accept {
            ledger.meant_to_drop += 1;
        }
        if !self.held(name) {
            if matches!(self.role, Role::Drain | Role::Redrive { .. }) {
                world.hit("move: the name to delete was gone");
            }
            return;
        }
        if named {
            if !self.lost_the_lease(ledger) {
                ledger.check_idle(&key, world.now.get(), self.began_wall);
            }
            if !self.whole(&key) || !self.names(place, &key) {
                let what = format!("{:?} deleted {name}", self.role);
                ledger.violate(Invariant::OnlyTheNamed, what);
            }
            if world.config.sabotage == Some(Sabotage::KeepsDropped) && self.role == Role::Accept {
                return;
            }
            self.removed += 1;
            if let Some(at) = ledger.by_key(&key) {
                let event = &mut ledger.events[at];
                if self.role == Role::Accept {
                    event.dropped = true;
                    world.hit("event: dropped");
                } else {
                    event.purged = true;
                    world.hit("event: purged");
                }
            }
            if self.role == Role::Accept {
                ledger.dropped += 1;
            }
        } else {
            let later = ledger.later(place, &key, |name| self.held(name));
            ledger.deleted(place, &key, later);
        }
        world.map.borrow_mut().remove(name);
    }

    /// What must hold once a purge, a redrive or a drop-oldest is done, which says that it
    /// deleted or moved `said`.
    pub fn check_change(&self, said: Option<u32>) {
        let ledger = &mut *self.world.ledger.borrow_mut();
        let overtaken = self.lost_the_lease(ledger);
        if self.faulted || overtaken {
            ledger.drops_unsure |= self.role == Role::Accept;
            return;
        }
        let touched: Vec<_> = self
            .named
            .iter()
            .filter_map(|n| EventKey::parse(n))
            .collect();
        let only_dead = matches!(
            self.role,
            Role::Purge { dead: true, .. } | Role::Redrive { .. }
        );
        // A redrive passes over what it cannot read, and with it what the store did not hand out.
        let faults = self.world.config.faults;
        let unreadable = faults.misread + faults.damage > 0;
        let redrive = matches!(self.role, Role::Redrive { .. });
        let half = self.listed.iter().find(|name| {
            let Some((place, key)) = EventKey::parse(name) else {
                return false;
            };
            let listed = |name: &str| self.listed.iter().any(|n| n == name);
            let same = |(_, t): &(_, EventKey)| t.interaction == key.interaction;
            let passed_over = redrive && unreadable || only_dead && place == Place::Waiting;
            let left = !self.named.contains(name) && self.held(name);
            touched.iter().any(same) && left && !passed_over && !ledger.later(place, &key, listed)
        });
        if let Some(name) = half {
            let what = format!("{:?} left {name} of an interaction", self.role);
            ledger.violate(Invariant::Whole, what);
        }
        if let (Role::Purge { .. }, Some(said)) = (self.role, said)
            // Else a drainer whose lease has expired may delete what it delivered meanwhile.
            && !ledger.jumped
            && faults.slow == 0
            && u64::from(said) != self.removed
        {
            let what = format!("{} events were purged, {said} counted", self.removed);
            ledger.violate(Invariant::Counted, what);
        }
    }

    /// Whether another took the lease since this call, or the lease that it goes by, began.
    fn lost_the_lease(&self, ledger: &Ledger) -> bool {
        let instance = self.world.meta.borrow()[self.process].instance;
        let since = match (self.role, ledger.senders.get(&instance)) {
            (Role::Drain, Some(sender)) => sender.wrote,
            _ => self.began,
        };
        let own = if self.role == Role::Drain {
            instance
        } else {
            0
        };
        let mut leases = ledger.leases.iter();
        leases.any(|lease| lease.at >= since && lease.who != own)
            || ledger.control_damaged.iter().any(|t| *t >= since)
    }

    /// Whether the last listing had this event.
    fn whole(&self, key: &EventKey) -> bool {
        [Place::Waiting, Place::Dead]
            .iter()
            .any(|place| self.listed.contains(&key.name(*place)))
    }

    /// Whether the purge under way names this event.
    fn names(&self, place: Place, key: &EventKey) -> bool {
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
    fn read(&mut self, name: &str) -> Option<Vec<u8>> {
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
                None if is_answer(name) => {
                    self.misread = true;
                    world.hit("store: a kept answer damaged");
                    if damage {
                        ledger.damage_answer(name);
                    }
                }
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
        let after = self.before(false)?;
        let world = self.world;
        let listed = world.now.get();
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
            Some(Sabotage::HidesEnds) if self.role == Role::Drain && !world.calm.get() => {
                let end =
                    |n: &String| EventKey::parse(n).is_some_and(|(_, key)| key.stage == Stage::End);
                names.retain(|n| !end(n));
            }
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
        self.named.clear();
        if self.role == Role::Drain {
            let instance = world.meta.borrow()[self.process].instance;
            let mut ledger = world.ledger.borrow_mut();
            let sender = ledger.sender(instance);
            sender.listing = (began, world.ops.get());
            sender.listed = listed;
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
            self.faulted = true;
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
            let written = world.now.get();
            ledger.late_writes.push((written, written - self.began));
            match self.role {
                Role::Drain => {
                    let sender = ledger.sender(instance);
                    sender.wrote = began;
                    sender.leased_from = (self.began, self.began_wall);
                }
                // Drop-oldest takes the lease.
                Role::Accept => ledger.leases.push(Lease {
                    at: world.now.get(),
                    who: 0,
                }),
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
