//! Answers that refuse one event: it becomes a dead letter.

use mcp_reporter::Action;
use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{
    Place, assert_one_key_each, coordinator, drained, histories, stored, until,
};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_refused_event_becomes_a_dead_letter_and_later_ones_follow_until_a_redrive() {
    let mut cases = JoinSet::new();
    for status in [
        400, 402, 406, 411, 413, 414, 415, 418, 422, 426, 428, 431, 451, 499,
    ] {
        cases.spawn(async move {
            let place = Place::new();
            let coordinator = coordinator();
            coordinator.set_fault_for(Fault::Status(status), 1).unwrap();
            let reporter = place.reporter(&coordinator.url(), &[]).await;
            reporter.report_start("a", r#"{"n":1}"#).await.unwrap();
            until("it is a dead letter", || async {
                reporter.status().await.unwrap().dead_letters == 1
            })
            .await;
            reporter.report_progress("a", r#"{"n":2}"#).await.unwrap();
            reporter.report_complete("a", r#"{"n":3}"#).await.unwrap();
            reporter.report_start("b", "{}").await.unwrap();
            stored(&coordinator, 1).await;
            drained(&reporter).await;

            // Only `b` came after the one that was refused.
            let sent: Vec<_> = coordinator
                .receipts()
                .into_iter()
                .map(|r| r.interaction_id.unwrap())
                .collect();
            assert_eq!(sent, ["a", "b"], "{status}");
            let letters = reporter.dead_letters(10, None).await.unwrap().entries;
            let actions: Vec<_> = letters.iter().map(|l| l.action.unwrap()).collect();
            assert_eq!(actions, [Action::Start, Action::Progress, Action::Complete]);
            let said = letters[0].last_failure.as_deref().unwrap();
            assert!(said.starts_with(&format!("HTTP {status}")), "{said}");
            assert_eq!(letters[0].tries, 1);
            for letter in &letters[1..] {
                let said = letter.last_failure.as_deref();
                let follows = "follows an event of its interaction that was refused";
                assert_eq!((said, letter.tries), (Some(follows), 0));
            }

            assert_eq!(reporter.redrive(vec!["a".to_owned()]).await.unwrap(), 3);
            stored(&coordinator, 4).await;
            drained(&reporter).await;
            let events = coordinator.stored().unwrap();
            assert_eq!(
                histories(&events)["a"],
                ["start", "progress", "complete"],
                "{status}"
            );
            assert_one_key_each(&coordinator.receipts());
            assert_eq!(reporter.status().await.unwrap().dead_letters, 0);
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn the_answer_is_kept_with_the_dead_letter() {
    let place = Place::new();
    let coordinator = coordinator();
    coordinator.set_fault_for(Fault::Status(413), 1).unwrap();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    reporter.report_start("a", r#"{"n":1}"#).await.unwrap();
    until("it is a dead letter", || async {
        reporter.status().await.unwrap().dead_letters == 1
    })
    .await;
    let letter = reporter
        .dead_letters(10, None)
        .await
        .unwrap()
        .entries
        .remove(0);
    let said = letter.last_failure.as_deref();
    assert_eq!(said, Some(r#"HTTP 413: {"detail":"Payload Too Large"}"#));
    let body = reporter.show(letter.key).await.unwrap().unwrap();
    assert!(body.ends_with(r#""request_data":{"n":1}}"#), "{body}");
}
