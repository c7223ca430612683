//! Running a plan, and shrinking one that fails.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::coverage::Coverage;
use crate::oracle::{Invariant, Violation};
use crate::plan::Plan;
use crate::world::World;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The first invariant that does not hold, if any.
    pub violation: Option<Violation>,
    /// What it reached.
    pub coverage: Coverage,
}

/// Runs a plan. The same plan gives the same outcome.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    play(plan, false).0
}

/// Runs a plan and says what happened, line by line.
#[must_use]
pub fn trace(plan: &Plan) -> (Outcome, Vec<String>) {
    play(plan, true)
}

fn play(plan: &Plan, traced: bool) -> (Outcome, Vec<String>) {
    let world = World::new(plan, traced);
    let broken = || !world.ledger.borrow().violations.is_empty();
    let played = catch_unwind(AssertUnwindSafe(|| {
        for action in &plan.actions {
            world.act(*action);
            if broken() {
                return;
            }
        }
        world.drain();
        world.check();
    }));
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().cloned();
        let what = text.unwrap_or_else(|| "a panic".into());
        world.ledger.borrow_mut().violate(Invariant::NoPanic, what);
    }
    let violation = world.ledger.borrow().violations.first().cloned();
    let trace = world.trace.take().unwrap_or_default();
    let outcome = Outcome {
        violation,
        coverage: world.coverage.into_inner(),
    };
    (outcome, trace)
}

/// A plan that fails, made small.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The plan.
    pub plan: Plan,
    /// What it violates.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.plan.seed, self.violation)?;
        writeln!(f, "{:?}", self.plan.config)?;
        for action in &self.plan.actions {
            writeln!(f, "  {action:?},")?;
        }
        Ok(())
    }
}

/// Makes a failing plan small: leaves out actions and faults as long as the
/// same invariant is violated. None when the plan does not fail.
#[must_use]
pub fn shrink(plan: &Plan) -> Option<Failure> {
    let mut best = Failure {
        violation: run(plan).violation?,
        plan: plan.clone(),
    };
    let invariant = best.violation.invariant;
    let fails = |plan: &Plan| -> Option<Violation> {
        run(plan).violation.filter(|v| v.invariant == invariant)
    };
    loop {
        let before = size(&best.plan);
        // Large pieces first.
        let mut piece = best.plan.actions.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < best.plan.actions.len() {
                let mut smaller = best.plan.clone();
                smaller
                    .actions
                    .drain(at..(at + piece).min(best.plan.actions.len()));
                match fails(&smaller) {
                    Some(violation) => {
                        best = Failure {
                            plan: smaller,
                            violation,
                        }
                    }
                    None => at += piece,
                }
            }
            if piece == 1 {
                break;
            }
            piece /= 2;
        }
        for at in 0..best.plan.actions.len() {
            let mut calmer = best.plan.clone();
            if std::mem::replace(&mut calmer.actions[at].faulty, false)
                && let Some(violation) = fails(&calmer)
            {
                best = Failure {
                    plan: calmer,
                    violation,
                };
            }
        }
        if size(&best.plan) == before {
            return Some(best);
        }
    }
}

fn size(plan: &Plan) -> (usize, usize) {
    let faulty = plan.actions.iter().filter(|a| a.faulty).count();
    (plan.actions.len(), faulty)
}

/// The invariants, for those who count them.
impl Invariant {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::NoPanic,
        Self::NothingLost,
        Self::NothingElse,
        Self::InOrder,
        Self::Throttled,
        Self::OnlyOnce,
        Self::Drains,
        Self::NoFalseDeadLetter,
        Self::OnlyTheNamed,
        Self::Whole,
        Self::Counted,
        Self::OldestFirst,
        Self::SameAgain,
    ];
}
