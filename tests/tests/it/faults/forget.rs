//! A coordinator that forgets which interactions have begun, as the real one does when it restarts.

use std::collections::HashMap;
use std::time::Duration;

use mcp_reporter::coordinator::Fault;
use mcp_reporter::reporter::Report;
use mcp_reporter::{Action, Outcome};
use mcp_reporter_tests::{Place, SOON, coordinator};

/// Interactions, one after the other, and requests at once.
const INTERACTIONS: usize = 100;
const IN_FLIGHT: usize = 4;
/// Events between two restarts.
const BETWEEN: u32 = 75;

#[tokio::test]
async fn of_a_backlog_a_restart_orphans_no_more_than_was_in_flight() {
    let (place, coordinator) = (Place::new(), coordinator());
    coordinator.set_fault(Fault::Refuse).unwrap();
    let settings = [
        ("rate_limit", "0"),
        ("max_in_flight", &IN_FLIGHT.to_string()),
        ("retry_delay", "0.1"),
    ];
    let reporter = place.reporter(&coordinator.url(), &settings).await;
    for n in 0..INTERACTIONS {
        let id = format!("int_1718000000_{n:08x}");
        let actions = [Action::Start, Action::Progress, Action::Complete];
        let reports = actions.map(|action| Report::new(action, id.as_str(), "{}"));
        for stored in reporter.report_many(reports.to_vec()).await {
            assert_eq!(stored.unwrap(), Outcome::Queued);
        }
    }
    coordinator.set_fault(Fault::Forget(BETWEEN)).unwrap();
    let all = 3 * INTERACTIONS as u64;
    let done = coordinator
        .wait_for(|seen| seen.stats().received == all, SOON)
        .await;
    done.unwrap();
    reporter.shutdown(Duration::from_secs(10)).await;

    let mut stored = HashMap::<String, usize>::new();
    for event in coordinator.stored().unwrap() {
        *stored.entry(event.interaction_id).or_default() += 1;
    }
    let orphaned = stored.values().filter(|events| **events < 3).count();
    let restarts = (all as usize - 1) / BETWEEN as usize;
    // What was in flight, and the one that was under way.
    let most = restarts * (IN_FLIGHT + 1);
    assert_eq!(stored.len(), INTERACTIONS, "every start arrived");
    assert!(orphaned > 0, "it has forgotten nothing");
    assert!(orphaned <= most, "{orphaned} of at most {most}");
}
