//! `mcp-reporter serve` and its peers in Python: the old client reports to it as it did to the
//! coordinator, and schemathesis holds it to its description.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use mcp_reporter::coordinator::{Coordinator, Fault};
use mcp_reporter_tests::{INGEST_KEY, Place, PythonPeers, SOON, Served, coordinator, get, json};
use rusqlite::Connection;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A file of tests/peers.
fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// A call of the old client.
struct Call {
    interaction_id: String,
    action: String,
    success: bool,
    ms: f64,
    /// As aiohttp sent it.
    body: String,
}

/// The old client reports these interactions to `served`: an array of actions and data each, as
/// Python reads it.
async fn old_client(place: &Place, served: &Served, interactions: &str) -> Vec<Call> {
    let mut client = Command::new(PythonPeers::of_this_build().require("python"))
        .arg(peer("old_client.py"))
        // The old client strips the slash.
        .arg(format!("http://{}/", served.address()))
        .arg(INGEST_KEY)
        .arg(place.path("interaction_cache.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    // It reads everything before it prints anything.
    stdin.write_all(interactions.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(SOON, client.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{}", output.status);
    let calls = String::from_utf8(output.stdout).unwrap();
    calls.lines().map(call).collect()
}

fn call(line: &str) -> Call {
    let said = json(line.as_bytes());
    let text = |name: &str| said[name].as_str().expect(line).to_owned();
    Call {
        interaction_id: text("interaction_id"),
        action: text("action"),
        success: said["success"].as_bool().expect(line),
        ms: said["ms"].as_f64().expect(line),
        body: text("body"),
    }
}

/// What the old client kept because it was not taken.
fn cached(place: &Place) -> Vec<String> {
    let cache = Connection::open(place.path("interaction_cache.db")).unwrap();
    let mut rows = cache
        .prepare("SELECT interaction_data FROM failed_interactions ORDER BY id")
        .unwrap();
    let rows = rows.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The bodies of each interaction, in order.
fn of_each<'a>(
    bodies: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut each = BTreeMap::<_, Vec<_>>::new();
    for (id, body) in bodies {
        each.entry(id).or_default().push(body);
    }
    each
}

/// Waits until the coordinator has stored all that was taken, and compares.
async fn arrived_as_sent(coordinator: &Coordinator, calls: &[Call]) {
    let taken: Vec<_> = calls.iter().filter(|call| call.success).collect();
    let all = coordinator.wait_for(|seen| seen.stats().processed >= taken.len() as u64, SOON);
    all.await.unwrap();
    let stored = coordinator.stored().unwrap();
    let stored = stored.iter().map(|event| {
        let body = std::str::from_utf8(&event.body).unwrap();
        (event.interaction_id.as_str(), body)
    });
    let sent = taken
        .iter()
        .map(|call| (call.interaction_id.as_str(), call.body.as_str()));
    assert_eq!(of_each(stored), of_each(sent));
    assert_eq!(coordinator.stats().duplicates_ignored, 0);
}

#[tokio::test]
async fn the_old_client_has_its_answers_at_once_and_all_it_sent_arrives_later_byte_for_byte() {
    let (place, coordinator) = (Place::new(), coordinator());
    coordinator.set_fault(Fault::Refuse).unwrap();
    let served = Served::start(&place, &place.fast(&coordinator.url())).await;
    // From 8 interactions at once, 26 calls each.
    let progress = [
        r#"{"": [[[{"a": [null, true, false]}]]], "n": 1e16, "m": -0.0, "l": 5e-324}"#,
        r#"{"half": 0.30000000000000004, "large": 123456789012345678901234567890}"#,
        r#"{"text": "Zoë 漢字 🦀 \"\\\u0000\u007f</\u2028", "empty": ["", {}, []]}"#,
    ];
    let progress = progress.map(|data| format!(r#"["progress", {data}], "#));
    let interaction = format!(
        r#"[["start", {{"user_id": "Zoë", "input_size": 0, "parameters": {{"top_p": 0.1}}}}], {}["error", {{"error_type": "ValueError", "error_message": "1\n2\té", "error_code": null}}]]"#,
        progress.concat().repeat(8)
    );
    let calls = old_client(&place, &served, &format!("{interaction}\n").repeat(8)).await;
    assert_eq!(calls.len(), 208);
    let mut ms: Vec<_> = calls.iter().map(|call| call.ms).collect();
    ms.sort_by(f64::total_cmp);
    println!(
        "ms of a call: median {:.1}, slowest {:.1}",
        ms[ms.len() / 2],
        ms[ms.len() - 1]
    );
    for call in &calls {
        assert!(call.success, "{}", call.body);
        // Without `serve`, each waits for the network, 5 s at most.
        assert!(call.ms < 1_000.0, "{} ms", call.ms);
        // As it is known from the old client: this order, and spaces after colons and commas.
        let start = format!(
            r#"{{"action": "interaction_{}", "interaction_id": "{}", "mcp_id": "old", "timestamp": "#,
            call.action, call.interaction_id
        );
        assert!(call.body.starts_with(&start), "{}", call.body);
    }
    assert!(cached(&place).is_empty());
    assert_eq!(coordinator.stats().processed, 0);
    coordinator.set_fault(Fault::None).unwrap();
    arrived_as_sent(&coordinator, &calls).await;
}

#[tokio::test]
async fn what_is_no_json_is_refused_and_stays_with_the_old_client() {
    let (place, coordinator) = (Place::new(), coordinator());
    let served = Served::start(&place, &place.fast(&coordinator.url())).await;
    // Python writes all of these, and reads them again; no other reader takes all of them.
    let calls = old_client(
        &place,
        &served,
        r#"[["start", {"n": 1}], ["progress", {"loss": NaN}], ["progress", {"loss": -Infinity}], ["progress", {"text": "\ud83e"}], ["complete", {}]]"#,
    )
    .await;
    let taken: Vec<_> = calls.iter().map(|call| call.success).collect();
    assert_eq!(taken, [true, false, false, false, true]);
    assert!(
        calls[1]
            .body
            .ends_with(r#""progress_data": {"loss": NaN}}"#)
    );
    let refused: Vec<_> = calls[1..4].iter().map(|call| call.body.clone()).collect();
    assert_eq!(cached(&place), refused);
    // What came before and after it arrives.
    arrived_as_sent(&coordinator, &calls).await;
}

#[tokio::test]
async fn the_description_of_the_api_holds_whatever_schemathesis_asks() {
    let (place, coordinator) = (Place::new(), coordinator());
    let served = Served::start(&place, &place.fast(&coordinator.url())).await;
    // From a file, else it leaves out the path that it had the description from.
    let (head, described) = get(served.address(), "GET", "/api/v2/openapi.json").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let description = place.path("openapi.json");
    std::fs::write(&description, &described).unwrap();
    let tried = Command::new(PythonPeers::of_this_build().require("schemathesis"))
        .current_dir(place.folder())
        .env("SCHEMATHESIS_HOOKS", peer("serve_checks.py"))
        // It would leave a folder beside serve_checks.py.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "127.0.0.1")
        .arg("--config-file")
        .arg(peer("schemathesis.toml"))
        .args(["--no-color", "run", "--url"])
        .arg(format!("http://{}", served.address()))
        .arg("--header")
        .arg(format!("Authorization: Bearer {INGEST_KEY}"))
        .arg(description)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    // It takes a tenth of that.
    let tried = tokio::time::timeout(2 * SOON, tried)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stdout);
    println!("{said}{}", String::from_utf8_lossy(&tried.stderr));
    assert!(tried.status.success(), "{}", tried.status);
    let paths = json(described.as_bytes())["paths"]
        .as_object()
        .unwrap()
        .len();
    assert!(said.contains(&format!("Tested: {paths}\n")), "not {paths}");
}
