//! Waiting for a file that another process has locked.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use super::shared::Shared;
use crate::store::StoreError;

/// How long a lock is waited for.
const LIMIT: Duration = Duration::from_secs(30);
/// The same while the store is being closed.
const CLOSING_LIMIT: Duration = Duration::from_secs(1);
/// The first pause between two tries. Other writers hold the lock for tens of microseconds.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_millis(10);

/// Runs `work` until it does not fail for a lock, or 30 s have passed since `since`.
///
/// SQLite's own busy handler is not used: it pauses up to 100 ms, and not every lock (that
/// of a recovering log, say) is waited for.
pub(super) fn patiently<T>(
    shared: &Shared,
    since: Instant,
    mut work: impl FnMut() -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let mut pause = FIRST_PAUSE;
    let mut closing_since = None;
    loop {
        match work() {
            Ok(value) => return Ok(value),
            Err(error) if is_locked(&error) => {}
            Err(error) => return Err(StoreError::from_sqlite(&shared.path, &error)),
        }
        if shared.closing.load(Ordering::Relaxed) {
            closing_since.get_or_insert_with(Instant::now);
        }
        let expired = since.elapsed() >= LIMIT
            || closing_since.is_some_and(|closing| closing.elapsed() >= CLOSING_LIMIT);
        if expired {
            return Err(StoreError::Busy {
                path: shared.path.clone(),
                waited_s: since.elapsed().as_secs(),
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}
