//! The process: bytes, exit codes, signals, and who ends when.

use super::{log, small};
use mcp_reporter_tests::{Place, Wrapped, coordinator, outbox, until, wrap};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::time::{Duration, Instant};

fn shell(place: &Place, script: &str) -> Wrapped {
    let mut command = wrap(place);
    command.args(["--", "sh", "-c", script]);
    Wrapped::start(command)
}

/// Numbers without end, the same for the same seed.
fn noise(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

#[tokio::test]
async fn bytes_come_out_as_they_went_in_through_real_processes() {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let config = mcp_reporter_tests::config_file(&place, &settings);
    for seed in 0..30 {
        let mut random = noise(seed);
        let mut bytes = Vec::new();
        for _ in 0..random() % 40 {
            match random() % 6 {
                0 => bytes.extend((0..random() % 300_000).map(|n| n as u8)),
                1 => bytes.extend_from_slice(b"\r\n"),
                2 => bytes.extend_from_slice("{\"id\":\"\u{e9}\u{2713}\"}\n".as_bytes()),
                3 => bytes.extend_from_slice(&[0xff, 0xfe, 0, b'\n']),
                4 => bytes.extend(std::iter::repeat_n(b'x', (random() % 200_000) as usize)),
                _ => bytes.extend((0..random() % 5_000).map(|_| random() as u8)),
            }
        }
        let mut command = wrap(&place);
        command.arg("--config").arg(&config).args(["--", "cat"]);
        let (got, status) = Wrapped::start(command).exchange(&bytes).await;
        assert!(
            got == bytes,
            "seed {seed}: {} of {} bytes",
            got.len(),
            bytes.len()
        );
        assert_eq!(status.code(), Some(0));
    }
}

#[tokio::test]
async fn the_exit_code_is_the_servers() {
    let place = Place::new();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        // What it leaves behind holds its output open.
        ("sleep 60 2>/dev/null & exit 5", 5),
    ] {
        let began = Instant::now();
        let mut wrapped = shell(&place, script);
        assert_eq!(wrapped.ended().await.code(), Some(code), "{script}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{script}: {:?}",
            began.elapsed()
        );
    }
    let mut command = wrap(&place);
    command.args(["--", "no-such-server", "--token", "secret"]);
    assert_eq!(Wrapped::start(command).ended().await.code(), Some(127));
    assert!(!log(&place).contains("secret"), "{}", log(&place));
}

#[tokio::test]
async fn signals_reach_the_server_and_its_answer_to_them_comes_back() {
    let place = Place::new();
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
    ] {
        let script = format!(
            "trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
        );
        let mut wrapped = shell(&place, &script);
        assert_eq!(wrapped.line().await.as_deref(), Some("ready\n"));
        kill_process(Pid::from_raw(wrapped.pid() as i32).unwrap(), signal).unwrap();
        assert_eq!(wrapped.line().await.unwrap(), format!("got {name}\n"));
        assert_eq!(wrapped.ended().await.code(), Some(9));
    }
}

#[tokio::test]
async fn the_ends_of_pipes_are_passed_on() {
    let place = Place::new();
    // The input's end.
    let (got, _) = shell(&place, "cat; echo end").exchange(b"a\n").await;
    assert_eq!(got, b"a\nend\n");
    // The output's, before the server's own.
    let mut wrapped = shell(&place, "echo last; exec >&-; read x; exit 4");
    assert_eq!(wrapped.line().await.as_deref(), Some("last\n"));
    assert_eq!(wrapped.line().await, None);
    wrapped.send("x\n").await;
    assert_eq!(wrapped.ended().await.code(), Some(4));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nobody_behind() {
    let place = Place::new();
    let mut wrapped = shell(&place, "echo $$; cat; exit 6");
    let server = wrapped.line().await.unwrap().trim().parse().unwrap();
    wrapped.close();
    assert_eq!(wrapped.ended().await.code(), Some(6));
    assert!(test_kill_process(Pid::from_raw(server).unwrap()).is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_wrapper_that_is_killed_takes_its_server_with_it() {
    let place = Place::new();
    // One that does not end with its input, nor by asking.
    let mut wrapped = shell(
        &place,
        "trap '' TERM HUP INT; echo $$; while :; do sleep 0.05; done",
    );
    let server: i32 = wrapped.line().await.unwrap().trim().parse().unwrap();
    let server = Pid::from_raw(server).unwrap();
    assert!(test_kill_process(server).is_ok());
    wrapped.kill().await;
    until("the server is gone", || async {
        test_kill_process(server).is_err()
    })
    .await;
}

#[tokio::test]
async fn what_was_captured_is_durable_within_a_second_and_a_half_of_the_end_of_the_input() {
    let place = Place::new();
    let nobody = coordinator();
    let url = nobody.url();
    nobody.stop().await;
    let settings = place.fast(&url);
    let mut wrapped = small(&place, &settings);
    wrapped.call("echo", serde_json::json!({})).await;
    for n in 0..500 {
        wrapped
            .ask(
                "tools/call",
                serde_json::json!({"name": "echo", "arguments": {"n": n}}),
            )
            .await;
    }
    for _ in 0..500 {
        wrapped.line().await.unwrap();
    }
    let ended = Instant::now();
    wrapped.close();
    assert_eq!(wrapped.ended().await.code(), Some(0));
    let took = ended.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert_eq!(outbox(&settings).await.len(), 2 * 501);
}
