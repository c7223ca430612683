//! A user's folder with a configuration, and the command run in it.

use mcp_reporter::coordinator::{Coordinator, CoordinatorOptions};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The key in every configuration here: it must never be seen.
pub const KEY: &str = "the-key-nobody-may-see";

/// Longer than anything here takes, unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Home {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    /// Without a configuration.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a configuration that reports to `url`; `more` are lines of it.
    pub fn with(url: &str, more: &str) -> Self {
        let home = Self::empty();
        home.configure(&format!(
            "[mcp]\nmcp_id = \"weather\"\n[interaction_logging]\n\
             enable_interaction_logging = true\ncoordinator_url = \"{url}\"\n\
             coordinator_api_key = \"{KEY}\"\nlocal_cache_path = \"outbox.db\"\n\
             retry_delay = 0.1\n{more}\n"
        ));
        home
    }

    /// With a coordinator to report to.
    pub fn with_coordinator(more: &str) -> (Self, Coordinator) {
        let coordinator = coordinator();
        (Self::with(&coordinator.url(), more), coordinator)
    }

    /// Writes the configuration, for its owner alone.
    pub fn configure(&self, text: &str) {
        let path = self.path("mcp_config.toml");
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-reporter"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MCP_REPORTER_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.start(args))
    }

    /// What a command that works prints.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.out
    }

    /// The JSON that a command that works prints.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Asks for the outbox's status until `done` says so.
    pub fn wait_for(&self, done: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.json(&["outbox", "status", "--json"]);
            if done(&status) {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "{status}");
        }
    }
}

pub fn coordinator() -> Coordinator {
    Coordinator::start(CoordinatorOptions {
        api_keys: vec![KEY.to_owned()],
        ..CoordinatorOptions::default()
    })
    .unwrap()
}

/// Waits for the command; one that hangs is killed.
pub fn finish(mut child: Child) -> Ran {
    let begun = Instant::now();
    // Its output fits into the pipes, so that it need not be read meanwhile.
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("the command hangs: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(2));
    }
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let ran = Ran {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    };
    assert!(
        !ran.out.contains(KEY) && !ran.err.contains(KEY),
        "the key is shown: {ran:?}"
    );
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    ran
}

impl Ran {
    /// That it failed so, and said this.
    #[track_caller]
    pub fn refused(&self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(
            self.err.contains("error: ") && self.err.contains(says),
            "{says:?}: {self:?}"
        );
    }
}
