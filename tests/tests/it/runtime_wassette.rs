//! The plugin on the profile of Wassette: a runtime that links what Wassette links and nothing else,
//! makes an instance for each call, and denies every host that its policy does not name.

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{
    BRIEF_REPORT, Place, Plugin, Story, coordinator, faulty, plugin_settings, report,
};

/// Longer than a delivery takes here.
const BUDGET_MS: u32 = 20_000;

#[tokio::test]
async fn what_was_reported_in_an_outage_is_delivered_once_when_an_agent_says_so() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    let plugin = Plugin::in_wassette(&plugin_settings(&url, &[BRIEF_REPORT]), &["127.0.0.1"]);
    let mut story = Story::new();
    for action in ["start", "progress", "error"] {
        let attempt = story.attempt(action, "i1", r#"{"a": 1.50}"#);
        let call = report(action, "i1", r#"{"a": 1.50}"#);
        let outcome = plugin.report(place.folder(), call).await.unwrap();
        assert_eq!(format!("{outcome:?}"), "Outcome::Queued", "{action}");
        story.acknowledge(attempt);
    }
    let bad = plugin.report(place.folder(), report("progress", "i1", "[1]"));
    let failure = format!("{:?}", bad.await.failure());
    assert!(failure.contains("data is not a JSON object"), "{failure}");

    coordinator.set_fault(Fault::None).unwrap();
    let delivery = plugin.deliver(place.folder(), BUDGET_MS).await.unwrap();
    assert_eq!((delivery.delivered, delivery.waiting), (3, 0));
    let tally = story.check(&coordinator.receipts(), &[]);
    assert_eq!((tally.delivered, tally.repeated), (3, 0), "{tally}");
}

#[tokio::test]
async fn what_the_policy_does_not_let_out_stays_and_the_status_says_when_it_is_tried_again() {
    let (place, coordinator) = (Place::new(), coordinator());
    let url = coordinator.url();
    let plugin = Plugin::in_wassette(&plugin_settings(&url, &[]), &["localhost"]);
    let outcome = plugin.report(place.folder(), report("start", "i1", "{}"));
    let outcome = outcome.await.unwrap();
    assert_eq!(format!("{outcome:?}"), "Outcome::Queued");
    let status = plugin.status(place.folder()).await.unwrap();
    assert_eq!((status.waiting, status.dead_letters), (1, 0));
    let reason = status.paused_reason.as_deref().unwrap_or_default();
    assert!(reason.contains("the runtime denies requests"), "{reason}");
    assert!(status.next_attempt_ms.is_some());
    assert_eq!(coordinator.receipts().len(), 0);
}
