//! The manifest at the top of the repository, and the application that it makes.

use std::collections::BTreeSet;
use std::path::Path;

use hyper::StatusCode;
use mcp_reporter_artifacts::REPORTER;
use mcp_reporter_core::settings::KEYS;
use mcp_reporter_tests::spin::{Ground, Manifest, Mode, Spin, SpinComponent};
use mcp_reporter_tests::{INGEST_KEY, KEY, coordinator, stored};
use toml::Table;

use super::{DELIVER, ask, connected, event, post};

/// What is for those who report without HTTP.
const NOT_AT_THE_EDGE: [&str; 2] = ["deliver_on_report", "report_budget"];
/// What is Spin's own: the host that may be reached.
const OF_SPIN: &str = "coordinator_host";

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spin.toml")
}

#[test]
fn its_variables_are_the_settings_with_their_defaults() {
    let text = std::fs::read_to_string(path()).unwrap();
    let manifest: Table = text.parse().unwrap();
    let declared = manifest["variables"].as_table().unwrap();
    let component = &manifest["component"]["mcp-reporter"];
    let passed = component["variables"].as_table().unwrap();
    let settings = || {
        let keys = KEYS.iter();
        keys.filter(|key| !NOT_AT_THE_EDGE.contains(&key.name))
    };
    for key in settings() {
        let name = key.name;
        let variable = declared[name].as_table().unwrap();
        let flag = |flag: &str| {
            variable
                .get(flag)
                .is_some_and(|v| v.as_bool() == Some(true))
        };
        let default = variable
            .get("default")
            .map(|default| default.as_str().unwrap());
        assert_eq!(default, key.default, "{name}");
        assert_eq!(flag("required"), key.default.is_none(), "{name}");
        assert_eq!(flag("secret"), key.is_secret(), "{name}");
        let template = format!("{{{{ {name} }}}}");
        assert_eq!(passed[name].as_str(), Some(&*template), "{name}");
    }
    // So are those of the documentation.
    let documentation = include_str!("../../../../docs/spin.md");
    for key in settings() {
        let default = key
            .default
            .map_or("required".to_owned(), |d| format!("`{d}`"));
        let row = format!("| `{}` | {default} | ", key.name);
        assert!(documentation.contains(&row), "{row}");
    }
    let names = |table: &Table| table.keys().cloned().collect::<BTreeSet<_>>();
    let mut expected: BTreeSet<_> = settings().map(|key| key.name.to_owned()).collect();
    assert_eq!(names(passed), expected);
    expected.insert(OF_SPIN.to_owned());
    assert_eq!(names(declared), expected);
    // An entry with a path would be refused, and the coordinator's URL may have one.
    let hosts = component["allowed_outbound_hosts"].as_array().unwrap();
    assert_eq!(hosts, &["{{ coordinator_host }}".into()]);
}

/// Its components, with these variables.
fn components(variables: &[(&str, &str)]) -> Result<Vec<SpinComponent>, String> {
    Manifest::read(&path())?.components(variables, |source| {
        assert_eq!(source, "target/spin/mcp-reporter.wasm");
        Ok(REPORTER.to_vec())
    })
}

#[tokio::test]
async fn it_takes_events_and_delivers_them() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    let url = coordinator.url();
    // With a path, which the host that may be reached must not have.
    let below = format!("{url}/");
    let variables = [
        ("enable_interaction_logging", "true"),
        ("mcp_id", "m"),
        ("coordinator_url", &*below),
        ("coordinator_host", &*url),
        ("coordinator_api_key", KEY),
        ("ingest_keys", INGEST_KEY),
    ];
    let application = components(&variables).unwrap();
    let spin = Spin::start_all(application, ground.backend())
        .await
        .unwrap();
    let mut client = connected(&spin).await;
    post(&mut client, "start", "i").await;
    post(&mut client, "complete", "i").await;
    ask(&mut client, "POST", DELIVER).await;
    stored(&coordinator, 2).await;

    // Without a value, what is required stops the start, by its name.
    for name in [
        "mcp_id",
        "coordinator_url",
        "coordinator_api_key",
        "ingest_keys",
        OF_SPIN,
    ] {
        let without: Vec<_> = variables.iter().copied().filter(|v| v.0 != name).collect();
        let why = components(&without).unwrap_err();
        assert!(why.contains(name), "{why}");
    }

    // It is off until it is switched on, and says so.
    let off: Vec<_> = variables[1..].to_vec();
    let ground = Ground::new(Mode::Sqlite).await;
    let spin = Spin::start_all(components(&off).unwrap(), ground.backend()).await;
    let spin = spin.unwrap();
    let mut client = connected(&spin).await;
    let (status, said) = client.event(&[], &event("start", "i")).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.contains("enable_interaction_logging"), "{said}");
}
