//! What a reporter tells Prometheus: in numbers, in form, and in the documentation.

use std::collections::BTreeMap;
use std::net::TcpListener;

use mcp_reporter::coordinator::Fault;
use mcp_reporter::{Outcome, ReportError};
use mcp_reporter_tests::{
    Exposition, KEY, Place, builder, coordinator, drained, get, scrape, stored, until, with,
};

const DOCUMENTATION: &str = include_str!("../../../docs/metrics.md");

#[tokio::test]
async fn the_numbers_follow_a_reporter_through_its_life() {
    let place = Place::new();
    let coordinator = coordinator();
    let more = [("metrics_listen", "0"), ("request_timeout", "0.5")];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    let address = reporter.metrics_address().unwrap().unwrap();
    assert!(address.ip().is_loopback(), "{address}");

    // Nothing yet: every metric is there all the same, so that a rate can be taken of it.
    let first = scrape(address).await;
    assert_eq!(first.sum("mcp_reporter_events_accepted_total"), 0.0);
    assert_eq!(
        first.value(r#"mcp_reporter_breaker_state{state="closed"}"#),
        1.0
    );
    assert_eq!(first.sum("mcp_reporter_breaker_state"), 1.0);

    // Accepted, refused, delivered.
    reporter.report_start("a", "{}").await.unwrap();
    reporter.report_progress("a", "{}").await.unwrap();
    reporter.report_complete("a", "{}").await.unwrap();
    let refused = reporter.report_start("b", "no object").await;
    assert!(matches!(refused, Err(ReportError::InvalidInput(_))));
    stored(&coordinator, 3).await;
    drained(&reporter).await;
    let seen = until_seen(address, |seen| {
        seen.value("mcp_reporter_outbox_delivered_total") == 3.0
            && seen.value("mcp_reporter_lease_held") == 0.0
    })
    .await;
    let accepted = |action: &str| {
        seen.value(&format!(
            r#"mcp_reporter_events_accepted_total{{action="{action}"}}"#
        ))
    };
    assert_eq!(
        ["start", "progress", "complete", "error"].map(accepted),
        [1.0, 1.0, 1.0, 0.0]
    );
    assert_eq!(
        seen.value(r#"mcp_reporter_events_refused_total{reason="invalid"}"#),
        1.0
    );
    assert_eq!(seen.sum("mcp_reporter_events_refused_total"), 1.0);
    assert_eq!(
        seen.value("mcp_reporter_accept_duration_seconds_count"),
        4.0
    );
    assert_eq!(seen.value("mcp_reporter_events_delivered_total"), 3.0);
    assert_eq!(
        seen.value(r#"mcp_reporter_request_duration_seconds_count{status="2xx"}"#),
        3.0
    );
    assert_eq!(seen.sum("mcp_reporter_request_duration_seconds_count"), 3.0);
    assert_eq!(seen.value("mcp_reporter_outbox_waiting"), 0.0);
    assert_eq!(seen.value("mcp_reporter_outbox_oldest_age_seconds"), 0.0);

    // An outage: events wait and get older, tries fail, the breaker opens.
    coordinator.set_fault(Fault::Refuse).unwrap();
    reporter.report_start("c", "{}").await.unwrap();
    let seen = until_seen(address, |seen| {
        seen.value(r#"mcp_reporter_breaker_state{state="closed"}"#) == 0.0
            && seen.value("mcp_reporter_tries_failed_total") >= 5.0
    })
    .await;
    assert_eq!(seen.sum("mcp_reporter_breaker_state"), 1.0);
    assert_eq!(seen.value("mcp_reporter_outbox_waiting"), 1.0);
    assert!(seen.value("mcp_reporter_outbox_bytes") > 50.0);
    assert!(seen.value("mcp_reporter_outbox_oldest_age_seconds") > 0.0);
    assert!(seen.value(r#"mcp_reporter_request_duration_seconds_count{status="error"}"#) >= 5.0);

    // It hangs: that is another class.
    coordinator.set_fault(Fault::Hang).unwrap();
    until_seen(address, |seen| {
        seen.value(r#"mcp_reporter_request_duration_seconds_count{status="timeout"}"#) >= 1.0
    })
    .await;

    // It refuses for good: a dead letter, and what follows it is one too.
    coordinator.set_fault(Fault::Status(422)).unwrap();
    reporter.report_error("c", "{}").await.unwrap();
    let seen = until_seen(address, |seen| {
        seen.value("mcp_reporter_outbox_dead_letters") == 2.0
    })
    .await;
    let dead = |action: &str, reason: &str| {
        seen.value(&format!(
            r#"mcp_reporter_events_dead_lettered_total{{action="{action}",reason="{reason}"}}"#
        ))
    };
    assert_eq!(dead("start", "refused"), 1.0);
    assert_eq!(dead("error", "follows"), 1.0);
    assert_eq!(seen.sum("mcp_reporter_events_dead_lettered_total"), 2.0);
    assert_eq!(seen.value("mcp_reporter_outbox_waiting"), 0.0);

    // Back, and again.
    coordinator.set_fault(Fault::None).unwrap();
    reporter.redrive(vec![]).await.unwrap();
    stored(&coordinator, 5).await;
    let seen = until_seen(address, |seen| {
        seen.value("mcp_reporter_outbox_delivered_total") == 5.0
            && seen.value("mcp_reporter_events_delivered_total") == 5.0
    })
    .await;
    assert!(seen.value("mcp_reporter_outbox_resent_total") >= 5.0);
    assert_eq!(seen.value("mcp_reporter_status_errors_total"), 0.0);
    assert_eq!(seen.value("mcp_reporter_delivery_errors_total"), 0.0);
    reporter.shutdown(std::time::Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_full_outbox_and_what_it_drops_are_counted() {
    let place = Place::new();
    let nobody = "http://127.0.0.1:9";
    let more = [("metrics_listen", "127.0.0.1:0"), ("max_events", "20")];
    let rejecting = builder(&with(place.fast(nobody), &more))
        .without_timer()
        .build()
        .await
        .unwrap();
    let mut full = 0.0;
    for n in 0..30 {
        if rejecting.report_start(format!("i{n}"), "{}").await.is_err() {
            full += 1.0;
        }
    }
    let seen = scrape(rejecting.metrics_address().unwrap().unwrap()).await;
    assert_eq!(full, 11.0, "the last twentieth is for ends");
    assert_eq!(
        seen.value(r#"mcp_reporter_events_refused_total{reason="full"}"#),
        full
    );
    assert_eq!(seen.value("mcp_reporter_outbox_waiting"), 19.0);

    let place = Place::new();
    let more = [&more[..], &[("when_full", "drop-oldest")]].concat();
    let dropping = builder(&with(place.fast(nobody), &more))
        .without_timer()
        .build()
        .await
        .unwrap();
    for n in 0..30 {
        dropping.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    let seen = scrape(dropping.metrics_address().unwrap().unwrap()).await;
    let dropped = seen.value("mcp_reporter_outbox_dropped_total");
    assert!(dropped >= 11.0, "{dropped}");
    assert_eq!(seen.value("mcp_reporter_outbox_waiting") + dropped, 30.0);
    // The two in this process did not mix.
    assert_eq!(seen.sum("mcp_reporter_events_refused_total"), 0.0);
    assert_eq!(seen.sum("mcp_reporter_events_accepted_total"), 30.0);
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_and_stops_no_report() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (place, coordinator) = (Place::new(), coordinator());
    let more = [("metrics_listen", &*address.to_string())];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    let error = reporter.metrics_address().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("metrics_listen = \"{address}\": ")),
        "{error}"
    );
    assert!(error.contains("use a free port"), "{error}");
    assert_eq!(reporter.report_start("a", "{}").await, Ok(Outcome::Queued));
    stored(&coordinator, 1).await;
}

#[tokio::test]
async fn only_the_metrics_are_served_and_they_hold_nothing_from_outside() {
    let (place, coordinator) = (Place::new(), coordinator());
    let more = [("metrics_listen", "0")];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    reporter
        .report_start("int_secret_id", r#"{"text":"payload"}"#)
        .await
        .unwrap();
    stored(&coordinator, 1).await;
    let address = reporter.metrics_address().unwrap().unwrap();
    let (_, body) = get(address, "GET", "/metrics").await;
    for secret in [
        KEY,
        "int_secret_id",
        "payload",
        place.folder().to_str().unwrap(),
    ] {
        assert!(!body.contains(secret), "{secret}: {body}");
    }
    let (head, body) = get(address, "HEAD", "/metrics").await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.is_empty(),
        "{head}"
    );
    let (head, _) = get(address, "GET", "/").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let (head, _) = get(address, "POST", "/metrics").await;
    assert!(
        head.starts_with("HTTP/1.1 405 ") && head.contains("GET, HEAD"),
        "{head}"
    );
    // Without the setting there is nothing to reach.
    let quiet = Place::new().reporter(&coordinator.url(), &[]).await;
    assert_eq!(quiet.metrics_address(), Ok(None));
}

#[tokio::test]
async fn the_documentation_lists_exactly_what_is_exposed() {
    let place = Place::new();
    let more = [("metrics_listen", "0")];
    let reporter = place.reporter("http://127.0.0.1:9", &more).await;
    let seen = scrape(reporter.metrics_address().unwrap().unwrap()).await;
    let documented: BTreeMap<String, String> = DOCUMENTATION
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`').to_owned();
            Some((name, cells.next()?.to_owned()))
        })
        .collect();
    assert_eq!(&documented, seen.types());
    // Every alert asks for something that there is.
    let mut alerts = 0;
    let rules = DOCUMENTATION.split("```yaml\n").nth(1).unwrap();
    let rules = rules.split("```").next().unwrap();
    for line in rules
        .lines()
        .filter(|line| line.trim_start().starts_with("expr:"))
    {
        alerts += 1;
        let words = line.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        let mut asked = words
            .filter(|word| word.starts_with("mcp_reporter_"))
            .peekable();
        assert!(asked.peek().is_some(), "{line}");
        for name in asked {
            let base = name.trim_end_matches("_bucket").trim_end_matches("_count");
            assert!(seen.types().contains_key(base), "{name} in {line}");
        }
    }
    assert_eq!(alerts, rules.matches("- alert:").count());
    assert!(alerts >= 8, "{alerts}");
}

#[test]
fn the_reader_of_the_format_is_strict() {
    let head = "# HELP a text\n# TYPE a counter\n";
    assert!(Exposition::parse(&format!("{head}a{{b=\"c\"}} 1\n")).is_ok());
    for wrong in [
        "a 1",
        "a x\n",
        "a{b=c} 1\n",
        "b 1\n",
        "a 1\na 1\n",
        "a{le=\"1\"} 1\n",
        "",
        "a -1\n",
    ] {
        let text = format!("{head}{wrong}");
        assert!(Exposition::parse(&text).is_err(), "{text}");
    }
    let head = "# HELP h text\n# TYPE h histogram\n";
    let good = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    assert!(Exposition::parse(&format!("{head}{good}")).is_ok());
    for wrong in [
        good.replace("} 1", "} 3"),
        good.replace("count 2", "count 3"),
    ] {
        assert!(
            Exposition::parse(&format!("{head}{wrong}")).is_err(),
            "{wrong}"
        );
    }
}

/// Scrapes until `done` says so, and returns that scrape.
async fn until_seen(
    address: std::net::SocketAddr,
    done: impl Fn(&Exposition) -> bool,
) -> Exposition {
    let last = std::cell::RefCell::new(None);
    until("the metrics say so", || async {
        let seen = scrape(address).await;
        let is_done = done(&seen);
        last.replace(Some(seen));
        is_done
    })
    .await;
    last.into_inner().unwrap()
}
