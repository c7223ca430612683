//! One interaction, from its start to its end.

use super::{Payload, PerformanceMonitor, ReportError, Reporter};
use crate::engine::{Action, Outcome};
use serde_json::json;

/// One interaction: its start was reported when it was made.
///
/// Finish it with [`complete`](Self::complete) or [`fail`](Self::fail). One
/// that is dropped unfinished reports an error `abandoned`, so that the
/// coordinator does not wait for ever.
#[derive(Debug)]
#[must_use = "an interaction that is dropped at once is reported as abandoned"]
pub struct Interaction {
    reporter: Reporter,
    id: String,
    monitor: Option<PerformanceMonitor>,
    open: bool,
}

impl Interaction {
    pub(super) async fn start(
        reporter: Reporter,
        data: Payload,
        monitor: bool,
    ) -> Result<Self, ReportError> {
        let id = reporter.new_interaction_id();
        // From here on: a start that is being stored when its caller goes away is abandoned too.
        let mut interaction = Self {
            reporter,
            id,
            monitor: None,
            open: true,
        };
        let started = interaction
            .reporter
            .report(Action::Start, interaction.id.clone(), data)
            .await;
        if let Err(refused) = started {
            interaction.open = false;
            return Err(refused);
        }
        let measured = monitor && interaction.reporter.is_enabled();
        interaction.monitor = measured.then(PerformanceMonitor::start);
        Ok(interaction)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reports that it goes on.
    ///
    /// # Errors
    ///
    /// As [`Reporter::report`].
    pub async fn progress(&self, data: impl Into<Payload>) -> Result<Outcome, ReportError> {
        self.reporter
            .report(Action::Progress, self.id.clone(), data)
            .await
    }

    /// Reports that it ended well. A monitored one adds `performance_metrics`.
    ///
    /// # Errors
    ///
    /// As [`Reporter::report`]; the interaction is then abandoned.
    pub async fn complete(self, data: impl Into<Payload>) -> Result<Outcome, ReportError> {
        self.end(Action::Complete, data.into()).await
    }

    /// Reports that it ended with an error: usually an object with
    /// `error_type`, `error_message` and `error_code`. A monitored one adds
    /// `performance_metrics`.
    ///
    /// # Errors
    ///
    /// As [`Reporter::report`]; the interaction is then abandoned.
    pub async fn fail(self, data: impl Into<Payload>) -> Result<Outcome, ReportError> {
        self.end(Action::Error, data.into()).await
    }

    async fn end(mut self, action: Action, data: Payload) -> Result<Outcome, ReportError> {
        let data = match &self.monitor {
            Some(monitor) => data.with_member("performance_metrics", &monitor.finish().to_json()),
            None => data,
        };
        // Handed over with the first poll, and then stored even if this future is dropped.
        self.open = false;
        let result = self.reporter.report(action, self.id.clone(), data).await;
        self.open = result.is_err();
        result
    }
}

impl Drop for Interaction {
    fn drop(&mut self) {
        if self.open {
            let data = json!({
                "error_type": "abandoned",
                "error_message": "the interaction was dropped before it was finished",
                "error_code": null,
            });
            self.reporter
                .report_detached(Action::Error, &self.id, data.into());
        }
    }
}
