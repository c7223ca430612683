//! Real-looking files of each client, there and back.

use super::places::{Folders, System, known};
use super::{ClientFileError, Rewrite, State, Wrapping, disable, enable, masked};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

fn wrapping() -> Wrapping {
    Wrapping {
        program: "/opt/mcp-reporter".to_owned(),
        settings: vec![("--config".to_owned(), "/etc/mcp.toml".to_owned())],
    }
}

fn plain() -> Wrapping {
    Wrapping {
        settings: vec![],
        ..wrapping()
    }
}

/// Enables, and holds what must be so for every text: a second time changes nothing, and disable
/// gives the text back.
fn there_and_back(text: &str) -> Rewrite {
    let enabled = enable(text, &[], &wrapping()).unwrap();
    let again = enable(&enabled.text, &[], &wrapping()).unwrap();
    assert_eq!(again.text, enabled.text);
    assert!(again.servers.iter().all(|s| !s.state.is_change()));
    let disabled = disable(&enabled.text, &[]).unwrap();
    assert_eq!(disabled.text, text);
    assert_eq!(disable(text, &[]).unwrap().text, text);
    enabled
}

fn states(rewrite: &Rewrite) -> Vec<(&str, State)> {
    let servers = rewrite.servers.iter();
    servers.map(|s| (s.name.as_str(), s.state)).collect()
}

const DESKTOP: &str = r#"{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": [
        "-y",
        "@modelcontextprotocol/server-filesystem",
        "/home/me/Documents"
      ],
      "env": { "TOKEN": "s3cret" }
    },
    "memory": { "command": "mcp-memory" }
  }
}
"#;

#[test]
fn claude_desktop_as_a_person_would_write_it() {
    let enabled = there_and_back(DESKTOP);
    assert_eq!(
        enabled.text,
        r#"{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "filesystem": {
      "command": "/opt/mcp-reporter",
      "args": [
        "wrap", "--mcp-id", "filesystem", "--config", "/etc/mcp.toml", "--", "npx", "-y",
        "@modelcontextprotocol/server-filesystem",
        "/home/me/Documents"
      ],
      "env": { "TOKEN": "s3cret" }
    },
    "memory": { "command": "/opt/mcp-reporter", "args": ["wrap", "--mcp-id=memory", "--config", "/etc/mcp.toml", "--", "mcp-memory"] }
  }
}
"#
    );
}

#[test]
fn claude_code_with_servers_of_projects() {
    let text = r#"{"numStartups":12,"projects":{"/home/me/a":{"allowedTools":[],"mcpServers":{"db":{"type":"stdio","command":"uvx","args":["mcp-db"],"env":{}}},"history":[{"display":"mcpServers"}]},"/home/me/b":{"mcpServers":{"db":{"type":"http","url":"https://x/mcp"}}}},"mcpServers":{"git":{"type":"stdio","command":"mcp-git","args":[],"env":{}}}}"#;
    let enabled = there_and_back(text);
    let found: Vec<_> = enabled
        .servers
        .iter()
        .map(|s| (s.project.as_deref(), s.name.as_str(), s.state))
        .collect();
    assert_eq!(
        found,
        [
            (Some("/home/me/a"), "db", State::Wrapped),
            (Some("/home/me/b"), "db", State::Remote),
            (None, "git", State::Wrapped),
        ]
    );
    let new: Value = serde_json::from_str(&enabled.text).unwrap();
    assert_eq!(
        new["mcpServers"]["git"]["args"],
        json!([
            "wrap",
            "--mcp-id",
            "git",
            "--config",
            "/etc/mcp.toml",
            "--",
            "mcp-git"
        ])
    );
}

#[test]
fn vs_code_with_comments_tabs_crlf_bom_and_trailing_commas() {
    let text = "\u{feff}{\r\n\t// the team's servers\r\n\t\"inputs\": [],\r\n\t\"servers\": {\r\n\
        \t\t\"play/wright\": {\r\n\t\t\t\"type\": \"stdio\", /* local */\r\n\
        \t\t\t\"command\": \"npx\", // \"command\": \"old\",\r\n\
        \t\t\t\"args\": [ /* first */ \"-y\", \"@playwright/mcp\", ],\r\n\
        \t\t\t\"env\": { \"K\": \"${input:k}\", },\r\n\t\t},\r\n\
        \t\t\"bare\": {\r\n\t\t\t\"command\": \"bare\",\r\n\t\t},\r\n\
        \t\t\"empty\": { \"command\": \"e\", \"args\": [ /* none */ ] },\r\n\
        \t\t\"remote\": { \"type\": \"http\", \"url\": \"https://x/mcp\" },\r\n\t},\r\n}";
    let enabled = there_and_back(text);
    assert_eq!(
        states(&enabled),
        [
            ("play/wright", State::Wrapped),
            ("bare", State::Wrapped),
            ("empty", State::Wrapped),
            ("remote", State::Remote),
        ]
    );
    assert!(enabled.text.contains("[ /* first */ \"wrap\", "));
    assert!(
        enabled
            .text
            .contains(",\r\n\t\t\t\"args\": [\"wrap\", \"--mcp-id=bare\"")
    );
}

#[test]
fn vs_code_settings_zed_windsurf_and_gemini() {
    for text in [
        r#"{ "editor.tabSize": 2, "mcp": { "inputs": [], "servers": { "a": { "command": "x" } } } }"#,
        r#"{ "mcp.servers": { "a": { "command": "x", "args": ["1"] } } }"#,
        "// Zed\n{ \"context_servers\": { \"a\": { \"source\": \"custom\", \"command\": \"x\", \"args\": [], \"env\": {} } } }\n",
        r#"{"mcpServers":{"a":{"args":["--serve"],"command":"x","disabled":false}}}"#,
        r#"{ "theme": "Dark", "mcpServers": { "a": { "command": "x", "cwd": "./s", "timeout": 3e4, "trust": false } } }"#,
    ] {
        assert_eq!(
            states(&there_and_back(text)),
            [("a", State::Wrapped)],
            "{text}"
        );
    }
}

#[test]
fn windows_commands_and_escapes_pass_as_they_are_written() {
    let text = r#"{"mcpServers":{"\u00fcber":{"command":"C:\\Program Files\\nodejs\\n\u0070x.cmd","args":["/c","C:\\a b\\s.js","\ud83d\ude00"]}}}"#;
    let enabled = there_and_back(text);
    assert!(enabled.text.contains(
        r#""--", "C:\\Program Files\\nodejs\\n\u0070x.cmd", "/c","C:\\a b\\s.js","\ud83d\ude00"]"#
    ));
    let new: Value = serde_json::from_str(&enabled.text).unwrap();
    assert_eq!(new["mcpServers"]["über"]["args"][2], "über");
}

#[test]
fn only_the_named_servers_are_touched() {
    let enabled = enable(DESKTOP, &["memory".to_owned()], &plain()).unwrap();
    assert_eq!(states(&enabled), [("memory", State::Wrapped)]);
    assert!(enabled.text.contains(r#""command": "npx""#));
    let all = enable(&enabled.text, &[], &plain()).unwrap();
    assert_eq!(
        states(&all),
        [
            ("filesystem", State::Wrapped),
            ("memory", State::AlreadyWrapped)
        ]
    );
    let one = disable(&all.text, &["memory".to_owned()]).unwrap();
    assert_eq!(disable(&one.text, &[]).unwrap().text, DESKTOP);
}

#[test]
fn one_wrapped_by_another_program_or_with_other_settings_is_updated() {
    for program in [
        r"/usr/local/bin/mcp-reporter",
        r"C:\\bin\\mcp-reporter.EXE",
        "mcp-reporter",
    ] {
        let text = format!(
            r#"{{"mcpServers":{{"a":{{"command":"{program}","args":["wrap","--config","/old","--capture","all","--mcp-id","b", "--","x","--","y"]}}}}}}"#
        );
        let enabled = enable(&text, &[], &wrapping()).unwrap();
        assert_eq!(states(&enabled), [("a", State::Updated)]);
        let new: Value = serde_json::from_str(&enabled.text).unwrap();
        assert_eq!(
            new["mcpServers"]["a"],
            json!({
                "command": "/opt/mcp-reporter",
                "args": ["wrap", "--mcp-id", "a", "--config", "/etc/mcp.toml", "--capture", "all",
                    "--", "x", "--", "y"],
            })
        );
        // What is not named stays.
        let again = enable(&enabled.text, &[], &plain()).unwrap();
        assert_eq!(states(&again), [("a", State::AlreadyWrapped)]);
        assert_eq!(
            disable(&enabled.text, &[]).unwrap().text,
            r#"{"mcpServers":{"a":{"command":"x","args":["--","y"]}}}"#
        );
    }
}

#[test]
fn a_server_named_like_a_flag_is_not_taken_for_one() {
    for name in ["--", "-x", "--config", "wrap", "", "a=b"] {
        let text = json!({ "mcpServers": { name: { "command": "c", "args": ["d"] } } }).to_string();
        let enabled = there_and_back(&text);
        let new: Value = serde_json::from_str(&enabled.text).unwrap();
        let args = new["mcpServers"][name]["args"].as_array().unwrap();
        let name_in_one = name.starts_with('-');
        assert_eq!(args[1] == json!(format!("--mcp-id={name}")), name_in_one);
    }
}

#[test]
fn what_was_edited_after_enable_is_kept() {
    let enabled = enable(DESKTOP, &[], &plain()).unwrap().text;
    let edited = enabled
        .replace("Ctrl+Space", "Ctrl+M")
        .replace("/home/me/Documents\"", "/home/me\",\n        \"/srv\"")
        .replace("\"--\", \"npx\"", "\"--\", \"bunx\"");
    let expected = DESKTOP
        .replace("Ctrl+Space", "Ctrl+M")
        .replace("/home/me/Documents\"", "/home/me\",\n        \"/srv\"")
        .replace("\"npx\"", "\"bunx\"");
    assert_eq!(disable(&edited, &[]).unwrap().text, expected);
}

#[test]
fn a_file_that_was_formatted_anew_or_reordered_means_the_same_after_disable() {
    let before: Value = serde_json::from_str(DESKTOP).unwrap();
    let enabled: Value =
        serde_json::from_str(&enable(DESKTOP, &[], &plain()).unwrap().text).unwrap();
    let formatted = serde_json::to_string_pretty(&enabled).unwrap();
    let back: Value = serde_json::from_str(&disable(&formatted, &[]).unwrap().text).unwrap();
    assert_eq!(back, before);
    for (text, expected) in [
        (
            r#"{"mcpServers":{"a":{"args":["wrap","--mcp-id=a","--","x"], "command":"mcp-reporter"}}}"#,
            r#"{"mcpServers":{"a":{"command":"x"}}}"#,
        ),
        // A comment in the way: the list stays, and is empty.
        (
            "{\"mcpServers\":{\"a\":{\"command\":\"mcp-reporter\", // mine\n\"args\":[\"wrap\",\"--mcp-id=a\",\"--\",\"x\" , ]}}}",
            "{\"mcpServers\":{\"a\":{\"command\":\"x\", // mine\n\"args\":[ ]}}}",
        ),
    ] {
        assert_eq!(disable(text, &[]).unwrap().text, expected);
    }
}

#[test]
fn what_is_not_understood_is_left_alone_and_said() {
    let text = r#"{ "mcpServers": {
        "no object": 3, "nothing": {}, "object": { "command": { "path": "x" } },
        "text": { "command": "x", "args": "-y" }, "numbers": { "command": "x", "args": [1] },
        "twice": { "command": "x", "command": "y" }, "both": { "command": "x", "url": "http://y" },
        "cut": { "command": "mcp-reporter", "args": ["wrap", "--mcp-id", "cut", "--"] },
        "windsurf": { "serverUrl": "https://x" }, "gemini": { "httpUrl": "https://x" }
    } }"#;
    let enabled = there_and_back(text);
    assert_eq!(enabled.text, text);
    let unclear = |s: &&(&str, State)| matches!(s.1, State::Unclear(_));
    assert_eq!(states(&enabled).iter().filter(unclear).count(), 8);
}

#[test]
fn a_text_that_is_no_configuration_is_refused_and_not_repeated() {
    for (text, expected) in [
        ("{ \"env\": s3cret }", "line 1, column 10"),
        ("{\n \"a\": \"s3cret", "line 2"),
        ("{ 's3cret': 1 }", "not valid JSON"),
        ("[\"s3cret\"]", "no JSON object"),
        ("", "no JSON object"),
    ] {
        let error = enable(text, &[], &plain()).unwrap_err();
        assert_eq!(error, disable(text, &[]).unwrap_err());
        let said = error.to_string();
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert_eq!(enable("{}", &[], &plain()).unwrap().servers, []);
    assert!(matches!(
        enable("{", &[], &plain()),
        Err(ClientFileError::Syntax { .. })
    ));
}

#[test]
fn the_usual_places_are_known_on_each_system() {
    let at = |system, config: &str| -> Vec<String> {
        let folders = Folders {
            home: Path::new("/h"),
            config: Path::new(config),
            current: Path::new("/p"),
        };
        let places = known(folders, system).into_iter();
        places
            .map(|place| place.path.display().to_string())
            .collect()
    };
    let linux = at(System::Linux, "/h/.config");
    for path in [
        "/h/.config/Claude/claude_desktop_config.json",
        "/h/.claude.json",
        "/h/.cursor/mcp.json",
        "/h/.config/Code/User/mcp.json",
        "/h/.codeium/windsurf/mcp_config.json",
        "/h/.gemini/settings.json",
        "/h/.config/zed/settings.json",
        "/p/.mcp.json",
        "/p/.vscode/mcp.json",
    ] {
        assert!(linux.iter().any(|known| known == path), "{path}");
    }
    let mac = at(System::MacOs, "/h/Library/Application Support");
    assert!(mac.contains(&"/h/.config/zed/settings.json".to_owned()));
    let windows = at(System::Windows, "/h/AppData/Roaming");
    assert!(windows.contains(&"/h/AppData/Roaming/Zed/settings.json".to_owned()));
    let home = Path::new("/h");
    let folders = Folders {
        home,
        config: &home.join(".config"),
        current: home,
    };
    let mut paths: Vec<_> = known(folders, System::Linux)
        .into_iter()
        .map(|place| place.path)
        .collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all);
}

#[test]
fn what_could_be_a_secret_is_not_shown_and_lines_stay() {
    let text = "\u{feff}{\n/* s3cret\n */ \"mcpServers\": { // s3cret\n\"a\": {\"command\": \"npx\", \
        \"args\": [\"--key=s3cret\", \"s3cret\"], \"env\": {\"K\": \"s3cret\", \"PIN\": 1234}}},\n \
        \"command\": \"s3cret\", \"args\": [{\"b\": \"s3cret\"}] }";
    for text in [text, &enable(text, &[], &wrapping()).unwrap().text] {
        let shown = masked(text).unwrap();
        assert!(
            !shown.contains("s3cret") && !shown.contains("1234"),
            "{shown}"
        );
        assert_eq!(shown.lines().count(), text.lines().count());
        assert!(
            shown.contains("\"npx\"") && shown.contains("\"PIN\""),
            "{shown}"
        );
    }
    let shown = masked(&enable(text, &[], &wrapping()).unwrap().text).unwrap();
    let line = r#"{"servers":{"a":{"command":"npx srv --key=s3cret"}}}"#;
    let line = enable(line, &[], &wrapping()).unwrap().text;
    assert!(!masked(&line).unwrap().contains("s3cret"));
    let args = r#"["wrap", "--mcp-id", "a", "--config", "/etc/mcp.toml", "--", "npx", "…", "…"]"#;
    assert!(shown.contains(args), "{shown}");
}

#[test]
fn a_secret_in_a_command_or_in_a_setting_of_wrap_is_not_shown() {
    for command in [
        "npx srv --key=s3cret",
        "env TOKEN=s3cret npx",
        "srv s3cret",
        "TOKEN=s3cret",
    ] {
        let text = json!({ "mcpServers": { "a": { "command": command } } }).to_string();
        let wrapped = enable(&text, &[], &plain()).unwrap().text;
        for text in [text, wrapped] {
            assert!(!masked(&text).unwrap().contains("s3cret"), "{command}");
        }
    }
    for settings in [
        json!(["--coordinator-api-key", "s3cret"]),
        json!(["--coordinator-api-key=s3cret"]),
        json!(["--store", "redis://me:s3cret@h/0"]),
        json!(["--store=redis://me:s3cret@h/0"]),
    ] {
        let mut args = vec![json!("wrap")];
        args.extend(settings.as_array().unwrap().clone());
        args.extend([json!("--user-id"), json!("ann"), json!("--"), json!("srv")]);
        let server = json!({ "command": "/a b/mcp-reporter", "args": args });
        let shown = masked(&json!({ "servers": { "a": server } }).to_string()).unwrap();
        assert!(!shown.contains("s3cret"), "{shown}");
        for seen in ["/a b/mcp-reporter", "--user-id", "ann", "srv"] {
            assert!(shown.contains(seen), "{seen}: {shown}");
        }
    }
}

/// White space and comments, as they may stand between any two tokens.
fn trivia() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        2 => "[ \t]{1,3}",
        2 => "(\r\n|\n)[ \t]{0,4}",
        1 => Just("/* [\"wrap\", { */".to_owned()),
        1 => Just("// \"args\": [,\n".to_owned()),
    ]
}

/// A string literal, some characters of it escaped.
fn literal() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        4 => "[a-zA-Z0-9 /.@_=-]{1,6}",
        1 => Just("\\\\".to_owned()),
        1 => Just("\\\"".to_owned()),
        1 => Just("\\u00e9".to_owned()),
        1 => Just("\\ud83d\\ude00".to_owned()),
        1 => Just("é😀".to_owned()),
        1 => Just("wrap".to_owned()),
        1 => Just("--".to_owned()),
    ];
    proptest::collection::vec(parts, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

/// Joins with commas, trivia around each, perhaps a trailing comma.
fn list(
    open: &'static str,
    items: impl Strategy<Value = Vec<String>>,
    close: &'static str,
) -> impl Strategy<Value = String> {
    let gaps = proptest::collection::vec(trivia(), 24);
    (items, gaps, any::<bool>()).prop_map(move |(items, gaps, comma)| {
        let mut text = open.to_owned();
        let mut gap = gaps.iter().cycle();
        for (n, item) in items.iter().enumerate() {
            text += gap.next().unwrap();
            text += item;
            text += gap.next().unwrap();
            if n + 1 < items.len() || comma {
                text += ",";
            }
        }
        text + gap.next().unwrap() + close
    })
}

fn server() -> impl Strategy<Value = String> {
    let args = list("[", proptest::collection::vec(literal(), 0..4), "]");
    let env = (literal(), literal()).prop_map(|(k, v)| format!("\"env\": {{{k}: {v}}}"));
    let members = (
        prop_oneof![literal(), Just("\"/x/mcp-reporter\"".to_owned())],
        trivia(),
        proptest::option::of(args),
        proptest::option::of(env),
    )
        .prop_map(|(command, gap, args, env)| {
            let mut members = vec![format!("\"command\"{gap}:{gap}{command}")];
            members.extend(args.map(|args| format!("\"args\":{gap}{args}")));
            members.extend(env);
            members
        })
        .prop_shuffle();
    prop_oneof![
        9 => list("{", members, "}"),
        1 => Just("{\"url\": \"https://x/mcp\", \"headers\": {\"A\": \"b\"}}".to_owned()),
    ]
}

fn file() -> impl Strategy<Value = String> {
    // A name that begins with `-` beside an empty list is the one case that is not exact.
    let name = literal().prop_map(|l| format!("\"n{}", &l[1..]));
    let entry = (name, trivia(), server()).prop_map(|(name, gap, s)| format!("{name}{gap}:{s}"));
    let servers = list("{", proptest::collection::vec(entry, 0..4), "}");
    let root = (servers, literal(), 0..3_u8).prop_map(|(servers, other, form)| {
        let servers = match form {
            0 => format!("\"mcpServers\": {servers}"),
            1 => format!("\"servers\": {servers}"),
            _ => format!("\"projects\": {{\"/p\": {{\"mcpServers\":{servers}}}}}"),
        };
        vec![format!("\"x\": {other}"), servers]
    });
    (any::<bool>(), trivia(), list("{", root, "}"), trivia()).prop_map(
        |(bom, before, root, after)| {
            let bom = if bom { "\u{feff}" } else { "" };
            format!("{bom}{before}{root}{after}")
        },
    )
}

/// The file without comments and trailing commas, and without the two values.
fn rest_of(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}');
    let root = super::document::parse(text).unwrap();
    let mut shown = String::new();
    show(&jsonc_parser::ast::Value::Object(root), &mut shown);
    shown
}

fn show(value: &jsonc_parser::ast::Value<'_>, to: &mut String) {
    use jsonc_parser::ast::Value;
    match value {
        Value::Object(object) => {
            let is_server = object.get("command").is_some();
            for property in &object.properties {
                let name = property.name.as_str();
                if is_server && matches!(name, "command" | "args") {
                    continue;
                }
                *to += &format!("{name:?}{{");
                show(&property.value, to);
                *to += "}";
            }
        }
        Value::StringLit(text) => *to += &format!("{:?}", text.value),
        Value::Array(array) => array.elements.iter().for_each(|value| show(value, to)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_the_file_disable_gives_back_what_enable_took(text in file()) {
        // By chance a server may be wrapped from the beginning.
        prop_assume!(disable(&text, &[]).unwrap().servers.iter().all(|s| !s.state.is_change()));
        let enabled = there_and_back(&text);
        prop_assert_eq!(rest_of(&enabled.text), rest_of(&text));
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,60}|[\\[\\]{}\":,a/*\n-]{0,40}") {
        if let Ok(rewrite) = enable(&text, &[], &plain()) {
            prop_assert!(disable(&rewrite.text, &[]).is_ok());
            prop_assert!(masked(&rewrite.text).is_ok());
        }
    }
}
