//! The key-value contract, asked of the provider on a folder and of the host's own stores; and what
//! becomes of the folder when processes are killed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use mcp_reporter::store::{
    Durability, MemoryStore, RedisOptions, RedisStore, RedisUrl, SqliteOptions, SqliteStore, Store,
};
use mcp_reporter_tests::{Ended, Fuse, KeyValue, KeyValueFs, Opened, Place, RedisServer, Swap};
use tokio::task::JoinSet;

/// Makes handles on one store.
type Open = Arc<dyn Fn() -> BoxFuture<'static, Box<dyn KeyValue>> + Send + Sync>;

fn host(store: Arc<dyn Store>) -> Open {
    Arc::new(move || {
        let store: Box<dyn KeyValue> = Box::new(Arc::clone(&store));
        Box::pin(async move { store })
    })
}

fn files(provider: &Arc<KeyValueFs>) -> Open {
    let provider = Arc::clone(provider);
    Arc::new(move || {
        let provider = Arc::clone(&provider);
        Box::pin(async move { Box::new(provider.open().await) as Box<dyn KeyValue> })
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

fn swap<'a>(expected: Option<&'a str>, new: &'a str) -> Swap<'a> {
    Swap {
        expected: expected.map(str::as_bytes),
        new: new.as_bytes(),
    }
}

async fn conforms(open: Open) {
    values(&mut *open().await).await;
    batches(&mut *open().await).await;
    numbers(&mut *open().await).await;
    swaps(&mut *open().await, &mut *open().await).await;
    what_is_acknowledged_is_listed(&open).await;
    concurrent_increments_all_count(&open).await;
    of_concurrent_swaps_one_wins(&open).await;
    first_increments_beside_sets_and_deletes(&open).await;
}

async fn values(store: &mut dyn KeyValue) {
    assert_eq!(store.list_keys().await.unwrap(), [""; 0]);
    assert_eq!(store.get("a").await.unwrap(), None);
    for value in ["1", "2", ""] {
        store.set("a", value.as_bytes()).await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), bytes(value));
    }
    let large: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    store.set("a", &large).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), Some(large));
    assert_eq!(store.get("A").await.unwrap(), None, "keys have a case");

    let mut names = [
        "A", "a", "a.b_c-d", ".", "..", ".hidden", "end.", "a/b", "/", "a\\b", "a%2fb", "%",
        "ä 字\n", "con", "p", "v.0.0",
    ];
    names.sort_unstable();
    for name in names {
        store.set(name, name.as_bytes()).await.unwrap();
    }
    assert_eq!(store.list_keys().await.unwrap(), names);
    for name in names {
        assert_eq!(store.get(name).await.unwrap(), bytes(name), "{name}");
    }
    store.delete_many(&names).await.unwrap();
    assert_eq!(store.list_keys().await.unwrap(), [""; 0]);
}

async fn batches(store: &mut dyn KeyValue) {
    store.set_many(&[]).await.unwrap();
    store.delete_many(&[]).await.unwrap();
    let pairs: [(&str, &[u8]); 3] = [("b1", b"1"), ("b2", b"2"), ("b1", b"3")];
    store.set_many(&pairs).await.unwrap();
    let found = store.get_many(&["b2", "none", "b1"]).await.unwrap();
    let expected = [("b2", bytes("2")), ("none", None), ("b1", bytes("3"))];
    assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value)));
    store.delete_many(&["b1", "none", "b2"]).await.unwrap();
    assert_eq!(store.list_keys().await.unwrap(), [""; 0]);
}

async fn numbers(store: &mut dyn KeyValue) {
    for (delta, sum) in [(1, 1), (41, 42), (-43, -1), (0, -1)] {
        assert_eq!(store.increment("n", delta).await.unwrap(), sum);
    }
    assert_eq!(store.get("n").await.unwrap(), bytes("-1"), "decimal text");
    store.set("n", b"41").await.unwrap();
    assert_eq!(store.increment("n", 1).await.unwrap(), 42);
    assert_eq!(store.list_keys().await.unwrap(), ["n"]);
    store.delete_many(&["n"]).await.unwrap();
    assert_eq!(store.list_keys().await.unwrap(), [""; 0]);
    assert_eq!(store.increment("n", 5).await.unwrap(), 5);

    store.set("word", b"ten").await.unwrap();
    store.increment("word", 1).await.unwrap_err();
    assert_eq!(store.get("word").await.unwrap(), bytes("ten"));
    store
        .set("word", i64::MAX.to_string().as_bytes())
        .await
        .unwrap();
    store.increment("word", 1).await.unwrap_err();
    store.delete_many(&["n", "word"]).await.unwrap();
}

async fn swaps(one: &mut dyn KeyValue, other: &mut dyn KeyValue) {
    for (expected, new, swapped) in [
        (Some("1"), "x", false),
        (None, "1", true),
        (None, "x", false),
        (Some("2"), "x", false),
        (Some("1"), "2", true),
        (Some("2"), "2", true),
    ] {
        let done = one.swap("c", swap(expected, new)).await.unwrap();
        assert_eq!(done, swapped, "{expected:?} to {new}");
    }
    assert_eq!(other.get("c").await.unwrap(), bytes("2"));
    other.set("c", b"3").await.unwrap();
    assert!(!one.swap("c", swap(Some("2"), "x")).await.unwrap());
    assert!(one.swap("c", swap(Some("3"), "4")).await.unwrap());
    other.delete_many(&["c"]).await.unwrap();
    assert!(!one.swap("c", swap(Some("4"), "x")).await.unwrap());
    assert_eq!(other.list_keys().await.unwrap(), [""; 0]);
    assert!(one.swap("c", swap(None, "5")).await.unwrap());
    other.delete_many(&["c"]).await.unwrap();
    // As the outbox makes its control record: set once, swapped from then on.
    one.set("d", b"1").await.unwrap();
    for n in 1..40 {
        let (from, to) = (n.to_string(), (n + 1).to_string());
        assert!(other.swap("d", swap(Some(&from), &to)).await.unwrap());
        assert_eq!(one.get("d").await.unwrap(), bytes(&to));
    }
    one.delete_many(&["d"]).await.unwrap();
}

async fn what_is_acknowledged_is_listed(open: &Open) {
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let open = Arc::clone(open);
        tasks.spawn(async move {
            let mut store = open().await;
            let mut mine = Vec::new();
            for n in 0..15 {
                let key = format!("l{writer}.{n:02}");
                store.set(&key, b"v").await.unwrap();
                mine.push(key);
                let all = store.list_keys().await.unwrap();
                assert!(mine.iter().all(|key| all.contains(key)), "{all:?}");
            }
            let mine: Vec<&str> = mine.iter().map(String::as_str).collect();
            store.delete_many(&mine).await.unwrap();
        });
    }
    tasks.join_all().await;
    assert_eq!(open().await.list_keys().await.unwrap(), [""; 0]);
}

async fn concurrent_increments_all_count(open: &Open) {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let open = Arc::clone(open);
        tasks.spawn(async move {
            let mut store = open().await;
            let mut sums = Vec::new();
            for _ in 0..25 {
                sums.push(store.increment("sum", 1).await.unwrap());
            }
            sums
        });
    }
    let mut sums = tasks.join_all().await.concat();
    sums.sort_unstable();
    assert_eq!(sums, (1..=200).collect::<Vec<_>>());
    open().await.delete_many(&["sum"]).await.unwrap();
}

async fn of_concurrent_swaps_one_wins(open: &Open) {
    const ROUNDS: usize = 20;
    let mut tasks = JoinSet::new();
    open().await.set("turn", b"0").await.unwrap();
    for swapper in 0..6 {
        let open = Arc::clone(open);
        tasks.spawn(async move {
            let mut store = open().await;
            let mut won = Vec::new();
            while won.len() < ROUNDS {
                let old = store.get("turn").await.unwrap().unwrap();
                let old = String::from_utf8(old).unwrap();
                let turn = old.split('.').next().unwrap().parse::<usize>().unwrap() + 1;
                let new = format!("{turn}.{swapper}");
                if store.swap("turn", swap(Some(&old), &new)).await.unwrap() {
                    won.push(turn);
                }
            }
            won
        });
    }
    let mut won = tasks.join_all().await.concat();
    won.sort_unstable();
    assert_eq!(won, (1..=6 * ROUNDS).collect::<Vec<_>>());
    open().await.delete_many(&["turn"]).await.unwrap();
}

/// Whatever came first, nothing that was acknowledged is missing in the end.
async fn first_increments_beside_sets_and_deletes(open: &Open) {
    let mut store = open().await;
    for round in 0..60 {
        let key = format!("first{round}");
        let (here, there) = (Arc::clone(open), Arc::clone(open));
        let (k1, k2) = (key.clone(), key.clone());
        if round % 3 == 1 {
            store.set(&key, b"5").await.unwrap();
        }
        let one = tokio::spawn(async move { here().await.increment(&k1, 1).await.unwrap() });
        let two = tokio::spawn(async move {
            let mut store = there().await;
            match round % 3 {
                1 => store.delete_many(&[&k2]).await.unwrap(),
                _ => store.set(&k2, b"5").await.unwrap(),
            }
        });
        let sum = one.await.unwrap();
        two.await.unwrap();
        let end = store.get(&key).await.unwrap();
        let allowed = match round % 3 {
            1 => [(6, None), (1, bytes("1"))],
            _ => [(1, bytes("5")), (6, bytes("6"))],
        };
        assert!(allowed.contains(&(sum, end.clone())), "{sum}, then {end:?}");
        store.delete_many(&[&key]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_on_a_folder_conforms() {
    let place = Place::new();
    let provider = Arc::new(KeyValueFs::new(place.folder()));
    conforms(files(&provider)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conforms(host(Arc::new(MemoryStore::new()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    let path = Place::new();
    let options = SqliteOptions {
        path: path.store(),
        durability: Durability::Process,
    };
    conforms(host(Arc::new(SqliteStore::open(options).unwrap().0))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_conforms() {
    let server = RedisServer::start(&[]);
    let options = RedisOptions {
        url: RedisUrl::parse(&server.url()).unwrap(),
        ca_file: None,
        durability: Durability::Process,
    };
    let (store, _) = RedisStore::open(options).await.unwrap();
    conforms(host(Arc::new(store))).await;
}

/// What is done by an instance that is killed meanwhile.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Set(&'static str),
    Delete(&'static str),
    Increment(&'static str),
    Swap(&'static str, &'static str),
    List,
}

impl Operation {
    const ALL: [Self; 14] = [
        Self::Set("none"),
        Self::Set("plain"),
        Self::Set("count"),
        Self::Set("gone"),
        Self::Delete("none"),
        Self::Delete("plain"),
        Self::Delete("count"),
        Self::Increment("none"),
        Self::Increment("plain"),
        Self::Increment("count"),
        Self::Increment("gone"),
        Self::Swap("plain", "7"),
        Self::Swap("count", "2"),
        Self::List,
    ];

    const KEYS: [(&str, Option<&str>); 4] = [
        ("none", None),
        ("plain", Some("7")),
        ("count", Some("2")),
        ("gone", None),
    ];

    fn key(self) -> &'static str {
        match self {
            Self::Set(key) | Self::Delete(key) | Self::Increment(key) | Self::Swap(key, _) => key,
            Self::List => "none",
        }
    }

    fn before(self) -> Option<&'static str> {
        let key = self.key();
        let found = Self::KEYS.iter().find(|(name, _)| *name == key);
        found.and_then(|(_, value)| *value)
    }

    fn after(self) -> Option<String> {
        match self {
            Self::Set(_) | Self::Swap(..) => Some("100".to_owned()),
            Self::Delete(_) => None,
            Self::Increment(_) => {
                let before: i64 = self.before().map_or(0, |text| text.parse().unwrap());
                Some((before + 1).to_string())
            }
            Self::List => self.before().map(str::to_owned),
        }
    }

    async fn run(self, store: &mut Opened) -> Result<(), Ended> {
        match self {
            Self::Set(key) => store.set(key, b"100").await,
            Self::Delete(key) => store.delete_many(&[key]).await,
            Self::Increment(key) => store.increment(key, 1).await.map(drop),
            Self::Swap(key, old) => {
                let swapped = store.swap(key, swap(Some(old), "100")).await?;
                assert!(swapped);
                Ok(())
            }
            Self::List => store.list_keys().await.map(drop),
        }
    }
}

/// A store with a value that was set, one that was incremented, one that was deleted after that.
async fn prepared(folder: &Path, provider: &KeyValueFs) -> usize {
    let mut store = provider.open().await;
    store.set("plain", b"7").await.unwrap();
    store.increment("count", 1).await.unwrap();
    store.increment("count", 1).await.unwrap();
    store.increment("gone", 1).await.unwrap();
    store.delete_many(&["gone"]).await.unwrap();
    assert!(folder.join("mcp-reporter").is_dir());
    provider.open().await.host_calls()
}

/// What a killed instance left is a store in which everything works.
async fn check(operation: Operation, point: Fuse, store: &mut Opened) {
    let context = format!("{operation:?}, killed at {point:?}");
    let mut present = Vec::new();
    for (key, before) in Operation::KEYS {
        let value = store.get(key).await.unwrap();
        let text = value.as_deref().map(|value| str::from_utf8(value).unwrap());
        let done = key == operation.key() && text == operation.after().as_deref();
        assert!(text == before || done, "{context}: {key} is {text:?}");
        present.extend(text.is_some().then_some(key));
    }
    present.sort_unstable();
    assert_eq!(store.list_keys().await.unwrap(), present, "{context}");

    let key = operation.key();
    let old = store.get(key).await.unwrap();
    let number: i64 = old.map_or(0, |text| str::from_utf8(&text).unwrap().parse().unwrap());
    assert_eq!(
        store.increment(key, 1).await.unwrap(),
        number + 1,
        "{context}"
    );
    let text = (number + 1).to_string();
    assert!(
        store.swap(key, swap(Some(&text), "x")).await.unwrap(),
        "{context}"
    );
    store.set(key, b"y").await.unwrap();
    assert_eq!(store.get(key).await.unwrap(), bytes("y"), "{context}");
    store.delete_many(&[key]).await.unwrap();
    assert_eq!(store.get(key).await.unwrap(), None, "{context}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_at_any_call_of_the_host_leaves_a_good_store() {
    let compiled = Arc::new(KeyValueFs::new(Path::new("/")));
    let mut tasks = JoinSet::new();
    for operation in Operation::ALL {
        let compiled = Arc::clone(&compiled);
        tasks.spawn(async move {
            let place = Place::new();
            let mut points = 0;
            for at in 0.. {
                for after in [false, true] {
                    let folder = place.path(&format!("{at}-{after}"));
                    fs::create_dir(&folder).unwrap();
                    let provider = compiled.on(&folder);
                    let opening = prepared(&folder, &provider).await;
                    let point = Fuse {
                        calls: opening + at,
                        after,
                    };
                    let mut store = provider.open_until(Some(point)).await.unwrap();
                    let done = operation.run(&mut store).await;
                    check(operation, point, &mut provider.open().await).await;
                    if store.host_calls() <= point.calls {
                        done.unwrap();
                        return points;
                    }
                    // Some calls of the host have no end that could be hooked.
                    match done {
                        Err(Ended::Killed) => points += 1,
                        Ok(()) => {}
                        Err(failed) => panic!("{operation:?} at {point:?}: {failed:?}"),
                    }
                }
            }
            points
        });
    }
    let points = tasks.join_all().await;
    assert!(points.iter().all(|points| *points > 4), "{points:?}");
}

#[tokio::test]
async fn an_instance_killed_while_it_makes_the_store_hinders_nobody() {
    let compiled = KeyValueFs::new(Path::new("/"));
    for calls in 0.. {
        for after in [false, true] {
            let place = Place::new();
            let provider = compiled.on(place.folder());
            let opened = provider.open_until(Some(Fuse { calls, after })).await;
            let mut store = provider.open().await;
            store.set("a", b"1").await.unwrap();
            assert_eq!(store.list_keys().await.unwrap(), ["a"]);
            match opened {
                Ok(opened) if opened.host_calls() <= calls => {
                    assert!(calls > 8, "{calls} points");
                    return;
                }
                Ok(_) | Err(Ended::Killed) => {}
                Err(failed) => panic!("{failed:?}"),
            }
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_killed_instances_left_is_removed() {
    let place = Place::new();
    let provider = KeyValueFs::new(place.folder());
    prepared(place.folder(), &provider).await;
    let new = place.path("mcp-reporter/new");
    let register = place.path("mcp-reporter/swapped/count");
    fs::write(new.join("fresh"), b"").unwrap();
    fs::write(new.join("value"), b"").unwrap();
    fs::create_dir(new.join("register")).unwrap();
    fs::write(new.join("register/p"), b"").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 3600);
    for name in ["value", "register"] {
        let file = File::open(new.join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    let kept = names(&register);
    for n in 0..20 {
        fs::write(register.join(format!("{n:016x}.{:016x}", n + 1)), b"").unwrap();
    }

    let mut store = provider.open().await;
    assert_eq!(store.get("count").await.unwrap(), bytes("2"));
    assert_eq!(names(&register), kept);
    assert_eq!(store.list_keys().await.unwrap(), ["count", "plain"]);
    assert_eq!(names(&new), ["fresh"]);
}

const INCREMENTS: usize = 60;

fn process(place: &Place, count: usize) -> Child {
    Command::new(env!("CARGO_BIN_EXE_incrementer"))
        .arg(place.folder())
        .arg(count.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads what a process says, and kills it after so many sums.
fn sums(mut child: Child, most: usize) -> (Vec<i64>, bool) {
    let mut sums = Vec::new();
    let mut ended = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        ended |= line == "end";
        let Some(sum) = line.strip_prefix("sum ") else {
            continue;
        };
        sums.push(sum.parse().unwrap());
        if sums.len() == most {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    (sums, ended)
}

#[tokio::test]
async fn processes_that_are_killed_lose_no_increment_of_others() {
    let place = Place::new();
    let threads: Vec<_> = [7, 23, usize::MAX, usize::MAX]
        .into_iter()
        .map(|most| {
            // One that is to be killed must not end before.
            let ends = most == usize::MAX;
            let child = process(&place, if ends { INCREMENTS } else { usize::MAX });
            std::thread::spawn(move || sums(child, most))
        })
        .collect();
    let mut all = Vec::new();
    let mut killed = 0;
    for thread in threads {
        let (sums, ended) = thread.join().unwrap();
        if ended {
            assert_eq!(sums.len(), INCREMENTS);
        } else {
            killed += 1;
        }
        all.extend(sums);
    }
    assert_eq!(killed, 2);
    let acknowledged = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), acknowledged, "two processes got one sum");
    let mut store = KeyValueFs::new(place.folder()).open().await;
    let sum = store.increment("sum", 0).await.unwrap();
    let most = acknowledged + killed;
    assert!((acknowledged..=most).contains(&(sum as usize)), "{sum}");
    let keys = store.list_keys().await.unwrap();
    assert!(keys.len() >= acknowledged - killed, "{} keys", keys.len());
}
