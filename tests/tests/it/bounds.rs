//! The outbox is bounded by count and by bytes, and says what it dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use mcp_reporter::{Action, Report, ReportError, Reporter};
use mcp_reporter_tests::{Place, builder, coordinator, drained, histories, stored, with};

const INTERACTIONS: usize = 60;
const ACTIONS: [Action; 3] = [Action::Start, Action::Progress, Action::Complete];

async fn idle(place: &Place, url: &str, more: &[(&str, &str)]) -> Reporter {
    let settings = with(place.fast(url), more);
    builder(&settings).without_timer().build().await.unwrap()
}

/// Reports whole interactions, one after the other, and returns the size of an event.
async fn fill(reporter: &Reporter) -> u64 {
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000));
    for n in 0..INTERACTIONS {
        let id = format!("i{n:03}");
        let reports = ACTIONS.map(|action| Report::new(action, id.as_str(), data.as_str()));
        for result in reporter.report_many(reports.into()).await {
            result.unwrap();
        }
    }
    reporter.waiting(1, None).await.unwrap().entries[0].size
}

/// How many events of each interaction wait.
async fn waiting(reporter: &Reporter) -> BTreeMap<String, usize> {
    let page = reporter.waiting(1_000, None).await.unwrap();
    let mut waiting = BTreeMap::new();
    for entry in page.entries {
        *waiting.entry(entry.interaction_id).or_default() += 1;
    }
    waiting
}

#[tokio::test]
async fn a_full_outbox_drops_its_oldest_interactions_whole_and_counts_them() {
    for bound in [("max_events", "90"), ("max_bytes", "100000")] {
        let (place, coordinator) = (Place::new(), coordinator());
        let more = [bound, ("when_full", "drop-oldest")];
        let reporter = idle(&place, &coordinator.url(), &more).await;
        let size = fill(&reporter).await;
        let status = reporter.status().await.unwrap();
        let most: u64 = bound.1.parse().unwrap();
        let used = match bound.0 {
            "max_events" => status.waiting,
            _ => status.bytes,
        };
        assert!(used <= most, "{bound:?}: {status:?}");
        // Not more than need be: of what is allowed, at most a twentieth and an interaction go.
        assert!(
            used + most / 10 + 4 * size.min(most / 30) >= most,
            "{bound:?}: {status:?}"
        );
        let all = (INTERACTIONS * ACTIONS.len()) as u64;
        assert_eq!(status.waiting + status.dropped_total, all, "{bound:?}");

        let waiting = waiting(&reporter).await;
        let kept: Vec<_> = waiting.keys().cloned().collect();
        assert!(waiting.values().all(|events| *events == 3), "{waiting:?}");
        let newest = (INTERACTIONS - kept.len()..INTERACTIONS).map(|n| format!("i{n:03}"));
        assert_eq!(kept, newest.collect::<Vec<_>>(), "{bound:?}");
        reporter.shutdown(Duration::from_secs(5)).await;

        // What was kept is delivered, and what was dropped is not forgotten.
        let reporter = place.reporter(&coordinator.url(), &more).await;
        stored(&coordinator, status.waiting).await;
        drained(&reporter).await;
        let after = reporter.status().await.unwrap();
        assert_eq!(after.dropped_total, status.dropped_total);
        assert_eq!(after.delivered_total, status.waiting);
        let histories = histories(&coordinator.stored().unwrap());
        assert_eq!(
            histories.keys().collect::<Vec<_>>(),
            kept.iter().collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn an_outbox_full_of_bytes_refuses_new_interactions_and_keeps_room_for_ends() {
    let place = Place::new();
    let more = [("max_bytes", "20000")];
    let reporter = idle(&place, "http://127.0.0.1:9", &more).await;
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(700));
    let mut begun = 0;
    let refused = loop {
        match reporter.report_start(format!("i{begun}"), &*data).await {
            Ok(_) => begun += 1,
            Err(refused) => break refused,
        }
    };
    let ReportError::OutboxFull(text) = refused else {
        panic!("{refused}");
    };
    assert!(text.contains("max_bytes = 20000 "), "{text}");
    let before = reporter.status().await.unwrap();
    assert!((18_000..=19_000).contains(&before.bytes), "{before:?}");
    reporter.report_complete("i0", &*data).await.unwrap();
    let after = reporter.status().await.unwrap();
    assert!(
        after.bytes > 19_000 - 900 && after.bytes <= 20_000,
        "{after:?}"
    );
    assert_eq!(after.dropped_total, 0);
}
