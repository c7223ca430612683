//! A deterministic simulator over the reporter's core.
//!
//! It runs the code of `mcp-reporter-core` as the component does: acceptors,
//! drainers, redrive and purge in several processes over one store, against one
//! coordinator. Store, wall and monotonic clocks, random bytes and coordinator
//! are simulated, and each can fail at each step. A [`Plan`] holds all that
//! happens, and a seed makes the plan, so that a seed replays a run exactly.
//!
//! ```
//! use mcp_reporter_simulator::{Plan, run};
//!
//! assert_eq!(run(&Plan::any(42)).violation, None);
//! ```
//!
//! # What happens in a run
//!
//! Tens of actions: report (one, many, by several processes), deliver (several
//! drainers, interleaved at each store operation), let time pass, jump a clock,
//! stall or kill a process, change how the coordinator answers or have it forget
//! all starts, as the real one does when it restarts, redrive, purge. Clients post events to the
//! coordinator's own API, each request to a fresh instance, and post them again with the same
//! idempotency key: when no answer came, when one did, before the first try ends, a day later.
//! Any store operation can be refused, lose its answer before or after it took
//! effect, take seconds, kill the process before or after it took effect; a swap
//! can fail; a value can be read, or lie, damaged or cut short. The strict store
//! is what the core asks for; the one like Spin's has batches that take effect in
//! part, swaps that take and say that they failed, swaps that fill an absent key,
//! and listings that are no snapshot ([`Model`]). Each run is open to a random
//! subset of all this.
//!
//! # What must hold
//!
//! Checked by code during and after each run ([`Invariant`]):
//!
//! 0. The core does not panic.
//! 1. Every acknowledged event was stored by the coordinator, waits, is a dead
//!    letter, or was named by a purge or by drop-oldest. Nobody deletes the only
//!    copy of anything else.
//! 2. Nothing is sent that was not reported, equal to the byte; nothing that was
//!    refused is kept or sent.
//! 3. No event is sent while an earlier one of its interaction waits undelivered
//!    where the sender could see it. Counted apart: a listing that is no snapshot
//!    while clocks differ; an earlier one that turned up after the first try.
//! 4. No window of `rate_period` has more than `rate_limit` receipts, over all
//!    drainers. Counted apart: a lease that expired under a stalled drainer, one
//!    that stalled between reserving and sending and then died or lost its lease,
//!    clocks that differ or jumped between instances, a damaged control record.
//!    Requests travel no longer than 30 ms; the throttle allows for a quarter of
//!    the period.
//! 5. An event that was stored is sent again only after a lost answer, a crash, or
//!    a lease that expired (or a damaged control record, which is a lease lost),
//!    and always with the same idempotency key. After a lease that expired, what
//!    another drainer sent and was refused can be put back by a redrive, and then
//!    the first one may send it again.
//! 6. Once faults stop and clocks agree, all that the coordinator would take is
//!    gone within the longest hold it asked for (an hour, where clocks jumped and
//!    there was any), two minutes, and four times what the throttle takes.
//! 7. A dead letter has a cause in its interaction: a refusal, a damaged record,
//!    or `max_retries` failures with others delivered in between and
//!    `dead_letter_after` gone by. While some interactions are poisoned or refused
//!    for ever, all others drain all the same, ten minutes later at most.
//! 8. Purge, redrive and drop-oldest delete only what they name, as they listed it.
//! 9. They work on whole interactions, and on none with a send in flight while its
//!    sender has the lease (as far as clocks agree); an interaction whose start an
//!    acceptor refused is refused by it as a whole.
//! 10. A purge says how many events it deleted, and `dropped_total` how many were
//!     dropped: exactly, where the store fails at nothing in between.
//! 11. What is open at the coordinator, its start known and its end not, overlaps
//!     in reported time with the newest event that was sent, or was in flight
//!     beside it: a coordinator that forgets orphans no more than that. Checked
//!     where one process delivers, the store and the clocks are sound, and no try
//!     has failed so far, since failures change the order.
//!
//! 12. What a request was answered 200 for is an event as in 1, whether this try stored it or an
//!     earlier one. A request that comes again on the day of its answer or the next, by the clock
//!     of who is asked, is answered the same and stores nothing, unless its kept answer was
//!     damaged. What is stored twice all the same has one idempotency key, and nothing else but
//!     200, full, or a store that failed is answered.
//!
//! That the oracle can fail is tested too: [`Sabotage`] has a lie for each.
#![deny(missing_docs)]

mod client;
mod coordinator;
mod coverage;
mod dice;
mod oracle;
mod plan;
mod requests;
mod run;
mod store;
mod world;

pub use coverage::Coverage;
pub use dice::Dice;
pub use oracle::{Invariant, Violation};
pub use plan::{Act, Action, Config, Faults, Mix, Model, Plan, Sabotage, Weather};
pub use run::{Failure, Outcome, run, shrink, trace};
