//! What a user notices of the configuration.

mod file;
mod precedence;
mod secret;
mod template;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// A working folder of its own, and what else a configuration is loaded from.
struct Place {
    dir: TempDir,
    sources: Sources,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let sources = Sources {
            cwd: path("work"),
            config_dir: Some(path("config")),
            state_dir: Some(path("state")),
            ..Sources::default()
        };
        fs::create_dir(&sources.cwd).unwrap();
        Place { dir, sources }
    }

    /// A place whose working folder has this `mcp_config.toml`.
    fn with_file(text: &str) -> Place {
        let place = Place::new();
        place.write("work/mcp_config.toml", text);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    fn env(mut self, name: &str, text: &str) -> Place {
        self.sources.env.insert(name.to_owned(), text.into());
        self
    }

    fn flag(mut self, name: &str, text: &str) -> Place {
        self.sources.flags.push((name.to_owned(), text.to_owned()));
        self
    }

    fn load(&self) -> Config {
        Config::load(self.sources.clone()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The error, with the place's own folder shown as `DIR`.
    fn error(&self) -> String {
        let error = Config::load(self.sources.clone()).expect_err("must be refused");
        error
            .to_string()
            .replace(self.dir.path().to_str().unwrap(), "DIR")
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) {}

fn shown(config: &Config, key: &str) -> (Option<String>, String) {
    let shown = config
        .show()
        .into_iter()
        .find(|shown| shown.key == key)
        .unwrap();
    (shown.value, shown.source.to_string())
}

/// All that reporting needs.
const ON: &str = r#"
[mcp]
mcp_id = "demo"
[interaction_logging]
enable_interaction_logging = true
coordinator_url = "http://localhost:8080"
coordinator_api_key = "hush"
"#;
