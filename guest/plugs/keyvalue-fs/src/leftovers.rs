//! What killed processes left in `new/`.

use crate::{bindings::store::Error, folder::Folder, register};

/// How old it must be: longer than anybody takes to write a value. Whoever does take longer finds
/// its file gone when it renames it, and reports a failure.
const OLD_S: u64 = 3600;

/// Removes what is old.
pub fn remove(new: &Folder) -> Result<(), Error> {
    for name in new.names()? {
        if new.age_s(&name).is_none_or(|age_s| age_s < OLD_S) {
            continue;
        }
        // A value, or a register that never came into its place.
        if new.remove(&name).is_err() {
            register::discard(new, &name)?;
        }
    }
    Ok(())
}
