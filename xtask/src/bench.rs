//! Runs every benchmark and holds the figures to their bounds.
//!
//! The table at the end is the one of `docs/benchmarks.md`.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How often each comparison is made: the benchmarks name their rounds 1, 2, 3.
const ROUNDS: usize = 3;

/// The benchmarks that criterion runs.
const CRITERION: [&str; 3] = ["component", "group_commit", "delivery"];

/// A row of the table.
struct Row {
    figure: &'static str,
    measured: String,
    bound: String,
    kept: bool,
}

/// Runs everything, prints the table, and fails when a bound is missed.
pub fn run() -> Result<(), String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/xtask-bench");
    // What an earlier run left would pass for this one's.
    match fs::remove_dir_all(&home) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {e}", home.display()));
        }
        _ => {}
    }
    // All are built first, so that no compiler runs beside a measurement.
    super::run(cargo().args([
        "bench",
        "--package",
        "mcp-reporter",
        "--package",
        "mcp-reporter-tests",
        "--benches",
        "--no-run",
    ]))?;
    for name in CRITERION {
        let mut bench = cargo();
        bench.args(["bench", "--package", "mcp-reporter", "--bench", name]);
        super::run(bench.env("CRITERION_HOME", &home))?;
    }
    let mut figures = figures("mcp-reporter", "figures")?;
    figures.extend(self::figures("mcp-reporter", "serve")?);
    figures.extend(self::figures("mcp-reporter-tests", "spin")?);
    let rows = rows(&Estimates { home }, &figures)?;
    print!("{}", table(&rows));
    let missed = rows.iter().filter(|row| !row.kept).count();
    if missed == 0 {
        Ok(())
    } else {
        Err(format!("{missed} of {} bounds are missed", rows.len()))
    }
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a benchmark that prints `name<tab>value` lines.
fn figures(package: &str, name: &str) -> Result<HashMap<String, f64>, String> {
    let mut bench = cargo();
    bench.args(["bench", "--package", package, "--bench", name]);
    eprintln!("+ {bench:?}");
    let output = bench
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("{bench:?} cannot be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("{bench:?} failed: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    eprint!("{text}");
    let line = |line: &str| {
        let (name, value) = line.split_once('\t')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// What criterion found.
struct Estimates {
    home: PathBuf,
}

impl Estimates {
    /// The median time of one call, in nanoseconds.
    fn median_ns(&self, group: &str, bench: &str, round: usize) -> Result<f64, String> {
        // As criterion names folders: no characters that some file system refuses.
        let path = self.home.join(group).join(bench).join(round.to_string());
        let path = path.join("new/estimates.json");
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let text = fs::read_to_string(&path).map_err(|e| failed(&e))?;
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| failed(&e))?;
        json["median"]["point_estimate"]
            .as_f64()
            .ok_or_else(|| failed(&"it has no median"))
    }

    /// The median time in the middle round.
    fn time_ns(&self, group: &str, bench: &str) -> Result<f64, String> {
        let rounds = (1..=ROUNDS).map(|round| self.median_ns(group, bench, round));
        Ok(middle(rounds.collect::<Result<_, _>>()?))
    }

    /// How many times as long `bench` takes as `other` beside it, in the middle round.
    fn ratio(&self, group: &str, bench: &str, other: &str) -> Result<f64, String> {
        let rounds = (1..=ROUNDS).map(|round| {
            Ok::<_, String>(
                self.median_ns(group, bench, round)? / self.median_ns(group, other, round)?,
            )
        });
        Ok(middle(rounds.collect::<Result<_, _>>()?))
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rows(found: &Estimates, figures: &HashMap<String, f64>) -> Result<Vec<Row>, String> {
    let figure = |name: &str| {
        figures
            .get(name)
            .copied()
            .ok_or_else(|| format!("the figure {name} was not measured"))
    };
    let mut rows = Vec::new();

    for (title, group, batch, bound) in [
        (
            "component / native, one by one",
            "report one by one",
            1.0,
            2.2,
        ),
        (
            "component / native, batches of 64",
            "report in batches of 64",
            64.0,
            1.5,
        ),
    ] {
        let ratio = found.ratio(group, "component", "native")?;
        let each = |bench| Ok::<_, String>(found.time_ns(group, bench)? / batch / 1e3);
        let detail = format!(
            "{:.1} µs / {:.1} µs a report",
            each("component")?,
            each("native")?
        );
        rows.push(at_most_times(title, ratio, bound, &detail));
    }

    for (title, group, bound) in [
        (
            "64 callers / 1, durability power",
            "group commit, durability power",
            15.0,
        ),
        (
            "64 callers / 1, durability process",
            "group commit, durability process",
            1.5,
        ),
    ] {
        let gain = 64.0 / found.ratio(group, "callers 64", "callers 1")?;
        let rate = |bench, callers| Ok::<_, String>(callers * 1e9 / found.time_ns(group, bench)?);
        let (many, one) = (rate("callers 64", 64.0)?, rate("callers 1", 1.0)?);
        let detail = format!("{many:.0}/s / {one:.0}/s");
        rows.push(at_least(title, gain, bound, "x", &format!(" ({detail})")));
        if group.ends_with("process") {
            rows.push(at_least(
                "reports, 64 callers, process",
                many,
                60_000.0,
                "/s",
                "",
            ));
        }
    }

    let group = "delivery, 16 in flight";
    let rate = |bench| Ok::<_, String>(10_000.0 * 1e9 / found.time_ns(group, bench)?);
    let (reporter, bare) = (rate("reporter")?, rate("bare client")?);
    rows.push(at_least(
        "delivery, 16 in flight",
        reporter,
        18_000.0,
        "/s",
        "",
    ));
    let share = 100.0 / found.ratio(group, "reporter", "bare client")?;
    rows.push(at_least(
        "delivery / bare client",
        share,
        25.0,
        " %",
        &format!(" (of {bare:.0}/s)"),
    ));

    rows.push(at_most(
        "start to first report",
        figure("start_ms")?,
        50.0,
        " ms",
    ));
    rows.push(at_most(
        "`mcp-reporter report`, in all",
        figure("command_ms")?,
        50.0,
        " ms",
    ));
    rows.push(at_most(
        "resident after 10,000 reports",
        figure("resident_mb")?,
        40.0,
        " MB",
    ));

    for (title, fault, healthy) in [
        (
            "p99 of 1,000, hanging / healthy",
            "p99_hang_ms",
            "p99_healthy_ms",
        ),
        (
            "p99 of 1,000, a byte a second / healthy",
            "p99_drip_ms",
            "p99_healthy_ms",
        ),
        (
            "p99 of 1,000, 256 KiB never read / healthy",
            "p99_256k_no_read_ms",
            "p99_256k_healthy_ms",
        ),
    ] {
        let (fault, healthy) = (figure(fault)?, figure(healthy)?);
        let detail = format!("{fault:.1} ms / {healthy:.1} ms");
        rows.push(at_most_times(title, fault / healthy, 1.5, &detail));
    }

    let peer = format!(" (of {:.0}/s)", figure("serve_peer_per_s")?);
    for (title, name, bound, unit, detail) in [
        ("serve, 16 connections", "serve_per_s", 15_000.0, "/s", ""),
        ("serve / FastAPI", "serve_times_peer", 5.0, "x", &peer),
    ] {
        rows.push(at_least(title, figure(name)?, bound, unit, detail));
    }
    rows.push(at_most(
        "serve, p99 at half that load",
        figure("serve_p99_ms")?,
        20.0,
        " ms",
    ));
    rows.push(at_most_times(
        "serve, p99 beside 11,000 that hang / alone",
        figure("serve_p99_crowded_times")?,
        2.0,
        &format!("{:.1} ms alone", figure("serve_p99_ms")?),
    ));

    let rate = format!(" (at {:.0}/s)", figure("spin_sqlite_per_s")?);
    rows.push(at_least(
        "Spin profile, accepting / its own sets",
        figure("spin_sqlite_of_sets")? * 100.0,
        80.0,
        " %",
        &rate,
    ));
    Ok(rows)
}

fn at_most_times(figure: &'static str, ratio: f64, bound: f64, detail: &str) -> Row {
    Row {
        figure,
        measured: format!("{ratio:.2}x ({detail})"),
        bound: format!("<= {bound}x"),
        kept: ratio <= bound,
    }
}

fn at_most(figure: &'static str, value: f64, bound: f64, unit: &str) -> Row {
    Row {
        figure,
        measured: format!("{value:.1}{unit}"),
        bound: format!("<= {bound}{unit}"),
        kept: value <= bound,
    }
}

fn at_least(figure: &'static str, value: f64, bound: f64, unit: &str, detail: &str) -> Row {
    let digits = if value < 1_000.0 { 1 } else { 0 };
    Row {
        figure,
        measured: format!("{value:.digits$}{unit}{detail}"),
        bound: format!(">= {bound}{unit}"),
        kept: value >= bound,
    }
}

/// The rows as a table in Markdown.
fn table(rows: &[Row]) -> String {
    let mut text = String::from("| figure | measured | bound | |\n| --- | --- | --- | --- |\n");
    for Row {
        figure,
        measured,
        bound,
        kept,
    } in rows
    {
        let verdict = if *kept { "ok" } else { "MISSED" };
        text.push_str(&format!(
            "| {figure} | {measured} | {bound} | {verdict} |\n"
        ));
    }
    text
}
