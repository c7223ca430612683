//! What a build within a build must not get from the one around it.

use std::env;
use std::process::Command;

/// Variables that are meant for the build around: flags, wrappers (clippy's, coverage's), profiles,
/// target folder. An entry that ends in `_` is a prefix.
const VARIABLES: [&str; 8] = [
    "CARGO_BUILD_",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];

/// Takes them from the command.
pub fn remove_variables(cargo: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_outer) {
            cargo.env_remove(name);
        }
    }
}

fn is_outer(name: &str) -> bool {
    VARIABLES.iter().any(|outer| {
        if outer.ends_with('_') {
            name.starts_with(outer)
        } else {
            name == *outer
        }
    })
}
