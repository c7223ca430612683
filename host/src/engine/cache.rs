//! The folder in which compiled code is kept between starts.

use std::path::Path;

use wasmtime::{Cache, CacheConfig};

use super::EngineError;
use crate::private;

/// Opens the cache at `dir`, which is made if it does not exist.
///
/// What lies there is run as it is, so a folder that others can write is refused, even one
/// with the sticky bit: they could put there what is not there yet.
pub(super) fn open(dir: &Path) -> Result<Cache, EngineError> {
    let unusable = |detail: String| EngineError::CacheUnusable {
        path: dir.to_owned(),
        detail,
    };
    private::make_folders(dir).map_err(|e| unusable(e.to_string()))?;
    // wasmtime takes absolute paths only.
    let dir = dir.canonicalize().map_err(|e| unusable(e.to_string()))?;
    let metadata = dir.metadata().map_err(|e| unusable(e.to_string()))?;
    if let Some(mode) = private::written_by_others(&metadata) {
        return Err(EngineError::CacheExposed { path: dir, mode });
    }
    let mut config = CacheConfig::new();
    config.with_directory(&dir);
    Cache::new(config).map_err(|e| unusable(format!("{e:#}")))
}
