use std::time::Instant;

use super::{
    super::{CoordinatorError, CoordinatorOptions, Keep, read_db},
    *,
};

fn on(path: &std::path::Path) -> CoordinatorOptions {
    CoordinatorOptions {
        db: Some(path.to_owned()),
        ..CoordinatorOptions::default()
    }
}

#[tokio::test]
async fn events_in_a_file_survive_a_restart_and_are_open_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    let first = start_with(on(&path));
    post_keyed(&first, "k1", START).await;
    // Still running: what was answered is there for another reader.
    assert_eq!(read_db(&path).unwrap(), first.stored().unwrap());
    assert_eq!(read_db(&path).unwrap()[0].body, START);
    let addr = first.addr();
    first.stop().await;

    let second = start_with(CoordinatorOptions {
        listen: addr,
        keep: Keep::Events,
        ..on(&path)
    });
    // The start and the key are remembered.
    post_keyed(&second, "k1", START).await;
    post_keyed(&second, "k2", &event("complete", "int_1_a")).await;
    assert_eq!(second.stats().duplicates_ignored, 1);
    assert_eq!(second.stats().processed, 1);
    let stored = second.stored().unwrap();
    second.stop().await;
    assert_eq!(stored, read_db(&path).unwrap());
    assert_eq!(stored.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    let coordinator = start_with(on(&path));
    post(&coordinator, START).await;
    for file in ["events.db", "events.db-wal"] {
        let mode = dir.path().join(file).metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "no database, and long enough to tell").unwrap();
    for error in [
        Coordinator::start(on(&path)).err(),
        read_db(&path).err(),
        read_db(&dir.path().join("absent.db")).err(),
        Coordinator::start(on(&dir.path().join("absent/events.db"))).err(),
    ] {
        let error = error.expect("an error");
        assert!(matches!(error, CoordinatorError::Store { .. }), "{error}");
        assert!(
            error.to_string().contains(dir.path().to_str().unwrap()),
            "{error}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "no database, and long enough to tell"
    );
}

#[test]
fn a_taken_port_is_refused_by_name_and_no_runtime_is_needed() {
    let first = start();
    let error = Coordinator::start(CoordinatorOptions {
        listen: first.addr(),
        ..CoordinatorOptions::default()
    })
    .err()
    .unwrap()
    .to_string();
    assert!(error.contains(&first.addr().to_string()), "{error}");
}

#[tokio::test]
async fn stop_is_immediate_and_frees_the_port_whatever_hangs() {
    for fault in [
        Fault::None,
        Fault::Hang,
        Fault::NoRead,
        Fault::Drip,
        Fault::Slow(Duration::from_secs(3600)),
        Fault::Refuse,
    ] {
        let coordinator = start();
        let mut idle = Client::connect(&coordinator).await;
        let mut busy = Client::connect(&coordinator).await;
        let is_read = !matches!(fault, Fault::Refuse | Fault::NoRead);
        coordinator.set_fault(fault).unwrap();
        if is_read {
            busy.send_event(START).await;
            coordinator
                .wait_for(|seen| seen.receipts().len() == 1, SOON)
                .await
                .unwrap();
        }
        let addr = coordinator.addr();
        let began = Instant::now();
        coordinator.stop().await;
        assert!(began.elapsed() < Duration::from_secs(1));
        let _ = idle.rest().await;
        let _ = busy.rest().await;
        let again = start_with(CoordinatorOptions {
            listen: addr,
            ..CoordinatorOptions::default()
        });
        assert_eq!(post(&again, START).await.status, 200);
    }
}

#[tokio::test]
async fn wait_for_wakes_with_the_receipt_it_waits_for() {
    let coordinator = start();
    let sending = async {
        let mut client = Client::connect(&coordinator).await;
        for i in 0..5 {
            client.send_event(&event("start", &format!("i{i}"))).await;
            client.answer().await;
        }
    };
    let waiting = coordinator.wait_for(
        |seen| seen.stored().len() == 5 && seen.receipts().len() == 5,
        SOON,
    );
    let (waited, ()) = tokio::join!(waiting, sending);
    waited.unwrap();
}

#[tokio::test]
async fn wait_for_gives_up_at_its_deadline_and_says_what_it_saw() {
    let coordinator = start();
    post(&coordinator, START).await;
    let error = coordinator
        .wait_for(|seen| seen.stats().received == 2, Duration::from_millis(20))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("20ms"), "{error}");
    assert!(error.contains("received: 1"), "{error}");
}
