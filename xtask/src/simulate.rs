//! Random runs of the simulator, for as long as one likes.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mcp_reporter_simulator::{Coverage, Failure, Plan, run as simulate, shrink, trace};

struct Arguments {
    minutes: Option<f64>,
    seed: Option<u64>,
}

/// Runs seeds for so many minutes on all cores, or one seed with all it does.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let Arguments { minutes, seed } = parse(arguments)?;
    match (minutes, seed) {
        (None, Some(seed)) => replay(seed),
        (Some(minutes), seed) => explore(Duration::from_secs_f64(minutes * 60.0), seed),
        (None, None) => Err("simulate needs --minutes N, --seed S, or both".into()),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut minutes, mut seed) = (None, None);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let bad = |allowed| format!("{name} {value:?}: {allowed} is wanted");
        match name.as_str() {
            "--minutes" => {
                let number = value.parse().ok().filter(|n| (0.0..=100_000.0).contains(n));
                minutes = Some(number.ok_or_else(|| bad("a number of minutes up to 100000"))?);
            }
            "--seed" => seed = Some(value.parse().map_err(|_| bad("a whole number"))?),
            _ => return Err(format!("{name}: only --minutes and --seed are known")),
        }
    }
    Ok(Arguments { minutes, seed })
}

fn replay(seed: u64) -> Result<(), String> {
    let plan = Plan::any(seed);
    let (outcome, lines) = trace(&plan);
    println!("{:#?}", plan.config);
    for line in lines {
        println!("{line}");
    }
    print!("{}", outcome.coverage);
    match shrink(&plan) {
        Some(failure) => Err(failure.to_string()),
        None => Ok(()),
    }
}

fn explore(time: Duration, seed: Option<u64>) -> Result<(), String> {
    let first = seed.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |d| d.as_nanos() as u64)
    });
    println!("seeds from {first} on");
    let end = Instant::now() + time;
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let coverage = Mutex::new(Coverage::default());
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut reached = Coverage::default();
                while Instant::now() < end && !failed.load(Ordering::Relaxed) {
                    let plan = Plan::any(next.fetch_add(1, Ordering::Relaxed));
                    let outcome = simulate(&plan);
                    reached.merge(&outcome.coverage);
                    if outcome.violation.is_some()
                        && !failed.swap(true, Ordering::Relaxed)
                        && let Ok(mut slot) = failure.lock()
                    {
                        *slot = shrink(&plan);
                    }
                }
                if let Ok(mut all) = coverage.lock() {
                    all.merge(&reached);
                }
            });
        }
    });
    let coverage = coverage.into_inner().unwrap_or_default();
    print!("{coverage}");
    println!(
        "{} runs reached {} distinct actions, faults, answers and verdicts",
        next.into_inner().wrapping_sub(first),
        coverage.distinct(),
    );
    match failure.into_inner().unwrap_or_default() {
        Some(failure) => Err(failure.to_string()),
        None => Ok(()),
    }
}
