//! What only a real server shows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::store::tests::{DEADLINE, conforms};

use mcp_reporter_test_support::RedisServer;

const PASSWORD: &str = "s3cr3t/pass:word";
const ENCODED: &str = "s3cr3t%2Fpass%3Aword";

fn options(url: &str) -> RedisOptions {
    RedisOptions {
        url: RedisUrl::parse(url).unwrap(),
        ca_file: None,
        durability: Durability::Process,
    }
}

async fn open(url: &str) -> RedisStore {
    RedisStore::open(options(url)).await.unwrap().0
}

async fn refused(options: RedisOptions) -> String {
    match RedisStore::open(options).await {
        Ok((store, warnings)) => panic!("{store:?} was opened: {warnings:?}"),
        Err(error @ StoreError::Refused { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/engine/tests")
        .join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_conforms_with_password_database_and_prefix() {
    let server = RedisServer::start(&["--requirepass", PASSWORD, "--appendonly", "yes"]);
    let url = format!("redis://:{ENCODED}@127.0.0.1:{}/3?prefix=a:", server.port());
    let (store, warnings) = RedisStore::open(options(&url)).await.unwrap();
    assert_eq!(warnings, []);
    tokio::time::timeout(DEADLINE, conforms(Arc::new(store)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_conforms_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let _server = RedisServer::start(&["--unixsocket", socket.to_str().unwrap()]);
    let store = open(&format!("redis+unix://{}?database=1", socket.display())).await;
    tokio::time::timeout(DEADLINE, conforms(Arc::new(store)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_conforms_over_tls_and_a_stranger_is_refused() {
    let (certificate, key) = (fixture("server.pem"), fixture("server.key"));
    let server = RedisServer::start(&[
        "--tls",
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        certificate.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
        "--requirepass",
        PASSWORD,
    ]);
    let url = format!("rediss://:{ENCODED}@127.0.0.1:{}", server.port());
    let trusting = |ca_file: &str| RedisOptions {
        ca_file: Some(fixture(ca_file)),
        ..options(&url)
    };
    let (store, _) = RedisStore::open(trusting("server.pem")).await.unwrap();
    tokio::time::timeout(DEADLINE, conforms(Arc::new(store)))
        .await
        .unwrap();

    let error = refused(trusting("other.pem")).await;
    assert!(
        error.contains("certificate") && error.contains("ca_file"),
        "{error}"
    );
    let error = refused(trusting("absent.pem")).await;
    assert!(error.contains("absent.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_the_documentation_names_suffice() {
    let page = include_str!("../../../../docs/redis.md");
    let rights = page
        .split('`')
        .find(|code| code.starts_with("+hset "))
        .unwrap();
    let server = RedisServer::start(&["--appendonly", "no"]);
    let said = server.command(&format!("ACL SETUSER me on >hush ~a:* {rights}"));
    assert_eq!(said, "+OK");
    let url = format!("redis://me:hush@127.0.0.1:{}/2?prefix=a:", server.port());
    let (store, warnings) = RedisStore::open(options(&url)).await.unwrap();
    assert_eq!(warnings, [], "it may not read the settings");
    tokio::time::timeout(DEADLINE, conforms(Arc::new(store)))
        .await
        .unwrap();
}

#[tokio::test]
async fn stores_under_other_prefixes_and_foreign_keys_do_not_matter() {
    let server = RedisServer::start(&[]);
    server.command("SET foreign 1");
    let a = open(&format!("{}?prefix=a:", server.url())).await;
    let b = open(&format!("{}?prefix=b:", server.url())).await;
    a.set("k".into(), b"a".to_vec()).await.unwrap();
    assert_eq!(b.list_keys().await.unwrap(), Vec::<String>::new());
    b.set("k".into(), b"b".to_vec()).await.unwrap();
    assert_eq!(a.get("k").await.unwrap(), Some(b"a".to_vec()));
    assert_eq!(a.list_keys().await.unwrap(), ["k"]);
    assert_eq!(server.command("EXISTS foreign"), ":1");
}

#[tokio::test]
async fn a_prefix_with_something_else_under_it_is_refused() {
    let server = RedisServer::start(&[]);
    server.command("SET a:values mine");
    let error = refused(options(&format!("{}?prefix=a:", server.url()))).await;
    assert!(
        error.contains("a:values holds") && error.contains("?prefix="),
        "{error}"
    );
    server.command("SET b:schema 2");
    let error = refused(options(&format!("{}?prefix=b:", server.url()))).await;
    assert!(error.contains("version 2"), "{error}");
    assert_eq!(server.command("STRLEN a:values"), ":4");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let server = RedisServer::start(&["--requirepass", "another"]);
    let error = refused(options(&format!(
        "redis://:{ENCODED}@127.0.0.1:{}",
        server.port()
    )))
    .await;
    assert!(
        error.contains("password") && error.contains("is wrong"),
        "{error}"
    );
    assert!(error.contains("redis://:***@127.0.0.1"), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
    let error = refused(options(&server.url())).await;
    assert!(error.contains("wants a password"), "{error}");

    let open_to_all = RedisServer::start(&[]);
    let error = refused(options(&format!(
        "redis://:{ENCODED}@127.0.0.1:{}",
        open_to_all.port()
    )))
    .await;
    assert!(
        error.contains("does not take") && !error.contains("s3cr3t"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_repeats_the_password_is_not_quoted() {
    let server = RedisServer::start(&["--rename-command", "AUTH", "LOGIN"]);
    // It says: unknown command 'AUTH', with args beginning with: …
    let error = refused(options(&format!(
        "redis://:{ENCODED}@127.0.0.1:{}",
        server.port()
    )))
    .await;
    assert!(!error.contains("s3cr3t"), "{error}");
}

#[tokio::test]
async fn settings_that_lose_events_are_warned_of() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"]);
    let warned = |durability| {
        let options = RedisOptions {
            durability,
            ..options(&server.url())
        };
        async move {
            let (_, warnings) = RedisStore::open(options).await.unwrap();
            warnings
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        }
    };
    let text = warned(Durability::Process).await;
    assert!(
        text.contains("allkeys-lru") && text.contains("set maxmemory-policy noeviction"),
        "{text}"
    );
    assert!(text.contains("set appendonly yes there"), "{text}");
    server.command("CONFIG SET maxmemory-policy noeviction");
    server.command("CONFIG SET appendonly yes");
    assert_eq!(warned(Durability::Process).await, "");
    let text = warned(Durability::Power).await;
    assert!(text.contains("appendfsync always"), "{text}");
    server.command("CONFIG SET appendfsync always");
    assert_eq!(warned(Durability::Power).await, "");
    // Who may not look is not in the way.
    server.command("ACL SETUSER default -config");
    server.command("CONFIG SET appendonly no");
    assert_eq!(warned(Durability::Process).await, "");
}

#[tokio::test]
async fn a_server_that_is_away_fails_at_once_and_is_found_again() {
    let mut server = RedisServer::durable();
    let store = open(&server.url()).await;
    store.set("a".into(), b"1".to_vec()).await.unwrap();
    server.stop();
    for _ in 0..3 {
        let begun = Instant::now();
        let error = store.set("b".into(), b"1".to_vec()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{begun:?}");
    }
    // One that is opened meanwhile says so.
    let (late, warnings) = RedisStore::open(options(&server.url())).await.unwrap();
    assert!(
        matches!(&warnings[..], [StoreWarning::Away { .. }]),
        "{warnings:?}"
    );
    server.start_again();
    for store in [&store, &late] {
        assert_eq!(store.get("a").await.unwrap(), Some(b"1".to_vec()));
        assert_eq!(store.list_keys().await.unwrap(), ["a"]);
    }
}

#[tokio::test]
async fn a_restart_while_idle_costs_no_operation() {
    let mut server = RedisServer::durable();
    let store = open(&server.url()).await;
    store.set("a".into(), b"1".to_vec()).await.unwrap();
    server.stop();
    server.start_again();
    let end = Instant::now() + DEADLINE;
    while store.link.current().unwrap().is_some() {
        assert!(Instant::now() < end, "the end goes unnoticed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.set("b".into(), b"1".to_vec()).await.unwrap();
    // Nor does it remember the scripts.
    assert_eq!(store.increment("n".into(), 2).await.unwrap(), 2);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = RedisServer::start(&[]);
    let store = open(&server.url()).await;
    for n in 1..=3 {
        assert_eq!(store.increment("n".into(), 1).await.unwrap(), n);
        let expected = Some((n - 1).to_string()).filter(|_| n > 1);
        let swapped = store.compare_and_swap(
            "c".into(),
            expected.map(String::into_bytes),
            n.to_string().into_bytes(),
        );
        assert!(swapped.await.unwrap());
        assert_eq!(server.command("SCRIPT FLUSH"), "+OK");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_costs_a_bounded_wait() {
    let server = RedisServer::start(&[]);
    let store = Arc::new(open(&server.url()).await);
    server.signal("STOP");
    let begun = Instant::now();
    // The first finds the connection, those after it cannot make another.
    let first = store.set("a".into(), b"1".to_vec()).await.unwrap_err();
    assert!(matches!(first, StoreError::Unanswered { .. }), "{first}");
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.get("a").await.unwrap_err() })
        })
        .collect();
    for task in waiting {
        let error = task.await.unwrap();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(12), "{begun:?}");
    server.signal("CONT");
    store.set("b".into(), b"1".to_vec()).await.unwrap();
}

#[tokio::test]
async fn a_full_server_changes_nothing() {
    let server = RedisServer::start(&[]);
    let store = open(&server.url()).await;
    store.set("a".into(), b"1".to_vec()).await.unwrap();
    server.command("CONFIG SET maxmemory 1");
    let pairs = vec![("b".to_owned(), vec![0; 100]), ("c".to_owned(), vec![])];
    let error = store.set_many(pairs).await.unwrap_err().to_string();
    assert!(error.contains("OOM"), "{error}");
    store.increment("n".into(), 1).await.unwrap_err();
    assert_eq!(store.list_keys().await.unwrap(), ["a"]);
    // What makes room goes on.
    store.delete_many(vec!["a".into()]).await.unwrap();
    server.command("CONFIG SET maxmemory 0");
    assert_eq!(store.list_keys().await.unwrap(), Vec::<String>::new());
}
