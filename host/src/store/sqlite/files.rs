//! The file and its folder: made, checked, kept aside when damaged.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::private;
use crate::store::{StoreError, StoreWarning};

/// What SQLite puts beside its file. The log goes first when all are renamed: left behind,
/// it would be replayed into the fresh file.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How long another process that opens a store in the folder is waited for.
const FOLDER_LOCK_LIMIT: Duration = Duration::from_secs(5);

/// Makes the folder (0700) of the absolute `path` if absent, refuses one that others can write.
pub(super) fn prepare_folder(path: &Path) -> Result<(), StoreError> {
    let folder = folder(path)?;
    match fs::metadata(folder) {
        Ok(meta) => refuse_exposed(folder, &meta),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            private::make_folders(folder).map_err(|e| StoreError::unusable(path, &e))
        }
        Err(e) => Err(StoreError::unusable(path, &e)),
    }
}

/// Makes the file (0600) if absent, refuses one that others can write.
pub(super) fn prepare_file(path: &Path) -> Result<Option<StoreWarning>, StoreError> {
    make_file(path).map_err(|e| StoreError::unusable(path, &e))?;
    let meta = fs::metadata(path).map_err(|e| StoreError::unusable(path, &e))?;
    if !meta.is_file() {
        return Err(StoreError::NotAFile {
            path: path.to_owned(),
        });
    }
    refuse_exposed(path, &meta)?;
    tighten(path, &meta)
}

/// Renames the damaged file, and what SQLite put beside it, to `<name>.corrupt-<unix
/// seconds>`; returns the new path.
pub(super) fn keep_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    // A name once given is not given again: renaming would replace what was kept before.
    let kept = (seconds..)
        .map(|seconds| beside(path, &format!(".corrupt-{seconds}")))
        .find(|kept| !taken(kept) && SIDE_FILES.iter().all(|side| !taken(&beside(kept, side))))
        .unwrap_or_else(|| beside(path, ".corrupt"));
    for side in SIDE_FILES {
        match fs::rename(beside(path, side), beside(&kept, side)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(StoreError::unusable(path, &e));
            }
            _ => {}
        }
    }
    fs::rename(path, &kept).map_err(|e| StoreError::unusable(path, &e))?;
    Ok(kept)
}

/// Holds off others that would open a store in the same folder, for one of them may be keeping
/// a damaged file aside. None where the system cannot lock a folder, or the lock was not to be
/// had.
pub(super) fn lock_folder(path: &Path) -> Option<File> {
    let folder = File::open(folder(path).ok()?).ok()?;
    let began = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) if began.elapsed() < FOLDER_LOCK_LIMIT => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(_) => return None,
        }
    }
}

/// Notes that the file was found damaged while in use.
pub(super) fn mark_damaged(path: &Path) {
    // Without the note the next start may not look closely, and damage is met again in use.
    let _ = private::make_new_file(&damage_mark(path));
}

/// Whether the file was found damaged while in use.
pub(super) fn is_marked_damaged(path: &Path) -> bool {
    taken(&damage_mark(path))
}

/// Removes the note that the file is damaged.
pub(super) fn unmark_damaged(path: &Path) {
    // A note left behind costs the next start a closer look.
    let _ = fs::remove_file(damage_mark(path));
}

/// Which file is at a path, so that a swap can be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    /// Of the file at `path`; none where the system has no such thing.
    pub(super) fn of(path: &Path) -> Option<Self> {
        identity(&fs::metadata(path).ok()?)
    }

    /// Whether `path` surely leads to another file or to none.
    pub(super) fn has_left(self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(meta) => identity(&meta) != Some(self),
            Err(e) => e.kind() == ErrorKind::NotFound,
        }
    }
}

fn folder(path: &Path) -> Result<&Path, StoreError> {
    path.parent().ok_or_else(|| StoreError::NotAFile {
        path: path.to_owned(),
    })
}

/// `<path><suffix>`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn damage_mark(path: &Path) -> PathBuf {
    beside(path, ".damaged")
}

fn taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Makes the file unless it is there.
fn make_file(path: &Path) -> io::Result<()> {
    // Closing any handle of a file drops every lock that this process holds on it, SQLite's
    // too (POSIX). So the file is opened here only if it is new, and nobody else in this
    // process may open it before it is closed again.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match private::make_new_file(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn identity(meta: &fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    Some(Identity(meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<Identity> {
    None
}

/// Refuses what others can write or replace.
fn refuse_exposed(path: &Path, meta: &fs::Metadata) -> Result<(), StoreError> {
    match private::replaced_by_others(meta) {
        Some(mode) => Err(StoreError::Exposed {
            path: path.to_owned(),
            mode,
        }),
        None => Ok(()),
    }
}

/// Lets only the owner read the file, and what SQLite put beside it.
fn tighten(path: &Path, meta: &fs::Metadata) -> Result<Option<StoreWarning>, StoreError> {
    let Some(mode) = private::open_to_others(meta) else {
        return Ok(None);
    };
    private::close_to_others(path).map_err(|e| StoreError::unusable(path, &e))?;
    for side in SIDE_FILES {
        match private::close_to_others(&beside(path, side)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(StoreError::unusable(path, &e));
            }
            _ => {}
        }
    }
    Ok(Some(StoreWarning::Tightened {
        path: path.to_owned(),
        mode,
    }))
}
