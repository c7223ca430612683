//! An outbox that is split into shards, and delivered by several hosts at once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use mcp_reporter::coordinator::{Coordinator, Fault, Receipt};
use mcp_reporter::engine::PurgeFilter;
use mcp_reporter::store::{Durability, SqliteOptions, SqliteStore, Store, agree_on_shards};
use mcp_reporter::{BuildError, Reporter};
use mcp_reporter_core::outbox::interaction_hash;
use mcp_reporter_tests::{
    Place, Process, RedisServer, SOON, Story, Witnessed, builder, coordinator, drained, outbox,
    scrape, stored, until, with,
};

use crate::PEER;
use crate::allowed_rate::assert_rate;

type Settings = Vec<(String, String)>;

/// The settings of a host with 4 shards and 40 sends a second.
fn four_shards(place: &Place, coordinator: &Coordinator, store: Option<&str>) -> Settings {
    let more = [
        ("shards", "4"),
        ("rate_limit", "40"),
        ("metrics_listen", "0"),
    ];
    let settings = with(place.fast(&coordinator.url()), &more);
    match store {
        Some(store) => with(settings, &[("store", store)]),
        None => settings,
    }
}

async fn host(settings: &Settings) -> Witnessed {
    Process::start(PEER, "info", settings).await.into()
}

/// How many events a process has delivered itself.
async fn delivered(host: &Witnessed) -> f64 {
    let log = host.process.log();
    let address = log
        .split_once("metrics are at http://")
        .and_then(|(_, rest)| rest.split_once("/metrics"))
        .and_then(|(address, _)| address.parse::<SocketAddr>().ok());
    let seen = scrape(address.expect("it says where its metrics are")).await;
    seen.value("mcp_reporter_events_delivered_total")
}

/// Two hosts report and deliver 60 interactions through 4 shards.
async fn two_hosts(a: &Settings, b: &Settings, coordinator: &Coordinator) {
    const INTERACTIONS: usize = 60;
    let mut story = Story::throttled(40, Duration::from_secs(1));
    let mut hosts = [host(a).await, host(b).await];
    for i in 0..INTERACTIONS {
        hosts[i % 2].interaction(&mut story, &format!("i{i}"));
    }
    for host in &mut hosts {
        host.acknowledged(&mut story).await;
    }
    stored(coordinator, 4 * INTERACTIONS as u64).await;
    for host in &hosts {
        // Who delivered says so when the delivery has ended.
        until("its metrics say that it delivered", || async {
            delivered(host).await > 20.0
        })
        .await;
    }
    for host in &mut hosts {
        let delivered_all = host.process.shutdown(20_000).await;
        assert!(delivered_all, "{}", host.process.log());
    }
    let tally = story.check(&coordinator.receipts(), &outbox(a).await);
    println!("{tally}");
    assert_eq!(tally.delivered, 4 * INTERACTIONS);
    assert_eq!(tally.repeated, 0);
    // The rate is also used: 240 events are six windows of 1.05 s.
    let receipts = coordinator.receipts();
    let took = receipts[receipts.len() - 1].at - receipts[0].at;
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[tokio::test]
async fn four_shards_on_two_hosts_keep_the_order_and_the_rate_and_share_the_work() {
    let server = RedisServer::durable();
    let (here, there) = (Place::new(), Place::new());
    let coordinator = coordinator();
    let url = server.url();
    let settings = |place| four_shards(place, &coordinator, Some(&url));
    two_hosts(&settings(&here), &settings(&there), &coordinator).await;
}

#[tokio::test]
async fn four_shards_of_two_processes_on_one_file_keep_the_order_and_the_rate() {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = four_shards(&place, &coordinator, None);
    two_hosts(&settings, &settings, &coordinator).await;
}

#[tokio::test]
async fn kill_9_of_one_of_two_hosts_loses_nothing_and_keeps_order_and_rate() {
    const INTERACTIONS: usize = 90;
    let server = RedisServer::durable();
    let (here, there) = (Place::new(), Place::new());
    let coordinator = coordinator();
    let url = server.url();
    let settings = |place| four_shards(place, &coordinator, Some(&url));
    let mut story = Story::throttled(40, Duration::from_secs(1));
    let mut a = host(&settings(&here)).await;
    let mut b = host(&settings(&there)).await;
    for i in 0..INTERACTIONS {
        let host = if i % 2 == 0 { &mut a } else { &mut b };
        host.interaction(&mut story, &format!("i{i}"));
    }
    a.acknowledged(&mut story).await;
    b.acknowledged(&mut story).await;
    // Both deliver when one dies.
    until("both deliver", || async {
        delivered(&a).await > 0.0 && delivered(&b).await > 0.0
    })
    .await;
    a.kill(&mut story).await;
    // Its leases and claims run out within 6 s; what it was sending is then sent again.
    let sent_by_now = coordinator.receipts().len();
    assert!(sent_by_now < 4 * INTERACTIONS, "it was over before");
    stored(&coordinator, 4 * INTERACTIONS as u64).await;
    story.disturb();
    assert!(b.process.shutdown(20_000).await, "{}", b.process.log());
    let tally = story.check(&coordinator.receipts(), &outbox(&settings(&there)).await);
    println!("{tally}");
    assert_eq!(tally.delivered, 4 * INTERACTIONS);
}

/// Ids of interactions in this shard of two.
fn in_shard(shard: u64) -> impl Iterator<Item = String> {
    (0..)
        .map(|n| format!("i{n}"))
        .filter(move |id| interaction_hash(id) % 2 == shard)
}

/// Of two shards with 40 sends a second one soon has nothing more to send.
async fn one_falls_idle(settings: Settings, coordinator: &Coordinator) {
    const SHORT: usize = 20;
    const LONG: usize = 240;
    let more = [("shards", "2"), ("rate_limit", "40")];
    let reporter = builder(&with(settings, &more)).build().await.unwrap();
    let long = in_shard(0).take(LONG).map(|id| (id, "{}"));
    let short = in_shard(1).take(SHORT).map(|id| (id, "{}"));
    let reports = short.chain(long).map(|(id, data)| {
        let start = mcp_reporter::Action::Start;
        mcp_reporter::Report::new(start, id, data)
    });
    let results = reporter.report_many(reports.collect()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    stored(coordinator, (SHORT + LONG) as u64).await;
    let receipts = coordinator.receipts();
    assert_rate(&receipts, 40, Duration::from_secs(1));
    assert_eq!(receipts.len(), SHORT + LONG);
    let is_short = |receipt: &&Receipt| {
        let id = receipt.interaction_id.as_deref().unwrap_or_default();
        interaction_hash(id) % 2 == 1
    };
    let idle_since = receipts.iter().filter(is_short).map(|r| r.at).max();
    let from = idle_since.unwrap() + Duration::from_secs(1);
    // From a second later on: three windows of 1.05 s, of 40 each; half of the rate is 60.
    let to = from + Duration::from_millis(3_150);
    let later = receipts.iter().filter(|r| (from..to).contains(&r.at));
    let count = later.count();
    println!("{count} in three windows");
    assert!(count >= 100, "{count} of 120");
    reporter.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_share_of_an_idle_shard_is_used_by_the_other_within_a_second_on_a_file() {
    let place = Place::new();
    let coordinator = coordinator();
    one_falls_idle(place.fast(&coordinator.url()), &coordinator).await;
}

#[tokio::test]
async fn the_share_of_an_idle_shard_is_used_by_the_other_within_a_second_on_redis() {
    let server = RedisServer::durable();
    let place = Place::new();
    let coordinator = coordinator();
    let store = [("store", &*server.url())];
    let settings = with(place.fast(&coordinator.url()), &store);
    one_falls_idle(settings, &coordinator).await;
}

/// Why no reporter is built with so many shards.
async fn refusal(settings: &Settings, shards: &str) -> String {
    let settings = with(settings.clone(), &[("shards", shards)]);
    let built = builder(&settings).without_timer().build().await;
    match built {
        Err(error @ BuildError::Store(_)) => error.to_string(),
        other => panic!("shards = {shards}: {other:?}"),
    }
}

async fn idle(settings: &Settings, shards: &str) -> Reporter {
    let settings = with(settings.clone(), &[("shards", shards)]);
    builder(&settings).without_timer().build().await.unwrap()
}

async fn another_number_is_refused(settings: Settings, coordinator: &Coordinator) {
    const END: Duration = Duration::from_secs(5);
    // Without a number it has one shard.
    let one = idle(&settings, "1").await;
    one.report_start("a", "{}").await.unwrap();
    one.shutdown(END).await;
    let said = refusal(&settings, "4").await;
    assert!(
        said.contains("the outbox has shards = 1 and holds 1 event, but shards = 4 is set"),
        "{said}"
    );
    let one = idle(&settings, "1").await;
    one.deliver_now(SOON).await.unwrap();
    one.shutdown(END).await;

    let four = idle(&settings, "4").await;
    for id in ["a", "b", "c", "d", "e"] {
        four.report_start(id, "{}").await.unwrap();
    }
    four.shutdown(END).await;
    for other in ["1", "2", "8"] {
        let said = refusal(&settings, other).await;
        let expected =
            format!("the outbox has shards = 4 and holds 5 events, but shards = {other} is set");
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("first drain it"), "{said}");
    }
    let four = idle(&settings, "4").await;
    let done = four.deliver_now(SOON).await.unwrap().unwrap();
    assert_eq!((done.delivered, done.next_ms), (5, None));
    // Empty, it takes another number; who goes on with the old one takes no more reports.
    let two = idle(&settings, "2").await;
    two.report_start("f", "{}").await.unwrap();
    let late = four.report_start("late", "{}").await.unwrap_err();
    assert!(late.to_string().contains("has shards = 2"), "{late}");
    four.shutdown(END).await;
    two.deliver_now(SOON).await.unwrap();
    two.shutdown(END).await;
    idle(&settings, "1").await.shutdown(END).await;
    assert_eq!(coordinator.receipts().len(), 7);
}

#[tokio::test]
async fn an_outbox_on_a_file_refuses_another_number_of_shards_while_it_holds_anything() {
    let place = Place::new();
    let coordinator = coordinator();
    another_number_is_refused(place.fast(&coordinator.url()), &coordinator).await;
}

#[tokio::test]
async fn an_outbox_on_redis_refuses_another_number_of_shards_while_it_holds_anything() {
    let server = RedisServer::durable();
    let place = Place::new();
    let coordinator = coordinator();
    let store = [("store", &*server.url())];
    another_number_is_refused(with(place.fast(&coordinator.url()), &store), &coordinator).await;
}

#[tokio::test]
async fn what_comes_in_while_the_number_is_changed_keeps_it_as_it_is() {
    // A host looks at the number once a second; what it stores must fall between the mark of who
    // changes it and its next look, which on a busy machine may take more than one attempt.
    for _ in 0..10 {
        if reported_while_the_number_is_changed().await > 0 {
            return;
        }
    }
    panic!("nothing ever came in between the mark and the next look");
}

/// Returns how many events were stored after the mark that the number is being changed.
async fn reported_while_the_number_is_changed() -> usize {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let four = idle(&settings, "4").await;
    let options = SqliteOptions {
        path: place.store(),
        durability: Durability::Process,
    };
    let (store, _) = SqliteStore::open(options).unwrap();
    // It looks at the number now.
    four.status().await.unwrap();
    let reporting = async {
        until("the number is marked", || async {
            store.get("shards").await.unwrap() == Some(b"4>".to_vec())
        })
        .await;
        let mut reported = 0;
        // Until it looks again.
        loop {
            match four.report_start(format!("i{reported}"), "{}").await {
                Ok(_) => reported += 1,
                Err(error) if error.to_string().contains("is being changed") => return reported,
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (changed, reported) = tokio::join!(agree_on_shards(&store, 2), reporting);
    store.close().await;
    if reported == 0 {
        assert_eq!(changed, Ok(()));
    } else {
        let said = changed.unwrap_err().to_string();
        let expected = format!("holds {reported} event");
        assert!(said.contains(&expected), "{reported}: {said}");
        // It goes on with its own, and nothing is lost.
        until("the number is as it was", || async {
            four.report_start("last", "{}").await.is_ok()
        })
        .await;
        four.deliver_now(SOON).await.unwrap();
        drained(&four).await;
        assert_eq!(coordinator.receipts().len(), reported + 1);
    }
    four.shutdown(Duration::from_secs(5)).await;
    reported
}

#[tokio::test]
async fn all_shards_are_looked_at_and_changed_as_one_outbox() {
    const INTERACTIONS: usize = 25;
    let place = Place::new();
    let coordinator = coordinator();
    let more = [("shards", "4"), ("rate_limit", "1000")];
    let settings = with(place.fast(&coordinator.url()), &more);
    let reporter = builder(&settings).without_timer().build().await.unwrap();
    for action in ["start", "complete"] {
        for i in 0..INTERACTIONS {
            let id = format!("i{i}");
            match action {
                "start" => reporter.report_start(id, r#"{"n":1}"#).await.unwrap(),
                _ => reporter.report_complete(id, r#"{"n":2}"#).await.unwrap(),
            };
        }
    }
    let status = reporter.status().await.unwrap();
    assert_eq!(status.waiting, 2 * INTERACTIONS as u64);
    assert!(status.oldest_age_ms.is_some());

    // Page by page everything is there once, oldest first, and can be shown.
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = reporter.waiting(7, cursor).await.unwrap();
        assert!(page.entries.len() <= 7);
        seen.extend(page.entries);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..2 * INTERACTIONS)
        .map(|n| format!("i{}", n % INTERACTIONS))
        .collect();
    let ids: Vec<_> = seen.iter().map(|e| e.interaction_id.clone()).collect();
    assert_eq!(ids, expected);
    let keys: BTreeSet<_> = seen.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!(keys.len(), 2 * INTERACTIONS);
    for entry in &seen {
        let body = reporter.show(entry.key.clone()).await.unwrap().unwrap();
        assert!(body.contains(&format!("\"{}\"", entry.interaction_id)));
    }

    // Refused, they are dead letters; some are put back, some deleted.
    coordinator.set_fault(Fault::Status(422)).unwrap();
    until("all are refused", || async {
        reporter.deliver_now(Duration::from_secs(10)).await.unwrap();
        let status = reporter.status().await.unwrap();
        // A shard that had five refused in a row pauses; a redrive lets it go on.
        if status.paused_reason.is_some() {
            coordinator.set_fault(Fault::None).unwrap();
        }
        status.waiting == 0 || status.paused_reason.is_some()
    })
    .await;
    coordinator.set_fault(Fault::None).unwrap();
    let dead = reporter.status().await.unwrap().dead_letters;
    assert!(dead > 4, "{dead}");
    let page = reporter.dead_letters(1_000, None).await.unwrap();
    assert_eq!(page.entries.len() as u64, dead);
    let shards: BTreeSet<_> = page
        .entries
        .iter()
        .map(|entry| interaction_hash(&entry.interaction_id) % 4)
        .collect();
    assert!(shards.len() > 1, "{shards:?}");
    let id = page.entries[0].interaction_id.clone();
    let of_one = page.entries.iter().filter(|e| e.interaction_id == id);
    let of_one = of_one.count() as u32;
    assert_eq!(reporter.redrive(vec![id.clone()]).await.unwrap(), of_one);
    let only = PurgeFilter {
        dead_letters: false,
        older_than_ms: None,
        interaction_id: Some(id),
    };
    assert!(reporter.purge(only).await.unwrap() >= of_one);
    let rest = reporter.redrive(Vec::new()).await.unwrap();
    assert_eq!(u64::from(rest), dead - u64::from(of_one));
    let everything = PurgeFilter {
        dead_letters: false,
        older_than_ms: None,
        interaction_id: None,
    };
    reporter.purge(everything).await.unwrap();
    let status = reporter.status().await.unwrap();
    assert_eq!((status.waiting, status.dead_letters), (0, 0));
    drained(&reporter).await;
    reporter.shutdown(Duration::from_secs(5)).await;
}
