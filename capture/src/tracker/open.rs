//! The open interactions, and by what they are found.

use super::message::Id;
use super::payload::Kind;
use super::{Channel, Direction, Report};
use crate::performance::Usage;
use std::collections::{BTreeMap, HashMap};

/// A request: who asked, where, and under which id.
pub(super) type Key = (Channel, Direction, Id);

/// One that has begun and not ended.
#[derive(Debug)]
pub(super) struct Interaction {
    pub id: String,
    pub kind: Kind,
    pub began_ns: u64,
    pub usage: Option<Usage>,
    pub traceparent: Option<String>,
    pub fate: Fate,
    pub channel: Channel,
    /// What its end may come under. None while it waits for the client's retry, or is a task.
    pub request: Option<Key>,
    pub tokens: Vec<Key>,
    pub task: Option<String>,
    /// The task's last status, so that polling it is no progress.
    pub task_status: Option<String>,
    /// The request state under which the client will retry.
    pub state: Option<String>,
    /// Its arguments may hold secrets that are not known, so nothing is told that may repeat them.
    pub withheld: bool,
}

/// What becomes of its reports.
#[derive(Debug)]
pub(super) enum Fate {
    Reported,
    /// Reported only if it ends with an error.
    Held(Vec<Report>),
    NotReported,
}

/// All of them, by age.
#[derive(Debug, Default)]
pub(super) struct Open {
    all: BTreeMap<u64, Interaction>,
    next: u64,
    requests: HashMap<Key, u64>,
    tokens: HashMap<Key, u64>,
    tasks: HashMap<String, u64>,
    states: HashMap<String, u64>,
    channels: HashMap<Channel, Vec<u64>>,
}

impl Open {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn insert(&mut self, interaction: Interaction) -> u64 {
        let serial = self.next;
        self.next += 1;
        if let Some(key) = &interaction.request {
            self.requests.insert(key.clone(), serial);
        }
        for token in &interaction.tokens {
            self.tokens.insert(token.clone(), serial);
        }
        self.channels
            .entry(interaction.channel)
            .or_default()
            .push(serial);
        self.all.insert(serial, interaction);
        serial
    }

    pub fn get(&mut self, serial: u64) -> Option<&mut Interaction> {
        self.all.get_mut(&serial)
    }

    pub fn remove(&mut self, serial: u64) -> Option<Interaction> {
        let interaction = self.all.remove(&serial)?;
        if let Some(key) = &interaction.request {
            remove_own(&mut self.requests, key, serial);
        }
        for token in &interaction.tokens {
            remove_own(&mut self.tokens, token, serial);
        }
        if let Some(task) = &interaction.task {
            remove_own(&mut self.tasks, task, serial);
        }
        if let Some(state) = &interaction.state {
            remove_own(&mut self.states, state, serial);
        }
        if let Some(all) = self.channels.get_mut(&interaction.channel) {
            all.retain(|other| *other != serial);
            if all.is_empty() {
                self.channels.remove(&interaction.channel);
            }
        }
        Some(interaction)
    }

    pub fn oldest(&self) -> Option<u64> {
        self.all.keys().next().copied()
    }

    pub fn by_request(&self, key: &Key) -> Option<u64> {
        self.requests.get(key).copied()
    }

    pub fn by_token(&self, key: &Key) -> Option<u64> {
        self.tokens.get(key).copied()
    }

    pub fn by_task(&self, task: &str) -> Option<u64> {
        self.tasks.get(task).copied()
    }

    /// The one that waits for a retry with this state, which then is no longer waited for.
    pub fn take_by_state(&mut self, state: &str) -> Option<u64> {
        let serial = self.states.remove(state)?;
        self.all.get_mut(&serial)?.state = None;
        Some(serial)
    }

    /// It goes on under another request.
    pub fn continue_as(&mut self, serial: u64, key: Key, token: Option<Key>) {
        let Some(interaction) = self.all.get_mut(&serial) else {
            return;
        };
        if let Some(token) = token {
            self.tokens.insert(token.clone(), serial);
            // It may be asked for input again and again.
            if interaction.tokens.len() == MOST_TOKENS {
                let oldest = interaction.tokens.remove(0);
                remove_own(&mut self.tokens, &oldest, serial);
            }
            interaction.tokens.push(token);
        }
        if interaction.channel != key.0 {
            if let Some(all) = self.channels.get_mut(&interaction.channel) {
                all.retain(|other| *other != serial);
                if all.is_empty() {
                    self.channels.remove(&interaction.channel);
                }
            }
            self.channels.entry(key.0).or_default().push(serial);
            interaction.channel = key.0;
        }
        self.requests.insert(key.clone(), serial);
        interaction.request = Some(key);
    }

    /// Its request was answered, and it goes on.
    fn answered(&mut self, serial: u64) {
        if let Some(key) = self.all.get_mut(&serial).and_then(|i| i.request.take()) {
            remove_own(&mut self.requests, &key, serial);
        }
    }

    pub fn becomes_task(&mut self, serial: u64, task: String) {
        self.answered(serial);
        self.tasks.insert(task.clone(), serial);
        if let Some(interaction) = self.all.get_mut(&serial) {
            interaction.task = Some(task);
        }
    }

    pub fn waits_for(&mut self, serial: u64, state: String) {
        self.answered(serial);
        self.states.insert(state.clone(), serial);
        if let Some(interaction) = self.all.get_mut(&serial) {
            interaction.state = Some(state);
        }
    }

    /// Those that are or were last on a channel.
    pub fn all_on(&self, channel: Channel) -> Vec<u64> {
        self.channels.get(&channel).cloned().unwrap_or_default()
    }

    /// Those on a channel whose request has no answer yet, oldest first.
    pub fn unanswered(&self, channel: Channel) -> Vec<u64> {
        let all = self.channels.get(&channel).into_iter().flatten().copied();
        all.filter(|serial| self.all.get(serial).is_some_and(|i| i.request.is_some()))
            .collect()
    }
}

/// Progress tokens of one interaction that are known at once.
const MOST_TOKENS: usize = 4;

fn remove_own<K: std::hash::Hash + Eq>(map: &mut HashMap<K, u64>, key: &K, serial: u64) {
    // A later one may have taken it over.
    if map.get(key) == Some(&serial) {
        map.remove(key);
    }
}
