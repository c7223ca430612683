//! Taking over what the old client could not deliver.
//!
//! The rows stay where they are, so that the old client can go on using its
//! file. Which ones were taken over is noted in our store.

use super::{Payload, Report, ReportError, Reporter};
use crate::engine::Action;
use crate::store::{LegacyCache, LegacyRow, Store, StoreError};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// Rows taken over at once.
const BATCH: u32 = 256;
/// What the keys begin with under which the rows that were taken over are noted.
const NOTE_KEY: &str = "imported";
/// Rows noted under one key.
const NOTED: usize = 4_096;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Events taken over.
    pub events: u64,
    /// Rows that had been taken over before.
    pub known: u64,
    /// Rows that hold no event, with what is wrong with them: the first ten.
    pub unreadable: Vec<String>,
    /// How many those are.
    pub unreadable_total: u64,
}

/// An import of the old client's `interaction_cache.db`.
#[derive(Debug)]
pub struct LegacyImport {
    // A connection cannot be shared among threads, and `run` may move between them.
    cache: Mutex<LegacyCache>,
}

impl LegacyImport {
    /// Opens the file, read-only.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not the old client's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        LegacyCache::open(path).map(|cache| Self {
            cache: Mutex::new(cache),
        })
    }

    fn cache(&self) -> MutexGuard<'_, LegacyCache> {
        self.cache.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Rows in the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn rows(&self) -> Result<u64, StoreError> {
        self.cache().count()
    }

    /// Reports what was not reported before, with its own timestamp and
    /// `mcp_id`. Calls `progress` with the number of rows looked at. May be
    /// run again at any time.
    ///
    /// # Errors
    ///
    /// The file or the store failed, or the outbox is full; what was taken
    /// over until then is noted.
    pub async fn run(
        &self,
        reporter: &Reporter,
        progress: impl Fn(u64),
    ) -> Result<Imported, ReportError> {
        let Some(inner) = &reporter.inner else {
            return Err(ReportError::Disabled);
        };
        let storage = |e: StoreError| ReportError::Storage(e.to_string());
        let mut notes = Notes::read(&*inner.factory.store).await.map_err(storage)?;
        let mut imported = Imported::default();
        let mut after = i64::MIN;
        let mut seen = 0;
        loop {
            let page = self.cache().page(after, BATCH).map_err(storage)?;
            let Some(last) = page.last() else {
                return Ok(imported);
            };
            after = last.id;
            seen += page.len() as u64;
            let (mut reports, mut marks) = (Vec::new(), Vec::new());
            for row in page {
                let mark = mark(&row);
                if !notes.known.insert(mark) {
                    imported.known += 1;
                    continue;
                }
                match event(&row) {
                    Ok(report) => {
                        reports.push(report);
                        marks.push(mark);
                    }
                    Err(why) => {
                        imported.unreadable_total += 1;
                        if imported.unreadable.len() < 10 {
                            imported.unreadable.push(format!("row {}: {why}", row.id));
                        }
                    }
                }
            }
            let results = reporter.report_many(reports).await;
            let (mut failure, mut noted) = (None, Vec::new());
            for (mark, result) in marks.into_iter().zip(results) {
                match result {
                    Ok(_) => {
                        imported.events += 1;
                        noted.push(mark);
                    }
                    Err(ReportError::InvalidInput(why)) => {
                        imported.unreadable_total += 1;
                        if imported.unreadable.len() < 10 {
                            imported.unreadable.push(why);
                        }
                    }
                    Err(refused) => failure = Some(refused),
                }
            }
            let saved = notes.save(&*inner.factory.store, &noted).await;
            saved.map_err(storage)?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            progress(seen);
        }
    }
}

/// Which rows were taken over: 8 bytes for each, under keys with numbers, so that noting some more
/// costs the same however many there are. Where the number is missing, a version of this program
/// wrote that had one key for all.
struct Notes {
    known: HashSet<[u8; 8]>,
    /// The number of the last key, and what is under it.
    number: u64,
    last: Vec<u8>,
}

impl Notes {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let mut notes = Self {
            known: HashSet::new(),
            number: 0,
            last: Vec::new(),
        };
        for key in store.list_keys_with(NOTE_KEY).await? {
            let number = match &key[NOTE_KEY.len()..] {
                "" => None,
                rest => match rest.strip_prefix('.').map(str::parse) {
                    Some(Ok(number)) => Some(number),
                    _ => continue, // another's
                },
            };
            let note = store.get(&key).await?.unwrap_or_default();
            notes.known.extend(note.as_chunks().0);
            if number.is_some_and(|number| number >= notes.number) {
                notes.number = number.unwrap_or_default();
                notes.last = note;
            }
        }
        Ok(notes)
    }

    async fn save(&mut self, store: &dyn Store, marks: &[[u8; 8]]) -> Result<(), StoreError> {
        if marks.is_empty() {
            return Ok(());
        }
        if self.last.len() / 8 >= NOTED {
            self.number += 1;
            self.last.clear();
        }
        self.last.extend(marks.iter().flatten());
        let key = format!("{NOTE_KEY}.{}", self.number);
        store.set(key, self.last.clone()).await
    }
}

/// Stands for a row, also in a copy of the file.
fn mark(row: &LegacyRow) -> [u8; 8] {
    let text = format!("{} {} {}", row.id, row.timestamp, row.interaction_data);
    mcp_reporter_core::outbox::interaction_hash(&text).to_be_bytes()
}

/// A UUID (version 8) that stands for a row.
fn idempotency_key(row: &LegacyRow) -> String {
    let [high, low] = ["", "idempotency key"].map(|salt| {
        let text = format!("{salt} {} {}", row.id, row.interaction_data);
        mcp_reporter_core::outbox::interaction_hash(&text)
    });
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff,
    )
}

/// The members of an old event. The payload keeps its bytes.
#[derive(serde::Deserialize)]
struct OldEvent<'a> {
    action: String,
    interaction_id: String,
    mcp_id: Option<String>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    request_data: Option<&'a RawValue>,
    #[serde(borrow)]
    progress_data: Option<&'a RawValue>,
    #[serde(borrow)]
    result_data: Option<&'a RawValue>,
    #[serde(borrow)]
    error_data: Option<&'a RawValue>,
}

fn event(row: &LegacyRow) -> Result<Report, String> {
    let old: OldEvent<'_> =
        serde_json::from_str(&row.interaction_data).map_err(|e| format!("is not an event: {e}"))?;
    let (action, data) = match old.action.as_str() {
        "interaction_start" => (Action::Start, old.request_data),
        "interaction_progress" => (Action::Progress, old.progress_data),
        "interaction_complete" => (Action::Complete, old.result_data),
        "interaction_error" => (Action::Error, old.error_data),
        other => return Err(format!("has the unknown action {other:?}")),
    };
    let data = data.ok_or("has no payload")?;
    let timestamp_ns = old
        .timestamp
        .and_then(|t| nanoseconds(t.get()))
        .unwrap_or_else(|| {
            // The row has the time at which it was put aside.
            (row.timestamp.max(0.0) * 1e9) as u64
        });
    Ok(Report {
        timestamp_ns: Some(timestamp_ns),
        mcp_id: old.mcp_id,
        // The same for each time the row is taken over, should a crash hide that it was.
        idempotency_key: Some(idempotency_key(row)),
        ..Report::new(action, old.interaction_id, Payload::from(data.get()))
    })
}

/// Nanoseconds of decimal seconds as Python prints them, no digit lost.
fn nanoseconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return text
            .parse::<f64>()
            .ok()
            .filter(|s| *s >= 0.0)
            .map(|s| (s * 1e9) as u64);
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digit_of_a_time_is_lost() {
        for (text, ns) in [
            ("1718000000.1234567", Some(1_718_000_000_123_456_700)),
            ("1718000000", Some(1_718_000_000_000_000_000)),
            ("0.5", Some(500_000_000)),
            ("1e3", Some(1_000_000_000_000)),
            ("-1", None),
            ("null", None),
        ] {
            assert_eq!(nanoseconds(text), ns, "{text}");
        }
    }

    #[test]
    fn the_payload_of_an_old_event_keeps_its_bytes() {
        let row = LegacyRow {
            id: 1,
            interaction_data: r#"{"action": "interaction_complete", "interaction_id": "i\u00e9", "mcp_id": "old", "timestamp": 1718000000.1234567, "result_data": {"a": 1e16, "b":  -0.0}}"#.into(),
            timestamp: 1.0,
            retry_count: 3,
        };
        let report = event(&row).unwrap();
        assert_eq!(report.interaction_id, "ié");
        assert_eq!(report.mcp_id.as_deref(), Some("old"));
        assert_eq!(report.data.as_str(), r#"{"a": 1e16, "b":  -0.0}"#);
        assert_eq!(report.timestamp_ns, Some(1_718_000_000_123_456_700));
    }

    #[test]
    fn a_row_without_an_event_says_what_is_wrong() {
        for (text, why) in [
            ("nonsense", "is not an event"),
            (r#"{"action":"x","interaction_id":"i"}"#, "unknown action"),
            (
                r#"{"action":"interaction_start","interaction_id":"i"}"#,
                "has no payload",
            ),
        ] {
            let row = LegacyRow {
                id: 1,
                interaction_data: text.into(),
                timestamp: 0.0,
                retry_count: 0,
            };
            let said = event(&row).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
