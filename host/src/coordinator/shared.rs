//! What the serving thread and the handle share.

use tokio::sync::watch;

use super::ledger::Ledger;

/// The keys let in, what arrived, and who is told of it.
pub(super) struct Shared {
    pub(super) api_keys: Vec<String>,
    pub(super) validate: bool,
    pub(super) ledger: Ledger,
    pub(super) no_read: watch::Sender<bool>,
    pub(super) printer: Option<std::sync::mpsc::Sender<String>>,
}

impl Shared {
    pub(super) fn print(&self, line: impl FnOnce() -> String) {
        if let Some(printer) = &self.printer {
            // It is gone when stdout is.
            let _ = printer.send(line());
        }
    }
}
