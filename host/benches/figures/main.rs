//! What is no repeated call, and so none of criterion's: the start of a process, its memory, and
//! how long a burst of callers waits while the coordinator fails.
//!
//! Prints one line per figure, `name<tab>value`, on stdout, for `cargo xtask bench`; what it is
//! doing goes to stderr.

mod latency;
mod start;
#[path = "../support/mod.rs"]
mod support;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some(start::CHILD) => start::child(&args[2..]),
        // Without it this is `cargo test`, which only wants to see it built.
        _ if args.iter().any(|arg| arg == "--bench") => {
            start::measure();
            latency::measure();
        }
        _ => {}
    }
}

/// Prints a figure.
fn figure(name: &str, value: f64) {
    println!("{name}\t{value}");
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
