//! What a run does: its setting, the faults it is open to, and its actions.
//!
//! All of it follows from a seed. Each action has dice of its own, so that
//! leaving one out changes nothing about how the others fall: that is what
//! makes a failing plan shrink.

use crate::dice::Dice;

/// How the key-value store behaves when nothing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Batches are atomic, a listing is a snapshot, a swap says what it did.
    Strict,
    /// What Spin's stores do: batches that take effect in part, a swap that
    /// takes and says that it failed, a swap that fills an absent key, a
    /// listing that is no snapshot and has other applications' keys in it,
    /// `get-many` that always fails, so that the guest reads one by one.
    Spin,
}

/// Which kinds of faults a test mixes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// None but a coordinator that answers as it likes.
    Answers,
    /// Crashes and store errors.
    Crashes,
    /// Clocks that jump, stalls, slow stores.
    Clocks,
    /// A random subset of everything.
    Everything,
}

/// How the store, the network or a clock lies in a run that must fail: the
/// tests of the oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The store forgets one in four sets that it acknowledged.
    ForgetsSets,
    /// The network changes a byte of a body.
    ChangesBodies,
    /// A listing leaves out the oldest event of each interaction.
    HidesOldest,
    /// Monotonic clocks run thrice as fast as time.
    FastClock,
    /// A delete of a waiting event does nothing and says that it did.
    KeepsDeleted,
    /// A listing is empty once the faults have stopped.
    ListsNothing,
    /// An outage looks like a refusal.
    RefusesInOutage,
    /// A purge deletes an event of another interaction, too.
    PurgesMore,
    /// A purge deletes every other event, and says that it deleted all.
    PurgesHalf,
    /// A redrive leaves every other dead letter where it was, beside what it put back.
    PutsBackHalf,
    /// Drop-oldest deletes nothing, and counts it as deleted.
    KeepsDropped,
    /// Each try carries another idempotency key.
    ChangesKeys,
    /// Listings leave out the ends of interactions until the faults stop.
    HidesEnds,
    /// The store forgets the answers that are kept for requests that come again.
    ForgetsAnswers,
}

/// Faults, each by how often it happens in a thousand operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// The store refuses: busy, or full. Nothing happened.
    pub refusing: u64,
    /// The connection to the store is lost: half the time after it took effect.
    pub lost: u64,
    /// A swap says that it failed, and did.
    pub swap: u64,
    /// A value read is damaged or cut short, once.
    pub misread: u64,
    /// A value is damaged or cut short where it lies, for good.
    pub damage: u64,
    /// The process dies: half the time after the operation took effect.
    pub crash: u64,
    /// The operation takes up to eight seconds.
    pub slow: u64,
    /// Another process makes a step in the middle of the operation.
    pub interleave: u64,
}

/// The setting of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the wall clocks say an hour before it begins, in seconds since 1970.
    pub epoch_s: u64,
    /// The store.
    pub model: Model,
    /// Processes; each accepts, delivers, and has clocks of its own.
    pub processes: usize,
    /// Whether each delivery gets a fresh instance, as on Spin.
    pub fresh_instances: bool,
    /// Whether a process delivers by itself, as the host's timer makes it.
    pub timer: bool,
    /// `rate_limit`.
    pub rate_limit: u32,
    /// `max_in_flight`.
    pub max_in_flight: u32,
    /// `max_events`.
    pub max_events: u64,
    /// `when_full = "drop-oldest"`.
    pub drop_oldest: bool,
    /// `max_retries`.
    pub max_retries: u32,
    /// `dead_letter_after`, in seconds.
    pub dead_letter_after_s: u64,
    /// Every so-manieth interaction is poisoned: 500 for ever; 0 for none.
    pub poison: u64,
    /// Every so-manieth interaction is refused: 422 for ever; 0 for none.
    pub refused: u64,
    /// The faults.
    pub faults: Faults,
    /// The lie that the oracle must see.
    pub sabotage: Option<Sabotage>,
}

/// How the coordinator answers from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// It takes everything.
    Fine,
    /// Anything, each request anew.
    Mixed,
    /// Nothing gets through, in any way that is transient.
    Outage,
    /// 401, 403, 404, redirects, denied by the runtime.
    Wrong,
    /// It refuses one in two for the event's own sake.
    Picky,
    /// It stores, and the answer gets lost.
    Deaf,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A process reports so many events in one call.
    Report {
        /// Which.
        process: usize,
        /// How many.
        count: usize,
    },
    /// A client posts an event to the coordinator's own API, which a fresh instance answers.
    Post {
        /// In which process.
        process: usize,
        /// The process to which the client sends the request once more before the first try ends.
        at_once: Option<usize>,
    },
    /// A client posts again what it posted before, for the most part because no answer came.
    PostAgain {
        /// To which process.
        process: usize,
        /// As with `Post`.
        at_once: Option<usize>,
    },
    /// A process begins a delivery, or makes one step of it.
    Deliver {
        /// Which.
        process: usize,
        /// Its budget, in milliseconds.
        budget_ms: u64,
    },
    /// Time passes, and everyone does what is due.
    Advance {
        /// How much, in milliseconds.
        ms: u64,
    },
    /// The wall clock of a process, or of all, jumps.
    Jump {
        /// Whose; none for all.
        process: Option<usize>,
        /// By how much, in milliseconds.
        ms: i64,
    },
    /// A process does not run for a while.
    Stall {
        /// Which.
        process: usize,
        /// How long, in milliseconds.
        ms: u64,
    },
    /// A process is killed, and started anew a little later.
    Crash {
        /// Which.
        process: usize,
    },
    /// The coordinator changes its ways.
    Weather(Weather),
    /// The coordinator restarts, and forgets the starts that it knows.
    Forget,
    /// A process puts dead letters back.
    Redrive {
        /// Which.
        process: usize,
        /// Only those of a random interaction.
        one: bool,
    },
    /// A process purges.
    Purge {
        /// Which.
        process: usize,
        /// Only dead letters.
        dead: bool,
        /// Only a random interaction.
        one: bool,
        /// Only what is older than this, in seconds.
        older_s: Option<u64>,
    },
    /// A process looks: status and a page of each list.
    Look {
        /// Which.
        process: usize,
    },
}

/// An action with the dice it is done by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// What.
    pub act: Act,
    /// The seed of its dice.
    pub seed: u64,
    /// Whether faults strike while it is done.
    pub faulty: bool,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// Its setting.
    pub config: Config,
    /// Its actions.
    pub actions: Vec<Action>,
}

/// Tells the dice of [`Act::Forget`] from those of the rest.
const FORGETS: u64 = 0x666f_7267_6574;
/// The same for [`Act::Post`]. Those seeds that the regression tests name have none.
const POSTS: u64 = 0x706f_7374_7348;
/// The end of a day, an hour before which the wall clocks say this.
const LATE_S: u64 = 1_718_064_000 - 3_600;

impl Plan {
    /// The plan of `seed`. Which faults it is open to, which actions it has and
    /// how often, differs from seed to seed: runs with few kinds of faults get
    /// deeper than those with all at once.
    #[must_use]
    pub fn random(seed: u64, model: Model, mix: Mix) -> Self {
        let dice = &mut Dice::new(seed);
        let mut config = config(dice, model, mix);
        let mut actions = actions(dice, &config, mix);
        // By dice of its own and without taking time, so that the rest stays as it is.
        let dice = &mut Dice::new(seed ^ FORGETS);
        if dice.chance(300) {
            let at = dice.between(0, actions.len() as u64 + 1) as usize;
            let forget = Action {
                act: Act::Forget,
                seed: dice.bits(),
                faulty: false,
            };
            actions.insert(at, forget);
        }
        let dice = &mut Dice::new(seed ^ POSTS);
        if dice.chance(300) {
            posts(dice, &mut config, &mut actions);
        }
        Self {
            seed,
            config,
            actions,
        }
    }

    /// The plan of `seed`, its store and mix drawn as well.
    #[must_use]
    pub fn any(seed: u64) -> Self {
        let dice = &mut Dice::new(!seed);
        let model = dice.pick(&[Model::Strict, Model::Spin]);
        let mixes = [Mix::Answers, Mix::Crashes, Mix::Clocks, Mix::Everything];
        let mix = dice.pick(&mixes);
        Self::random(seed, model, mix)
    }
}

fn config(dice: &mut Dice, model: Model, mix: Mix) -> Config {
    let mut some = |on: bool, rates: &[u64]| {
        // Drawn in any case, so that the rest does not hang on it.
        let (rate, enabled) = (dice.pick(rates), dice.chance(500));
        if on && enabled { rate } else { 0 }
    };
    let all = mix == Mix::Everything;
    let crashes = all || mix == Mix::Crashes;
    let clocks = all || mix == Mix::Clocks;
    let faults = Faults {
        refusing: some(crashes, &[5, 30, 100]),
        lost: some(crashes, &[5, 30, 100]),
        swap: some(crashes, &[10, 100]),
        misread: some(all, &[5, 20]),
        damage: some(all, &[5, 20]),
        crash: some(crashes, &[5, 20, 60]),
        slow: some(clocks, &[5, 20, 60]),
        interleave: some(clocks || crashes, &[20, 100, 300]),
    };
    Config {
        epoch_s: 1_718_000_000,
        model,
        processes: dice.pick(&[1, 2, 2, 3, 3]),
        fresh_instances: dice.chance(250),
        timer: dice.chance(700),
        rate_limit: dice.pick(&[0, 1, 2, 3, 10, 10]),
        max_in_flight: dice.pick(&[1, 2, 16, 16]),
        max_events: dice.pick(&[100_000, 100_000, 100_000, 8, 20]),
        drop_oldest: dice.chance(500),
        max_retries: dice.pick(&[1, 2, 3]),
        dead_letter_after_s: dice.pick(&[0, 20, 900]),
        poison: dice.pick(&[0, 0, 0, 2, 3]),
        refused: dice.pick(&[0, 0, 0, 2, 3]),
        faults,
        sabotage: None,
    }
}

fn actions(dice: &mut Dice, config: &Config, mix: Mix) -> Vec<Action> {
    let count = dice.between(5, 45);
    let clocks = matches!(mix, Mix::Clocks | Mix::Everything);
    let crashes = matches!(mix, Mix::Crashes | Mix::Everything);
    let mut weight = |on: bool, weights: &[u64]| {
        let (weight, enabled) = (dice.pick(weights), dice.chance(600));
        if on && enabled { weight } else { 0 }
    };
    let weights = [
        30,
        25,
        20,
        weight(clocks, &[2, 6]),
        weight(clocks, &[2, 6]),
        weight(crashes, &[2, 6]),
        weight(true, &[3, 10]),
        weight(true, &[2, 6]),
        weight(true, &[1, 4]),
        1,
    ];
    let total = weights.iter().sum();
    let mut actions = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let mut left = dice.between(0, total);
        let kind = weights.iter().position(|w| match left.checked_sub(*w) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        let process = dice.between(0, config.processes as u64) as usize;
        let act = match kind.unwrap_or_default() {
            0 => Act::Report {
                process,
                count: dice.pick(&[1, 1, 1, 2, 3, 6]),
            },
            1 => Act::Deliver {
                process,
                budget_ms: dice.pick(&[300, 2_000, 6_000, 20_000]),
            },
            2 => Act::Advance {
                ms: dice.pick(&[1, 5, 50, 300, 1_000, 3_000, 7_000, 40_000]),
            },
            3 => Act::Jump {
                process: dice.chance(700).then_some(process),
                ms: dice.pick(&[
                    -86_400_000,
                    -60_000,
                    -5_000,
                    -500,
                    300,
                    5_000,
                    7_000,
                    60_000,
                    86_400_000,
                ]),
            },
            4 => Act::Stall {
                process,
                ms: dice.pick(&[100, 1_000, 3_000, 7_000, 15_000]),
            },
            5 => Act::Crash { process },
            6 => Act::Weather(dice.pick(&[
                Weather::Fine,
                Weather::Mixed,
                Weather::Mixed,
                Weather::Outage,
                Weather::Wrong,
                Weather::Picky,
                Weather::Deaf,
            ])),
            7 => Act::Redrive {
                process,
                one: dice.chance(500),
            },
            8 => Act::Purge {
                process,
                dead: dice.chance(500),
                one: dice.chance(700),
                older_s: dice.chance(300).then_some(5),
            },
            _ => Act::Look { process },
        };
        actions.push(Action {
            act,
            seed: dice.bits(),
            faulty: true,
        });
    }
    actions
}

/// Has clients post events, and post them again.
fn posts(dice: &mut Dice, config: &mut Config, actions: &mut Vec<Action>) {
    if dice.chance(300) {
        // The next day begins in the middle of it.
        config.epoch_s = LATE_S - dice.between(1, 60);
    }
    let processes = config.processes as u64;
    for n in 0..dice.between(2, 12) {
        let process = dice.between(0, processes) as usize;
        let other = dice.between(0, processes) as usize;
        let at_once = dice.chance(300).then_some(other);
        let act = if n == 0 || dice.chance(400) {
            Act::Post { process, at_once }
        } else {
            Act::PostAgain { process, at_once }
        };
        let at = dice.between(0, actions.len() as u64 + 1) as usize;
        let action = Action {
            act,
            seed: dice.bits(),
            faulty: true,
        };
        actions.insert(at, action);
    }
}
