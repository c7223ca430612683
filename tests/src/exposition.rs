//! Prometheus' text format, version 0.0.4, read strictly: what its parser would
//! take with a shrug is an error here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What one scrape said.
#[derive(Debug, Default)]
pub struct Exposition {
    types: BTreeMap<String, String>,
    help: BTreeMap<String, String>,
    /// By name with sorted labels: `name{a="b"}`.
    samples: BTreeMap<String, f64>,
    names: BTreeSet<String>,
}

/// Scrapes `http://{address}/metrics` and reads the answer.
pub async fn scrape(address: SocketAddr) -> Exposition {
    let (head, body) = get(address, "GET", "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let head = head.to_lowercase();
    let text = "\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8";
    assert!(head.contains(text), "{head}");
    Exposition::parse(&body).unwrap_or_else(|wrong| panic!("{wrong}\n{body}"))
}

/// The head and the body of one answer.
pub async fn get(address: SocketAddr, method: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("nobody listens");
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is not taken");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("the answer is cut or not UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("no end of the head");
    (head.to_owned(), body.to_owned())
}

impl Exposition {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// The line that is wrong, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found = Self::default();
        if !text.ends_with('\n') {
            return Err("the last line has no end".to_owned());
        }
        for line in text.lines().filter(|line| !line.is_empty()) {
            found.line(line).map_err(|why| format!("{why}: {line}"))?;
        }
        for name in found.types.keys() {
            if !found.names.contains(name) {
                return Err(format!("{name} has a type and no sample"));
            }
        }
        found.histograms()?;
        Ok(found)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("no text")?;
            return new(self.help.insert(name.to_owned(), help.to_owned()));
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("no type")?;
            if !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(format!("type {kind}"));
            }
            if self.names.contains(name) {
                return Err("the type comes after a sample".to_owned());
            }
            return new(self.types.insert(name.to_owned(), kind.to_owned()));
        }
        if line.starts_with('#') {
            return Err("a comment".to_owned());
        }
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let value = match value {
            "+Inf" => f64::INFINITY,
            value if value.starts_with(|c: char| c.is_ascii_digit()) => {
                value.parse().map_err(|_| "not a number")?
            }
            _ => return Err("not a number from 0".to_owned()),
        };
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').ok_or("no }")?),
            None => (series, ""),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err("the name".to_owned());
        }
        let labels = self::labels(labels)?;
        let family = self.family(name)?;
        let le = labels.iter().any(|label| label.starts_with("le="));
        if le != (self.types[&family] == "histogram" && name.ends_with("_bucket")) {
            return Err("le stands where it must not, or does not where it must".to_owned());
        }
        self.names.insert(family);
        new(self.samples.insert(series_name(name, &labels), value))
    }

    /// The metric that a sample belongs to.
    fn family(&self, name: &str) -> Result<String, String> {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            let base = name.strip_suffix(suffix)?;
            (self.types.get(base)? == "histogram").then(|| base.to_owned())
        });
        let plain = || self.types.contains_key(name).then(|| name.to_owned());
        let family = histogram.or_else(plain).ok_or("no type before it")?;
        if !self.help.contains_key(&family) {
            return Err("no help before it".to_owned());
        }
        Ok(family)
    }

    /// Buckets grow, and the last one holds them all.
    fn histograms(&self) -> Result<(), String> {
        let mut series = BTreeMap::<String, Vec<(f64, f64)>>::new();
        for (name, value) in &self.samples {
            let Some((base, labels)) = name.split_once("_bucket{") else {
                continue;
            };
            let labels: Vec<_> = labels.trim_end_matches('}').split(',').collect();
            let (le, rest): (Vec<_>, Vec<_>) = labels
                .into_iter()
                .partition(|label| label.starts_with("le="));
            let bound = le.first().map(|le| le[3..].trim_matches('"'));
            let bound = match bound {
                Some("+Inf") => f64::INFINITY,
                bound => bound
                    .and_then(|bound| bound.parse().ok())
                    .ok_or_else(|| format!("the bound of {name}"))?,
            };
            let rest: Vec<String> = rest.into_iter().map(str::to_owned).collect();
            series
                .entry(series_name(&format!("{base}_count"), &rest))
                .or_default()
                .push((bound, *value));
        }
        for (count, mut buckets) in series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let all = self.samples.get(&count).copied();
            let (bound, last) = buckets[buckets.len() - 1];
            if !bound.is_infinite() || Some(last) != all {
                return Err(format!("{count} is not what its last bucket has"));
            }
            if buckets.windows(2).any(|pair| pair[0].1 > pair[1].1) {
                return Err(format!("the buckets of {count} shrink"));
            }
        }
        Ok(())
    }

    /// The metrics and their types.
    pub fn types(&self) -> &BTreeMap<String, String> {
        &self.types
    }

    /// The value of a series, as `name{label="value"}`, labels sorted. Panics
    /// when there is none.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        match self.samples.get(series) {
            Some(value) => *value,
            None => panic!("{series} is not in {:#?}", self.samples),
        }
    }

    /// The sum over all series of a metric.
    pub fn sum(&self, name: &str) -> f64 {
        let of = |series: &str| series.split('{').next() == Some(name);
        let values = self.samples.iter().filter(|(series, _)| of(series));
        values.map(|(_, value)| value).sum()
    }
}

fn new<T>(before: Option<T>) -> Result<(), String> {
    match before {
        None => Ok(()),
        Some(_) => Err("it is there twice".to_owned()),
    }
}

/// `a="b",c="d"`, sorted. The values here need no escapes, so none is allowed.
fn labels(text: &str) -> Result<Vec<String>, String> {
    let mut labels: Vec<_> = text
        .split(',')
        .filter(|label| !label.is_empty())
        .map(str::to_owned)
        .collect();
    for label in &labels {
        let (name, value) = label.split_once('=').ok_or("a label without =")?;
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        let value = value.ok_or("a label without quotes")?;
        if name.is_empty() || value.contains(['"', '\\']) {
            return Err("a label".to_owned());
        }
    }
    labels.sort();
    Ok(labels)
}

fn series_name(name: &str, labels: &[String]) -> String {
    if labels.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}
