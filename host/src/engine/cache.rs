//! The folder in which compiled code is kept between starts.

use std::{fs, io, path::Path};

use wasmtime::{Cache, CacheConfig};

use super::EngineError;

/// Opens the cache at `dir`, which is made if it does not exist.
///
/// What lies there is run as it is, so a folder that others can write is refused.
pub(super) fn open(dir: &Path) -> Result<Cache, EngineError> {
    let unusable = |detail: String| EngineError::CacheUnusable {
        path: dir.to_owned(),
        detail,
    };
    create_private(dir).map_err(|e| unusable(e.to_string()))?;
    // wasmtime takes absolute paths only.
    let dir = dir.canonicalize().map_err(|e| unusable(e.to_string()))?;
    refuse_exposed(&dir)?;
    let mut config = CacheConfig::new();
    config.with_directory(&dir);
    Cache::new(config).map_err(|e| unusable(format!("{e:#}")))
}

#[cfg(unix)]
fn create_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

#[cfg(not(unix))]
fn create_private(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(unix)]
fn refuse_exposed(dir: &Path) -> Result<(), EngineError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = match fs::metadata(dir) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) => {
            return Err(EngineError::CacheUnusable {
                path: dir.to_owned(),
                detail: error.to_string(),
            });
        }
    };
    if mode & 0o022 != 0 {
        return Err(EngineError::CacheExposed {
            path: dir.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_dir: &Path) -> Result<(), EngineError> {
    Ok(())
}
