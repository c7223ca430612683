//! The file and its folder: made, checked, kept aside when damaged.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
            make_folder(folder).map_err(|e| StoreError::unusable(path, &e))
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
    let _ = create_new(&damage_mark(path));
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
    match create_new(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Makes the file, 0600; fails if there is one.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
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

/// Refuses what group or others can write. A folder whose sticky bit is set is fine: nobody
/// but the owner can rename or delete a file in it.
#[cfg(unix)]
fn refuse_exposed(path: &Path, meta: &fs::Metadata) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = meta.permissions().mode() & 0o7777;
    let sticky_folder = meta.is_dir() && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !sticky_folder {
        return Err(StoreError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), StoreError> {
    Ok(())
}

/// Lets only the owner read the file, and what SQLite put beside it.
#[cfg(unix)]
fn tighten(path: &Path, meta: &fs::Metadata) -> Result<Option<StoreWarning>, StoreError> {
    use std::os::unix::fs::PermissionsExt as _;
    let owner_only = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    owner_only(path).map_err(|e| StoreError::unusable(path, &e))?;
    for side in SIDE_FILES {
        match owner_only(&beside(path, side)) {
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

#[cfg(not(unix))]
fn tighten(_: &Path, _: &fs::Metadata) -> Result<Option<StoreWarning>, StoreError> {
    Ok(None)
}
