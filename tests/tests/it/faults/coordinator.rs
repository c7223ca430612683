//! A coordinator that fails in every way, and is mended: two processes share
//! the outbox and the throttle meanwhile.

use std::time::Duration;

use mcp_reporter::coordinator::{Coordinator, Fault};
use mcp_reporter_tests::{
    Place, Process, SOON, Story, Witnessed, coordinator, outbox, stored, with,
};

use crate::PEER;

const LIMIT: usize = 20;
const PERIOD: Duration = Duration::from_millis(500);
/// A request that gets no answer is over after half a second.
const SETTINGS: [(&str, &str); 4] = [
    ("rate_limit", "20"),
    ("rate_period", "0.5"),
    ("request_timeout", "0.5"),
    ("retry_delay", "0.005"),
];

/// Two processes on one outbox, and what they told.
struct Scene {
    coordinator: Coordinator,
    place: Place,
    settings: Vec<(String, String)>,
    story: Story,
    peers: [Witnessed; 2],
}

impl Scene {
    async fn new() -> Self {
        let place = Place::new();
        let coordinator = coordinator();
        let settings = with(place.fast(&coordinator.url()), &SETTINGS);
        let peers = [
            Process::start(PEER, "warn", &settings).await.into(),
            Process::start(PEER, "warn", &settings).await.into(),
        ];
        Self {
            coordinator,
            place,
            settings,
            story: Story::throttled(LIMIT, PERIOD),
            peers,
        }
    }

    /// Five interactions of four events from each process.
    async fn report(&mut self, part: &str) {
        for (who, peer) in self.peers.iter_mut().enumerate() {
            for n in 0..5 {
                peer.interaction(&mut self.story, &format!("{part}{who}-{n}"));
            }
        }
        for peer in &mut self.peers {
            peer.acknowledged(&mut self.story).await;
        }
    }

    /// Waits until that many requests have been received.
    async fn received(&self, count: usize) {
        let come = self
            .coordinator
            .wait_for(|seen| seen.receipts().len() >= count, SOON)
            .await;
        come.unwrap_or_else(|missing| panic!("{missing}"));
    }

    /// Mends the coordinator; all is delivered, and the oracle agrees.
    async fn mended(mut self) {
        self.coordinator.set_fault(Fault::None).unwrap();
        self.report("mended").await;
        stored(&self.coordinator, 80).await;
        for peer in &mut self.peers {
            assert!(
                peer.process.shutdown(20_000).await,
                "{}",
                peer.process.log()
            );
        }
        let left = outbox(&self.settings).await;
        let tally = self.story.check(&self.coordinator.receipts(), &left);
        assert_eq!((tally.delivered, tally.waiting, tally.dead), (80, 0, 0));
        assert_eq!(self.coordinator.stats().dropped_unknown, 0);
        println!("{tally}");
        drop(self.place);
    }
}

/// The fault lasts until that many requests have met it.
async fn lasts(fault: Fault, requests: usize) {
    let mut scene = Scene::new().await;
    scene.coordinator.set_fault(fault).unwrap();
    scene.report("faulty").await;
    scene.received(requests).await;
    scene.mended().await;
}

#[tokio::test]
async fn a_coordinator_that_refuses_connections_loses_nothing() {
    let mut scene = Scene::new().await;
    scene.coordinator.set_fault(Fault::Refuse).unwrap();
    scene.report("faulty").await;
    let idle = mcp_reporter_tests::builder(&scene.settings).without_timer();
    let idle = idle.build().await.unwrap();
    mcp_reporter_tests::until("it was tried twice", || async {
        idle.status().await.unwrap().resent_total > 0
    })
    .await;
    scene.mended().await;
}

#[tokio::test]
async fn a_coordinator_that_closes_its_connections_in_the_middle_loses_nothing() {
    let mut scene = Scene::new().await;
    scene.report("before").await;
    scene.received(10).await;
    // Answers on their way are lost with the connections.
    scene.story.disturb();
    scene.coordinator.set_fault(Fault::Refuse).unwrap();
    scene.story.disturb();
    scene.mended().await;
}

#[tokio::test]
async fn a_coordinator_that_hangs_loses_nothing() {
    lasts(Fault::Hang, 10).await;
}

#[tokio::test]
async fn a_coordinator_that_resets_connections_loses_nothing() {
    lasts(Fault::Reset, 10).await;
}

#[tokio::test]
async fn a_coordinator_that_answers_500_for_ever_loses_nothing() {
    lasts(Fault::Status(500), 15).await;
}

#[tokio::test]
async fn a_retry_after_in_seconds_loses_nothing() {
    lasts(Fault::RetryAfter(1), 3).await;
}

#[tokio::test]
async fn a_retry_after_as_a_date_loses_nothing() {
    lasts(Fault::RetryAfterDate(2), 3).await;
}

#[tokio::test]
async fn a_coordinator_that_stores_and_then_cuts_loses_nothing_and_is_told_the_same_key() {
    let mut scene = Scene::new().await;
    scene.coordinator.set_fault(Fault::Cut).unwrap();
    scene.report("faulty").await;
    scene.received(10).await;
    let cut = scene.coordinator.stats().processed;
    assert!(cut > 0, "nothing was stored before it was cut");
    scene.mended().await;
}
