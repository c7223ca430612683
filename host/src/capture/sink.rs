//! Reports on their way into the outbox.

use crate::reporter::{Report, ReportError, Reporter};
use crate::{Action, Outcome};
use mcp_reporter_capture as capture;
use mcp_reporter_core::event;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How many are stored at once.
const BATCH: usize = 256;

/// How long a store that fails is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Most interactions that are known to be skipped.
const MOST_SKIPPED: usize = 100_000;

fn action(action: event::Action) -> Action {
    match action {
        event::Action::Start => Action::Start,
        event::Action::Progress => Action::Progress,
        event::Action::Complete => Action::Complete,
        event::Action::Error => Action::Error,
    }
}

/// Stores reports, in order.
pub(super) struct Sink {
    reporter: Reporter,
    /// Interactions whose start was refused: nothing of them is reported.
    skipped: HashSet<String>,
    skipped_total: u64,
    lost: u64,
    said_full: bool,
    said_failed: bool,
}

impl Sink {
    pub fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            skipped: HashSet::new(),
            skipped_total: 0,
            lost: 0,
            said_full: false,
            said_failed: false,
        }
    }

    /// Stores all of `reports`, and leaves it empty.
    pub async fn store(&mut self, reports: &mut Vec<capture::Report>) {
        let mut all = reports.drain(..).peekable();
        while all.peek().is_some() {
            let mut batch: Vec<Report> = Vec::new();
            for report in all.by_ref().take(BATCH) {
                if self.skipped.contains(&report.interaction_id) {
                    if matches!(
                        report.action,
                        event::Action::Complete | event::Action::Error
                    ) {
                        self.skipped.remove(&report.interaction_id);
                    }
                    continue;
                }
                batch.push(Report {
                    timestamp_ns: Some(report.timestamp_ns),
                    traceparent: report.traceparent,
                    ..Report::new(action(report.action), report.interaction_id, report.data)
                });
            }
            self.store_batch(batch).await;
        }
    }

    async fn store_batch(&mut self, mut batch: Vec<Report>) {
        let began = Instant::now();
        while !batch.is_empty() {
            let results = self.reporter.report_many(batch.clone()).await;
            let mut again = Vec::new();
            for (report, result) in batch.into_iter().zip(results) {
                // Whose start was refused just now, in this batch.
                let skipped = self.skipped.contains(&report.interaction_id);
                match result {
                    Ok(Outcome::Queued | Outcome::Delivered | Outcome::Disabled) => {}
                    Err(_) if skipped => {
                        if matches!(report.action, Action::Complete | Action::Error) {
                            self.skipped.remove(&report.interaction_id);
                        }
                    }
                    Err(ReportError::Storage(_) | ReportError::Busy(_))
                        if began.elapsed() < PATIENCE =>
                    {
                        again.push(report);
                    }
                    Err(why) => self.refused(&report, &why),
                }
            }
            batch = again;
            if !batch.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn refused(&mut self, report: &Report, why: &ReportError) {
        let said = if matches!(why, ReportError::OutboxFull(_)) {
            &mut self.said_full
        } else {
            &mut self.said_failed
        };
        if !std::mem::replace(said, true) {
            tracing::warn!("interactions are not reported: {why}");
        }
        if report.action == Action::Start {
            self.skipped_total += 1;
            if self.skipped.len() < MOST_SKIPPED {
                self.skipped.insert(report.interaction_id.clone());
            }
        } else {
            self.lost += 1;
        }
    }

    /// What was not stored.
    pub fn losses(&self) -> Vec<String> {
        let skipped = (self.skipped_total > 0)
            .then(|| format!("{} interactions were not reported", self.skipped_total));
        let lost = (self.lost > 0).then(|| {
            format!(
                "{} events of interactions that had begun were lost",
                self.lost
            )
        });
        skipped.into_iter().chain(lost).collect()
    }
}
