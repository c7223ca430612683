use super::*;
use crate::store::MemoryStore;
use crate::store::shard::Shard;

const SHARDS: usize = 2;

struct World {
    store: Arc<dyn Store>,
}

impl World {
    fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
        }
    }

    /// Another host, with 10 sends an hour: no permit that was used is free again here.
    fn host(&self) -> Arc<Shares> {
        let pairs = [
            ("enable_interaction_logging", "true"),
            ("mcp_id", "test"),
            ("coordinator_url", "http://127.0.0.1:9"),
            ("coordinator_api_key", "key"),
            ("rate_limit", "10"),
            ("rate_period", "3600"),
        ];
        let settings = Settings::from_pairs(pairs).unwrap().unwrap();
        let shard = |number| Arc::new(Shard::new(self.store.clone(), number)) as Arc<dyn Store>;
        let shards = (0..SHARDS).map(shard).collect();
        Shares::new(self.store.clone(), shards, &settings).unwrap()
    }
}

/// The permits of a claim that is to deliver; none when it is not.
async fn entered(claim: &mut Claim) -> Option<u32> {
    match claim.enter().await.unwrap() {
        Go::Deliver { .. } => Some(claim.permits()),
        Go::Later(_) => None,
    }
}

fn done(next_ms: Option<u64>) -> Result<Delivery, ReportError> {
    Ok(Delivery {
        delivered: 1,
        next_ms,
        held: next_ms.is_some(),
        ..nothing(Duration::ZERO, false)
    })
}

#[tokio::test]
async fn a_new_outbox_may_be_sent_from_at_once_and_what_was_used_counts() {
    let world = World::new();
    let mut claim = Claim::new(world.host(), 0);
    assert_eq!(entered(&mut claim).await, Some(10));

    // The record is lost, and something was sent.
    let world = World::new();
    let key = format!("s1.{}", control::KEY);
    world.store.set(key, b"damaged".to_vec()).await.unwrap();
    let mut claim = Claim::new(world.host(), 0);
    assert_eq!(entered(&mut claim).await, None);
}

#[tokio::test]
async fn a_shard_is_one_hosts_until_it_has_nothing_more_to_send() {
    let world = World::new();
    let mut here = Claim::new(world.host(), 0);
    let mut there = Claim::new(world.host(), 0);
    assert_eq!(entered(&mut here).await, Some(10));
    let Go::Later(later) = there.enter().await.unwrap() else {
        panic!("two hosts deliver it");
    };
    assert!(later.lease_held_elsewhere && later.held);
    // More to send soon: it looks at its share in the meantime.
    let kept = here.after(done(Some(1_000))).await.unwrap();
    assert_eq!((kept.delivered, kept.next_ms), (1, Some(200)));
    let Go::Later(later) = here.enter().await.unwrap() else {
        panic!("nothing has changed");
    };
    assert_eq!((later.delivered, later.lease_held_elsewhere), (0, false));
    here.wake();
    assert_eq!(entered(&mut here).await, Some(10));
    here.after(done(None)).await.unwrap();
    tokio::time::sleep(KNOWN_FOR).await;
    assert_eq!(entered(&mut there).await, Some(10));
}

#[tokio::test]
async fn a_delivery_that_fails_gives_the_share_up() {
    let world = World::new();
    let mut here = Claim::new(world.host(), 0);
    let mut there = Claim::new(world.host(), 1);
    entered(&mut here).await.unwrap();
    assert_eq!(entered(&mut there).await, None, "there is nothing left");
    here.after(Err(ReportError::Closed)).await.unwrap_err();
    tokio::time::sleep(KNOWN_FOR).await;
    assert_eq!(entered(&mut there).await, Some(10));
}

#[tokio::test]
async fn a_claim_that_is_over_lets_no_permits_be_reserved() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let until = Arc::new(Mutex::new(Instant::now() + Duration::from_secs(6)));
    let fence = Fence::new(store.clone(), until.clone());
    // What the component writes when it reserves permits, and when it lets the lease go.
    let [reserving, idle] = [3, 0].map(record);
    let swap = async |key: &str, new: &[u8]| {
        let old = store.get(key).await.unwrap();
        let swapped = fence.compare_and_swap(key.to_owned(), old, new.to_vec());
        swapped.await.unwrap()
    };
    assert!(swap(control::KEY, &reserving).await);
    *until.lock().unwrap() = Instant::now() + Duration::from_millis(100);
    assert!(!swap(control::KEY, &reserving).await);
    assert!(swap(control::KEY, &idle).await);
    assert!(swap("another", &reserving).await);
}

/// A control record of a drainer that has reserved so many permits.
fn record(reserved: usize) -> Vec<u8> {
    use mcp_reporter_core::drain::{Drainer, Step};
    use mcp_reporter_core::store::Now;
    use mcp_reporter_test_support::{Dice, Memory};

    let pairs = [
        ("enable_interaction_logging", "true"),
        ("mcp_id", "test"),
        ("coordinator_url", "http://127.0.0.1:9"),
        ("coordinator_api_key", "key"),
    ];
    let settings = Arc::new(Settings::from_pairs(pairs).unwrap().unwrap());
    let now = Now {
        wall_ns: 1_000_000_000_000,
        mono_ns: 1_000_000_000,
    };
    let (mut store, mut dice) = (Memory::default(), Dice::new(1));
    let mut acceptor = mcp_reporter_core::accept::Acceptor::new(settings.clone());
    for n in 0..reserved {
        let id = format!("i{n}");
        let report = mcp_reporter_core::event::Report {
            action: mcp_reporter_core::event::Action::Start,
            interaction_id: &id,
            data: "{}",
            timestamp_ns: None,
            mcp_id: None,
            idempotency_key: None,
            traceparent: None,
        };
        acceptor.accept(&mut store, &mut dice, now, &[report])[0]
            .as_ref()
            .unwrap();
    }
    let mut drainer = Drainer::new(settings, &mut dice);
    let budget = Duration::from_secs(10);
    let begun = drainer.begin(&mut store, &mut dice, now, budget).unwrap();
    assert_eq!(begun, None);
    loop {
        match drainer.poll(&mut store, &mut dice, now).unwrap() {
            Step::Wait { .. } => {}
            Step::Send(_) => {
                let written = store.map[control::KEY].clone();
                assert_eq!(
                    Control::decode(&written).unwrap().reserved as usize,
                    reserved
                );
                return written;
            }
            Step::Done(_) => return store.map[control::KEY].clone(),
        }
    }
}
