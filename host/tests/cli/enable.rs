//! `enable` and `disable`: the configuration files of MCP clients, changed and changed back.

use crate::home::{Home, KEY};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Secrets stand in `env`, in `args` and in a comment, some on lines that change.
const CURSOR: &str = "{\r\n\t// s3cret\r\n\t\"mcpServers\": {\r\n\t\t\"files\": {\r\n\
    \t\t\t\"command\": \"npx\",\r\n\t\t\t\"args\": [\"-y\", \"--key=s3cret\"],\r\n\
    \t\t\t\"env\": { \"TOKEN\": \"s3cret\" },\r\n\t\t},\r\n\
    \t\t\"git\": { \"command\": \"mcp-git\", \"env\": { \"TOKEN\": \"s3cret\" } },\r\n\
    \t\t\"web\": { \"url\": \"https://x/mcp?key=s3cret\" },\r\n\t},\r\n}";

const CODE: &str = r#"{"mcpServers":{},"projects":{"/p":{"mcpServers":{"db":{"command":"uvx","args":["mcp-db"]}}}}}"#;

/// A home with two clients.
fn home() -> Home {
    let home = Home::empty();
    put(&home, ".cursor/mcp.json", CURSOR);
    put(&home, ".claude.json", CODE);
    home
}

fn put(home: &Home, name: &str, text: &str) {
    let path = home.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn get(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path(name)).unwrap()
}

fn files_in(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_known_files_are_found_enabled_and_disabled_again() {
    let home = home();
    let said = home.ok(&["enable"]);
    for line in [
        ".claude.json (Claude Code)",
        ".cursor/mcp.json (Cursor)",
        "db of /p",
        "files                wrapped",
        "remote, left as it is: a server with a URL needs `mcp-reporter proxy`",
        "mcp.json.mcp-reporter.bak",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    let code: Value = serde_json::from_str(&get(&home, ".claude.json")).unwrap();
    let db = &code["projects"]["/p"]["mcpServers"]["db"];
    assert_eq!(db["command"], env!("CARGO_BIN_EXE_mcp-reporter"));
    assert_eq!(
        db["args"],
        json!(["wrap", "--mcp-id", "db", "--", "uvx", "mcp-db"])
    );
    assert_eq!(get(&home, ".cursor/mcp.json.mcp-reporter.bak"), CURSOR);

    let enabled = get(&home, ".cursor/mcp.json");
    let said = home.ok(&["enable"]);
    assert!(
        said.contains("already wrapped") && !said.contains("as it was"),
        "{said}"
    );
    assert_eq!(get(&home, ".cursor/mcp.json"), enabled);

    let said = home.ok(&["disable"]);
    assert!(said.contains("unwrapped"), "{said}");
    assert_eq!(get(&home, ".cursor/mcp.json"), CURSOR);
    assert_eq!(get(&home, ".claude.json"), CODE);
    assert_eq!(
        files_in(&home.path(".cursor")),
        ["mcp.json", "mcp.json.mcp-reporter.bak"]
    );
}

#[test]
fn a_dry_run_shows_the_difference_without_secrets_and_changes_nothing() {
    let home = home();
    let said = home.ok(&["enable", "--dry-run"]);
    for line in [
        "would be wrapped",
        "-            \"command\": \"npx\",",
        "\"--mcp-id\", \"files\", \"--\", \"npx\", \"…\", \"…\"]",
        "\"TOKEN\": \"…\"",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    assert_eq!(get(&home, ".cursor/mcp.json"), CURSOR);
    assert_eq!(files_in(&home.path(".cursor")), ["mcp.json"]);

    home.ok(&["enable"]);
    let said = home.ok(&["disable", "--dry-run"]);
    assert!(
        said.contains("would be unwrapped") && !said.contains("s3cret"),
        "{said}"
    );
    assert_ne!(get(&home, ".cursor/mcp.json"), CURSOR);
}

#[test]
fn one_file_and_one_server_with_settings_that_are_passed_on() {
    let home = home();
    home.configure("[mcp]\nmcp_id = \"x\"\n");
    let file = home.path(".cursor/mcp.json");
    let file = file.to_str().unwrap();
    let args = [
        "enable",
        "--client",
        file,
        "--server",
        "files",
        "--json",
        "--config",
        "mcp_config.toml",
        "--log-file",
        "wrap.log",
        "--rate-limit",
        "5",
        "--user-id",
        "ann",
    ];
    let said = home.json(&args);
    assert_eq!(said["files"][0]["changed"], true);
    assert_eq!(
        said["files"][0]["servers"],
        json!([{ "name": "files", "project": null, "state": "wrapped", "reason": null }])
    );
    let text = get(&home, ".cursor/mcp.json");
    let config = home.path("mcp_config.toml").canonicalize().unwrap();
    let log = config.with_file_name("wrap.log");
    let wrap = format!(
        "[\"wrap\", \"--mcp-id\", \"files\", \"--config\", \"{}\", \"--rate-limit\", \"5\", \
         \"--log-file\", \"{}\", \"--user-id\", \"ann\", \"--\", \"npx\", ",
        config.display(),
        log.display()
    );
    assert!(text.contains(&wrap), "{text}");
    assert_eq!(get(&home, ".claude.json"), CODE);
    assert!(text.contains("\"git\": { \"command\": \"mcp-git\""));
    assert_eq!(home.json(&args)["files"][0]["changed"], false);

    // The backup stays what it was while a server is wrapped.
    home.ok(&["enable", "--client", file]);
    assert_eq!(get(&home, ".cursor/mcp.json.mcp-reporter.bak"), CURSOR);
    home.ok(&["disable", "--client", file]);
    assert_eq!(get(&home, ".cursor/mcp.json"), CURSOR);
}

#[test]
fn a_backup_is_never_replaced() {
    let home = home();
    let backup = ".cursor/mcp.json.mcp-reporter.bak";
    home.ok(&["enable"]);
    home.ok(&["disable"]);
    // The same text needs no second one.
    home.ok(&["enable"]);
    home.ok(&["disable"]);
    assert_eq!(
        files_in(&home.path(".cursor")),
        ["mcp.json", "mcp.json.mcp-reporter.bak"]
    );
    let edited = CURSOR.replace("mcp-git", "mcp-git-2");
    put(&home, ".cursor/mcp.json", &edited);
    let said = home.ok(&["enable"]);
    assert!(said.contains("mcp.json.mcp-reporter.bak.2"), "{said}");
    assert_eq!(get(&home, backup), CURSOR);
    assert_eq!(get(&home, &format!("{backup}.2")), edited);
    home.ok(&["disable"]);
    assert_eq!(get(&home, ".cursor/mcp.json"), edited);
}

#[test]
fn what_is_wrong_is_said_with_what_is_allowed() {
    let home = Home::empty();
    let nothing = home.run(&["enable"]);
    nothing.refused(1, "no configuration file of an MCP client found");
    nothing.refused(1, "--client");
    home.run(&["disable", "--client", "nowhere.json"])
        .refused(1, "cannot read nowhere.json");
    put(&home, "bad.json", "{ \"mcpServers\": s3cret }");
    let bad = home.run(&["enable", "--client", "bad.json"]);
    bad.refused(1, "bad.json: not valid JSON, line 1, column 17");
    assert!(!bad.err.contains("s3cret"), "{bad:?}");
    put(&home, "other.json", "{ \"servers\": 3 }");
    home.run(&["enable", "--client", "other.json"])
        .refused(1, "no MCP server in it: allowed are `mcpServers`");

    put(&home, ".cursor/mcp.json", CURSOR);
    home.run(&["enable", "--server", "fils"]).refused(
        2,
        "no server is named `fils`: there are `files`, `git`, `web`",
    );
    home.run(&["enable", "--mcp-id", "x"])
        .refused(2, "--mcp-id is not taken");
    home.run(&["enable", "--rate-limit", "many"])
        .refused(2, "rate_limit");
    let store = format!("redis://me:{KEY}@h/0");
    home.run(&["enable", "--store", &store])
        .refused(2, "a URL with a password");
    home.run(&["enable", "--config", "nowhere.toml"])
        .refused(2, "nowhere.toml");
    home.run(&["disable", "--rate-limit", "5"])
        .refused(2, "`disable` reads no configuration");
    assert_eq!(get(&home, ".cursor/mcp.json"), CURSOR);
    // It was asked for by name, and cannot be.
    assert_eq!(home.run(&["enable", "--server", "web"]).code, 1);
    // One broken file does not keep the others from it.
    put(&home, ".claude.json", "{");
    home.run(&["enable"])
        .refused(1, ".claude.json: not valid JSON");
    assert_ne!(get(&home, ".cursor/mcp.json"), CURSOR);
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_the_mode_stays_with_file_and_backup() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let home = Home::empty();
    put(&home, "dotfiles/cursor.json", CURSOR);
    let target = home.path("dotfiles/cursor.json");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(home.path(".cursor")).unwrap();
    let link = home.path(".cursor/mcp.json");
    symlink(&target, &link).unwrap();
    home.ok(&["enable"]);
    assert!(link.is_symlink());
    assert!(fs::read_to_string(&target).unwrap().contains("wrap"));
    let backup = home.path("dotfiles/cursor.json.mcp-reporter.bak");
    for path in [&target, &backup] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{}", path.display());
    }
    home.ok(&["disable"]);
    assert_eq!(fs::read_to_string(&target).unwrap(), CURSOR);
}

#[cfg(unix)]
#[test]
fn the_program_on_path_is_written_if_it_is_this_one() {
    let home = home();
    let bin = home.path("bin");
    fs::create_dir(&bin).unwrap();
    let link = bin.join("mcp-reporter");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mcp-reporter"), &link).unwrap();
    let mut command = home.command(&["enable"]);
    command.env("PATH", &bin);
    let ran = crate::home::finish(command.spawn().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = get(&home, ".claude.json");
    assert!(
        text.contains(&format!("\"command\":\"{}\"", link.display())),
        "{text}"
    );
}
