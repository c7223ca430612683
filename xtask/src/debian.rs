//! Programs of the tests that come as Debian packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{run, runs};

/// A package, and what is there when it is, or when the same came in another way.
struct Package {
    name: &'static str,
    provides: Provides,
    why: &'static str,
}

enum Provides {
    /// A file; a `*` stands for one folder, such as that of the architecture.
    File(&'static str),
    /// A module of Python.
    Module(&'static str),
}

const PACKAGES: [Package; 4] = [
    Package {
        name: "faketime",
        provides: Provides::File("/usr/lib/*/faketime/libfaketimeMT.so.1"),
        why: "tests set the clock of a reporter forward and back",
    },
    Package {
        name: "python3-venv",
        provides: Provides::Module("ensurepip"),
        why: "tests have peers that are Python programs",
    },
    Package {
        name: "redis-server",
        provides: Provides::File("/usr/bin/redis-server"),
        why: "tests keep outboxes in it",
    },
    Package {
        name: "strace",
        provides: Provides::File("/usr/bin/strace"),
        why: "tests count what a process flushes to the disk",
    },
];

/// Sees to it that all packages are there: installs what is missing where that is allowed, else
/// names the command. A test that needs one fails without it, so nothing is skipped.
pub fn require() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Ok(()); // their tests are Linux's too
    }
    let missing = || PACKAGES.iter().filter(|p| !p.provides.is_there());
    let names: Vec<_> = missing().map(|package| package.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    if is_root() && runs("apt-get", &["--version"]) {
        let apt = |args: &[&str]| {
            run(Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(args))
        };
        apt(&["update"])?;
        apt(&[&["install", "--yes", "--no-install-recommends"], &names[..]].concat())?;
    }
    let missing: Vec<_> = missing()
        .map(
            |Package {
                 name,
                 provides: Provides::File(what) | Provides::Module(what),
                 why,
             }| format!("{name} ({what}): {why}"),
        )
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the tests need Debian packages that are missing; run `apt-get install {}` as root:\n{}",
        names.join(" "),
        missing.join("\n")
    ))
}

impl Provides {
    fn is_there(&self) -> bool {
        match self {
            Self::File(path) => exists(path),
            Self::Module(name) => runs("python3", &["-c", &format!("import {name}")]),
        }
    }
}

/// Whether the file is there; a `*` in its path stands for any one folder.
fn exists(path: &str) -> bool {
    match path.split_once("/*/") {
        None => Path::new(path).exists(),
        Some((parent, rest)) => fs::read_dir(parent).is_ok_and(|folders| {
            folders
                .flatten()
                .any(|folder| folder.path().join(rest).exists())
        }),
    }
}

/// Whether this process may install packages.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::exists;

    #[test]
    fn a_star_stands_for_one_folder() {
        let source = env!("CARGO_MANIFEST_DIR");
        assert!(exists(&format!("{source}/src/debian.rs")));
        assert!(exists(&format!("{source}/*/debian.rs")));
        assert!(!exists(&format!("{source}/*/no-such-file.rs")));
        assert!(!exists("/no/such/folder/*/file"));
    }
}
