//! The API key stays where it was configured.

use mcp_reporter::Config;
use mcp_reporter::coordinator::{CoordinatorOptions, Fault};
use mcp_reporter::store::backup;
use mcp_reporter_tests::{
    KEY, Place, Process, SOON, Scripted, answer, builder, cache_dir, coordinator, faulty,
    files_with_the_key, get, lines_with_the_key, until, with,
};

use crate::PEER;

#[tokio::test]
async fn the_key_is_in_no_file_and_no_log_line_at_any_level() {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let mut peer = Process::start(PEER, "trace", &settings).await;
    let faults = [
        Fault::None,
        Fault::Status(500),
        Fault::Status(422),
        Fault::Reset,
        Fault::Garbage,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        coordinator.set_fault_for(fault, 1).unwrap();
        peer.send(&format!("report start i{n} {{}}"));
        peer.acknowledged(1).await;
        let id = format!("i{n}");
        let met = coordinator.wait_for(
            |seen| {
                seen.receipts()
                    .iter()
                    .any(|r| r.interaction_id.as_deref() == Some(&id))
            },
            SOON,
        );
        met.await.unwrap();
    }
    coordinator.set_fault(Fault::Status(401)).unwrap();
    peer.send("report start last {}");
    peer.acknowledged(1).await;
    until("it is paused", || async {
        peer.log().contains("delivery is paused")
    })
    .await;
    assert!(
        coordinator
            .receipts()
            .iter()
            .all(|r| r.header("authorization").is_some())
    );
    // With the write-ahead log as it is when the process is killed, and a backup of it.
    peer.kill();
    let copied = backup(&place.store(), &place.path("backup.db"), false).unwrap();
    assert!(copied.waiting > 0, "{copied:?}");
    assert_eq!(files_with_the_key(place.folder()), [""; 0]);
    let log = peer.whole_log().await;
    assert_eq!(lines_with_the_key(&log), [""; 0]);
    assert!(log.contains("WARN"));
    assert_eq!(files_with_the_key(&cache_dir()), [""; 0]);
}

#[tokio::test]
async fn the_key_is_not_kept_when_headers_repeat_it_or_a_redirect_would_carry_it() {
    for status in [307, 401, 429, 503] {
        let place = Place::new();
        let server = Scripted::start(move |request| {
            let heard = request.headers()["authorization"].clone();
            let mut answer = answer(status, heard.as_bytes().to_vec());
            for name in ["retry-after", "www-authenticate", "location", "x-heard"] {
                answer.headers_mut().insert(name, heard.clone());
            }
            answer
        })
        .await;
        let mut peer = Process::start(PEER, "trace", &place.fast(&server.url())).await;
        peer.send("report start i {}");
        peer.acknowledged(1).await;
        until("it was tried", || async { !server.requests().is_empty() }).await;
        peer.shutdown(2_000).await;
        let log = peer.whole_log().await;
        assert_eq!(lines_with_the_key(&log), [""; 0]);
        assert_eq!(files_with_the_key(place.folder()), [""; 0]);
        for request in server.requests() {
            assert_eq!(request.uri(), "/api/v2/interactions");
        }
    }
}

#[tokio::test]
async fn the_key_is_in_no_debug_output_and_no_error() {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.settings(&coordinator.url());
    let config = Config::from_pairs(settings.clone()).unwrap();
    let reporter = builder(&settings).build().await.unwrap();
    let probe = reporter.validate_api_key().await.unwrap();
    assert!(probe.ok, "{probe:?}");
    let api_keys = vec![KEY.to_owned()];
    let options = CoordinatorOptions {
        api_keys,
        ..CoordinatorOptions::default()
    };
    let mut shown = vec![
        format!("{settings:?}").replace(KEY, ""),
        format!("{config:?} {:?} {:?}", config.show(), config.settings()),
        format!(
            "{:?} {reporter:?} {probe:?} {options:?}",
            builder(&settings)
        ),
        format!("{:?}", reporter.status().await),
        format!(
            "{:?}",
            reporter
                .deliver_now(std::time::Duration::from_secs(1))
                .await
        ),
    ];
    for (key, value) in [
        ("coordinator_api_key", format!("{KEY}\u{e9}")),
        ("coordinator_api_key", format!("{KEY}\r\nx: y")),
        ("coordinator_api_key", format!(" {KEY}")),
        ("coordinator_url", format!("http://{KEY}@host")),
        ("coordinator_url", format!("http://user:{KEY}@host:80/")),
        ("store", format!("redis://:{KEY}@host/{KEY}")),
    ] {
        let error = builder(&settings)
            .set(key, value)
            .build()
            .await
            .unwrap_err();
        shown.push(format!("{key}: {error} {error:?}"));
    }
    for text in shown {
        assert!(!text.contains(KEY), "{text}");
    }
}

#[tokio::test]
async fn the_key_is_not_kept_when_an_answer_repeats_it() {
    // As a debugging proxy does, which shows the request it refuses.
    let place = Place::new();
    let server = Scripted::start(|request| {
        let heard = request.headers()["authorization"].to_str().unwrap();
        answer(422, format!(r#"{{"error":"refused","heard":"{heard}"}}"#))
    })
    .await;
    let mut peer = Process::start(PEER, "trace", &place.fast(&server.url())).await;
    peer.send("report start i {}");
    peer.acknowledged(1).await;
    until("it is refused", || async {
        peer.log().contains("became a dead letter")
    })
    .await;
    peer.shutdown(5_000).await;
    let log = peer.whole_log().await;
    assert_eq!(lines_with_the_key(&log), [""; 0]);
    assert_eq!(files_with_the_key(place.folder()), [""; 0]);

    let settings = with(place.fast(&server.url()), &[("metrics_listen", "0")]);
    let reporter = builder(&settings).without_timer().build().await.unwrap();
    let letters = reporter.dead_letters(10, None).await.unwrap().entries;
    assert_eq!(letters.len(), 1);
    let said = letters[0].last_failure.as_deref().unwrap();
    assert!(
        said.starts_with("HTTP 422") && !said.contains(KEY),
        "{said}"
    );
    for probe in [
        reporter.check_connection().await,
        reporter.validate_api_key().await,
    ] {
        let probe = probe.unwrap();
        assert!(!probe.detail.contains(KEY), "{}", probe.detail);
    }
    // Nor do the metrics tell it, which count what was refused.
    reporter.report_start("other", "{}").await.unwrap();
    reporter
        .deliver_now(std::time::Duration::from_secs(5))
        .await
        .unwrap();
    let address = reporter.metrics_address().unwrap().unwrap();
    let (_, metrics) = get(address, "GET", "/metrics").await;
    assert!(
        metrics.contains("mcp_reporter_events_dead_lettered_total"),
        "{metrics}"
    );
    assert!(!metrics.contains(KEY), "{metrics}");
}

#[tokio::test]
async fn events_go_to_the_configured_authority_only() {
    let place = Place::new();
    let elsewhere = coordinator();
    let redirect = Fault::Redirect(format!("{}/api/v2/interactions", elsewhere.url()));
    let redirecting = faulty(redirect);
    let reporter = place.reporter(&redirecting.url(), &[]).await;
    reporter.report_start("i", "{}").await.unwrap();
    until("it was tried", || async {
        !redirecting.receipts().is_empty()
    })
    .await;
    assert!(!reporter.check_connection().await.unwrap().ok);
    assert!(!reporter.validate_api_key().await.unwrap().ok);
    assert_eq!(elsewhere.stats().connections, 0);
}
