//! A store or a component that cannot be used: said plainly, and nothing lost.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mcp_reporter::Reporter;
use mcp_reporter_tests::{Place, Process, builder, coordinator, stored, with};

use crate::PEER;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A store with `count` waiting events, closed.
async fn fill(place: &Place, count: usize) {
    let reporter = idle(place).await;
    for n in 0..count {
        let data = format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(500));
        reporter.report_start(format!("i{n}"), data).await.unwrap();
    }
    reporter.shutdown(Duration::from_secs(10)).await;
}

async fn idle(place: &Place) -> Reporter {
    builder(&place.fast(NOWHERE))
        .without_timer()
        .build()
        .await
        .unwrap()
}

async fn waiting(place: &Place) -> u64 {
    idle(place).await.status().await.unwrap().waiting
}

async fn error(place: &Place, more: &[(&str, &str)]) -> String {
    let settings = with(place.fast(NOWHERE), more);
    match builder(&settings).build().await {
        Ok(_) => panic!("it was built with {more:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_store_path_that_cannot_be_written_is_named_with_the_reason() {
    let place = Place::new();
    fill(&place, 3).await;
    let file = place.path("a file");
    fs::write(&file, "not a folder").unwrap();
    let below_a_file = file.join("outbox.db").display().to_string();
    let a_folder = place.folder().display().to_string();
    // Not even the superuser can make a file there.
    let mut paths = vec![
        (below_a_file, "cannot be used"),
        (a_folder, "is not a file"),
    ];
    if cfg!(target_os = "linux") {
        paths.push(("/proc/mcp-reporter/outbox.db".to_owned(), "cannot be used"));
        paths.push(("/proc/outbox.db".to_owned(), "cannot be used"));
    }
    for (path, said) in paths {
        let text = error(&place, &[("local_cache_path", &path)]).await;
        assert!(
            text.starts_with(&format!("the store {path} {said}")),
            "{text}"
        );
        assert!(text.contains("local_cache_path"), "{text}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
    assert_eq!(waiting(&place).await, 3);
}

/// Starts on a damaged file: it is kept aside, byte for byte, and a fresh
/// store works.
async fn is_kept_aside(place: &Place) {
    let damaged = fs::read(place.store()).unwrap();
    let coordinator = coordinator();
    let mut peer = Process::start(PEER, "warn", &place.fast(&coordinator.url())).await;
    peer.send("report start fresh {}");
    peer.acknowledged(1).await;
    stored(&coordinator, 1).await;
    assert!(peer.shutdown(10_000).await);

    let kept: Vec<_> = fs::read_dir(place.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            // SQLite's own side files are kept with it.
            let name = path.display().to_string();
            name.contains(".corrupt-") && !name.ends_with("-wal") && !name.ends_with("-shm")
        })
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(
        fs::read(&kept[0]).unwrap() == damaged,
        "the damaged file was changed"
    );
    let log = peer.whole_log().await;
    let store = place.store();
    assert!(
        log.contains(&format!("the store {} was damaged (", store.display())),
        "{log}"
    );
    assert!(
        log.contains(&format!("it is kept as {}", kept[0].display())),
        "{log}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_sqlite_is_kept_aside_and_named() {
    let place = Place::new();
    fs::write(place.store(), "precious notes, no database\n".repeat(500)).unwrap();
    is_kept_aside(&place).await;
}

#[tokio::test]
async fn a_store_damaged_in_the_middle_is_kept_aside_and_named() {
    let place = Place::new();
    fill(&place, 500).await;
    let mut bytes = fs::read(place.store()).unwrap();
    let half = bytes.len() / 2;
    assert!(half > 8 * 4096);
    for byte in &mut bytes[2 * 4096..half] {
        *byte ^= 0x55;
    }
    fs::write(place.store(), bytes).unwrap();
    is_kept_aside(&place).await;
}

#[tokio::test]
async fn a_store_cut_short_is_kept_aside_and_named() {
    let place = Place::new();
    fill(&place, 500).await;
    let bytes = fs::read(place.store()).unwrap();
    fs::write(place.store(), &bytes[..bytes.len() / 2 + 100]).unwrap();
    is_kept_aside(&place).await;
}

fn set_schema_version(store: &Path, version: i64) {
    let connection = rusqlite::Connection::open(store).unwrap();
    let update = "UPDATE mcp_reporter_meta SET value = ?1 WHERE name = 'schema_version'";
    assert_eq!(connection.execute(update, [version]).unwrap(), 1);
}

#[tokio::test]
async fn a_store_written_by_a_newer_version_is_refused_and_left_alone() {
    let place = Place::new();
    fill(&place, 3).await;
    set_schema_version(&place.store(), 2);
    let text = error(&place, &[]).await;
    let store = place.store();
    let said = format!("the store {} has schema version 2", store.display());
    assert!(text.starts_with(&said), "{text}");
    assert!(
        text.contains("this program knows versions up to 1"),
        "{text}"
    );
    set_schema_version(&place.store(), 1);
    assert_eq!(waiting(&place).await, 3);
}

#[tokio::test]
async fn a_file_that_is_not_our_component_is_refused_by_what_it_is() {
    let place = Place::new();
    fill(&place, 3).await;
    let ours = mcp_reporter_artifacts::REPORTER;
    let export = "it does not export mcp-reporter:interactions/reporter@0.1.0";
    let cases: [(&[u8], &str); 6] = [
        (
            b"\0asm\x01\0\0\0",
            "this is not a WebAssembly component: it is a core WebAssembly module",
        ),
        (b"", "this is not a WebAssembly component: it is empty"),
        (
            b"#!/bin/sh\n",
            "this is not a WebAssembly component: it is not WebAssembly in binary form",
        ),
        (
            b"\0asm\x0d\0\x01\0",
            "this component is not the reporter's: ",
        ),
        (b"\0asm\x0d\0\x01\0", export),
        (
            &ours[..ours.len() / 2],
            "the component cannot be compiled: ",
        ),
    ];
    for (wasm, said) in cases {
        let built = builder(&place.fast(NOWHERE))
            .component(wasm.to_vec())
            .build()
            .await;
        let text = built
            .expect_err("it was taken for our component")
            .to_string();
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(waiting(&place).await, 3);
}
