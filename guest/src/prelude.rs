//! What `std` has in scope everywhere.

pub use alloc::{borrow::ToOwned, string::String, vec, vec::Vec};
