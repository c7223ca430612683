//! How the demo says that a file, a process or a pipe failed it.

use crate::cli::error::Error;

/// The error that ends it.
pub(super) fn io(error: std::io::Error) -> Error {
    Error::Failed(format!("the demo cannot go on: {error}"))
}
