//! Where the usual MCP clients keep their configuration.

use std::path::{Path, PathBuf};

/// The system whose conventions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux and other Unix systems.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

impl System {
    /// The one this program was built for.
    pub fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else {
            Self::Linux
        }
    }
}

/// A user's folders.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Home.
    pub home: &'a Path,
    /// Where programs keep their configuration: `~/.config` or `$XDG_CONFIG_HOME` on Linux,
    /// `~/Library/Application Support` on macOS, `%APPDATA%` on Windows.
    pub config: &'a Path,
    /// The working directory, for the files of a project.
    pub current: &'a Path,
}

/// A file that a client reads, if it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The client's name.
    pub client: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// All known files, each once, the user's before the project's.
pub fn known(folders: Folders<'_>, system: System) -> Vec<Place> {
    let Folders {
        home,
        config,
        current,
    } = folders;
    let zed = match system {
        // Zed does as on Linux.
        System::MacOs => home.join(".config").join("zed"),
        System::Linux => config.join("zed"),
        System::Windows => config.join("Zed"),
    };
    let code = config.join("Code").join("User");
    let cline = code
        .join("globalStorage")
        .join("saoudrizwan.claude-dev")
        .join("settings")
        .join("cline_mcp_settings.json");
    let windsurf = home.join(".codeium").join("windsurf");
    let mut places: Vec<Place> = Vec::new();
    for (client, path) in [
        (
            "Claude Desktop",
            config.join("Claude").join("claude_desktop_config.json"),
        ),
        ("Claude Code", home.join(".claude.json")),
        ("Cursor", home.join(".cursor").join("mcp.json")),
        ("VS Code", code.join("mcp.json")),
        // Before version 1.102, and until it has moved them.
        ("VS Code", code.join("settings.json")),
        ("Cline", cline),
        ("Windsurf", windsurf.join("mcp_config.json")),
        ("Gemini CLI", home.join(".gemini").join("settings.json")),
        ("Zed", zed.join("settings.json")),
        ("Claude Code", current.join(".mcp.json")),
        ("Cursor", current.join(".cursor").join("mcp.json")),
        ("VS Code", current.join(".vscode").join("mcp.json")),
        ("Gemini CLI", current.join(".gemini").join("settings.json")),
        ("Zed", current.join(".zed").join("settings.json")),
    ] {
        // In the home folder, the project's file is the user's.
        if places.iter().all(|place| place.path != path) {
            places.push(Place { client, path });
        }
    }
    places
}
