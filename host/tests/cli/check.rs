//! `check`: each thing that reporting needs, and the exit code.

use crate::home::{Home, coordinator};
use mcp_reporter::coordinator::{Coordinator, CoordinatorOptions, Fault};

const NAMES: [&str; 7] = [
    "configuration",
    "reporting",
    "store",
    "coordinator",
    "v2 API",
    "API key",
    "clock",
];

/// The exit code, and each check's result.
fn results(home: &Home) -> (i32, Vec<String>) {
    let ran = home.run(&["check", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(document["ok"] == true, ran.code == 0, "{document}");
    let checks = document["checks"].as_array().unwrap();
    let names: Vec<_> = checks
        .iter()
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(names, NAMES);
    let results = checks
        .iter()
        .map(|check| check["result"].as_str().unwrap().to_owned());
    (ran.code, results.collect())
}

#[test]
fn all_passes_where_all_is_well() {
    for validate in [false, true] {
        let coordinator = Coordinator::start(CoordinatorOptions {
            api_keys: vec![crate::home::KEY.to_owned()],
            validate,
            ..CoordinatorOptions::default()
        })
        .unwrap();
        let home = Home::with(&coordinator.url(), "");
        let text = home.ok(&["check"]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), NAMES.len(), "{text}");
        for (line, name) in lines.iter().zip(NAMES) {
            assert!(line.starts_with("ok ") && line.contains(name), "{line}");
        }
        assert!(
            text.contains("mcp_config.toml") && text.contains("outbox.db"),
            "{text}"
        );
        assert_eq!(
            home.json(&["outbox", "status", "--json"])["bytes"],
            0,
            "it leaves no trace"
        );
    }
}

#[test]
fn what_is_wrong_fails_and_what_hangs_on_it_is_skipped() {
    let (p, f, s) = ("passed", "failed", "skipped");
    for (fault, expected) in [
        (Fault::Refuse, [p, p, p, f, s, s, s]),
        (Fault::Garbage, [p, p, p, f, s, s, s]),
        (Fault::Status(404), [p, p, p, p, f, s, p]),
        (Fault::Status(500), [p, p, p, p, f, f, p]),
    ] {
        let coordinator = coordinator();
        let home = Home::with(&coordinator.url(), "");
        coordinator.set_fault(fault.clone()).unwrap();
        assert_eq!(
            results(&home),
            (1, expected.map(str::to_owned).to_vec()),
            "{fault}"
        );
    }
}

#[test]
fn a_wrong_key_fails_alone() {
    let other = Coordinator::start(CoordinatorOptions {
        api_keys: vec!["another".to_owned()],
        ..CoordinatorOptions::default()
    })
    .unwrap();
    let home = Home::with(&other.url(), "");
    let (p, f) = ("passed", "failed");
    assert_eq!(
        results(&home),
        (1, [p, p, p, p, p, f, p].map(str::to_owned).to_vec())
    );
    let text = home.run(&["check"]).out;
    assert!(
        text.contains("FAILED   API key") && text.contains("401"),
        "{text}"
    );
}

#[test]
fn a_store_that_cannot_be_does_not_hide_the_rest() {
    let coordinator = coordinator();
    let home = Home::with(&coordinator.url(), "");
    std::fs::create_dir(home.path("outbox.db")).unwrap();
    let (p, f) = ("passed", "failed");
    assert_eq!(
        results(&home),
        (1, [p, p, f, p, p, p, p].map(str::to_owned).to_vec())
    );
}

#[test]
fn a_configuration_to_mend_is_exit_code_2() {
    let (p, f, s) = ("passed", "failed", "skipped");
    let bad = Home::with("http://127.0.0.1:9", "rate_limit = -1");
    assert_eq!(
        results(&bad),
        (2, [f, s, s, s, s, s, s].map(str::to_owned).to_vec())
    );
    let text = bad.run(&["check"]).out;
    assert!(text.contains("rate_limit = \"-1\": must be"), "{text}");
    let off = Home::empty();
    assert_eq!(
        results(&off),
        (2, [p, f, s, s, s, s, s].map(str::to_owned).to_vec())
    );
}

#[cfg(unix)]
#[test]
fn a_configuration_that_others_can_read_is_warned_of() {
    let coordinator = coordinator();
    let home = Home::with(&coordinator.url(), "");
    let path = home.path("mcp_config.toml");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let text = home.ok(&["check"]);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("warning") && last.contains("chmod 600"),
        "{text}"
    );
}
