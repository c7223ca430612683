//! The store's folder becomes read-only.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{Place, Process, Story, Witnessed, faulty, outbox, stored, with};
use tokio::process::Command;

use crate::PEER;

/// Nobody, on every Linux.
const NOBODY: u32 = 65_534;

/// The peer, as a user whom permissions bind: the superuser ignores them, so
/// for it a copy of the peer runs as nobody.
fn bound(place: &Place) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(PEER);
    }
    let peer = place.path("peer");
    fs::copy(PEER, &peer).unwrap();
    for owned in [place.folder().to_owned(), place.path("empty")] {
        if owned.exists() {
            chown(owned, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(peer);
    command
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_folder_that_becomes_read_only_is_named_and_loses_nothing() {
    let place = Place::new();
    let coordinator = faulty(Fault::Refuse);
    let data = place.path("data");
    let store = data.join("outbox.db").display().to_string();
    let settings = with(
        place.fast(&coordinator.url()),
        &[("local_cache_path", &store)],
    );
    let mut story = Story::new();
    let peer = Process::start_by(bound(&place), "warn", &settings).await;
    let mut peer = Witnessed::from(peer.unwrap());
    for n in 0..5 {
        peer.interaction(&mut story, &format!("before{n}"));
    }
    peer.acknowledged(&mut story).await;

    // Its files are there: it goes on.
    set_mode(&data, 0o500);
    for n in 0..5 {
        peer.interaction(&mut story, &format!("during{n}"));
    }
    peer.acknowledged(&mut story).await;
    peer.kill(&mut story).await;

    // A store that would have to be made there is refused, by name.
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    set_mode(&empty, 0o500);
    let fresh = empty.join("outbox.db").display().to_string();
    let elsewhere = with(settings.clone(), &[("local_cache_path", &fresh)]);
    let refused = Process::start_by(bound(&place), "warn", &elsewhere).await;
    let said = refused.expect_err("it made a store in a folder that it cannot write");
    let named = format!("the store {fresh} cannot be used: ");
    assert!(said.contains(&named), "{said}");

    set_mode(&data, 0o700);
    coordinator.set_fault(Fault::None).unwrap();
    let peer = Process::start_by(bound(&place), "warn", &settings).await;
    let mut peer = Witnessed::from(peer.unwrap());
    for n in 0..5 {
        peer.interaction(&mut story, &format!("after{n}"));
    }
    peer.acknowledged(&mut story).await;
    stored(&coordinator, 60).await;
    assert!(
        peer.process.shutdown(20_000).await,
        "{}",
        peer.process.log()
    );
    let left = outbox(&settings).await;
    let tally = story.check(&coordinator.receipts(), &left);
    assert_eq!((tally.delivered, tally.waiting, tally.dead), (60, 0, 0));
    println!("{tally}; {said}");
}
