//! What each answer of the coordinator leads to: the design's delivery table.

mod breaker;
mod pause;
mod refused;
mod transient;

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{Place, coordinator, drained, stored};
use tokio::task::JoinSet;

#[tokio::test]
async fn any_2xx_means_stored_and_the_event_leaves() {
    let statuses = [200, 201, 202, 203, 204, 205, 206, 226, 299].map(Fault::Status);
    let mut cases = JoinSet::new();
    for fault in statuses.into_iter().chain([Fault::Huge]) {
        cases.spawn(async move {
            let place = Place::new();
            let coordinator = coordinator();
            coordinator.set_fault(fault.clone()).unwrap();
            let reporter = place.reporter(&coordinator.url(), &[]).await;
            let call = reporter.start("{}").await.unwrap();
            call.complete("{}").await.unwrap();
            stored(&coordinator, 2).await;
            drained(&reporter).await;
            let status = reporter.status().await.unwrap();
            assert_eq!(
                (status.dead_letters, status.resent_total),
                (0, 0),
                "{fault}"
            );
            assert_eq!(coordinator.receipts().len(), 2, "{fault}");
        });
    }
    cases.join_all().await;
}
