//! The edge in `wash dev`, the program that PyPI has.

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{
    INGEST_KEY, Place, WashDev, coordinator, faulty, plugin_settings, stored,
};

use crate::served_edge::{EVENTS, delivered, taken};

#[tokio::test]
async fn wash_takes_events_through_an_outage_and_the_next_wash_delivers_them() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    let allowed = url.trim_start_matches("http://");
    // What is left to deliver is left to the second.
    let more = [("ingest_keys", INGEST_KEY), ("edge_budget", "0")];
    let settings = plugin_settings(&url, &more);
    let first = WashDev::start(&place, &settings, allowed).await;
    taken(first.address()).await;
    assert_eq!(coordinator.receipts().len(), 0);
    first.kill().await;

    coordinator.set_fault(Fault::None).unwrap();
    let second = WashDev::start(&place, &settings, allowed).await;
    delivered(second.address(), &coordinator).await;
}

#[tokio::test]
async fn in_wash_an_event_is_delivered_after_its_answer() {
    let (place, coordinator) = (Place::new(), coordinator());
    let url = coordinator.url();
    let allowed = url.trim_start_matches("http://");
    let settings = plugin_settings(&url, &[("ingest_keys", INGEST_KEY)]);
    let wash = WashDev::start(&place, &settings, allowed).await;
    taken(wash.address()).await;
    stored(&coordinator, EVENTS).await;
}
