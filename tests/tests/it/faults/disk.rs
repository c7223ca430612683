//! The disk is full: a small file system, or a limit on the size of files.

use std::path::{Path, PathBuf};
use std::process::Command as Blocking;

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{Place, Process, Story, Witnessed, faulty, outbox, stored, with};
use tokio::process::Command;

use crate::PEER;

/// So many reports of 20 kB do not fit.
const TOO_MANY: usize = 400;

/// Runs a command and says whether it succeeded.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let output = Blocking::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// A file system in memory, unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// None where mounting is not allowed.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let text = at.to_str().unwrap();
        let options = "size=3m,mode=0700";
        runs("mount", &["-t", "tmpfs", "-o", options, "none", text]).then(|| Self(at.to_owned()))
    }

    fn grow(&self) {
        let options = "remount,size=64m";
        assert!(runs("mount", &["-o", options, self.0.to_str().unwrap()]));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have files open.
        runs("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

/// Reports until there is no room, then makes some.
async fn is_survived(place: &Place, store: &Path, command: Command, make_room: impl FnOnce(u32)) {
    let coordinator = faulty(Fault::Refuse);
    let store = store.display().to_string();
    let settings = with(
        place.fast(&coordinator.url()),
        &[("local_cache_path", &store)],
    );
    let peer = Process::start_by(command, "warn", &settings).await.unwrap();
    let mut peer = Witnessed::from(peer);
    let mut story = Story::new();
    let data = |n: usize| format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(20_000));
    let mut failed = Vec::new();
    let mut n = 0;
    // It stays full: what fails first is not the only one.
    while failed.len() < 20 {
        assert!(n < TOO_MANY, "{n} reports were stored: it is not full");
        peer.report(&mut story, "start", &format!("i{n}"), &data(n));
        failed.extend(peer.answers(&mut story).await);
        n += 1;
    }
    let named = format!("the store {store} ");
    for error in &failed {
        assert!(error.contains(&named), "{error}");
        assert!(
            error.contains("cannot grow") || error.contains("failed: disk I/O error"),
            "{error}"
        );
    }
    assert!(n > 20 + 20, "only {n} reports were made");

    make_room(peer.process.pid());
    coordinator.set_fault(Fault::None).unwrap();
    for n in 0..20 {
        peer.interaction(&mut story, &format!("after{n}"));
    }
    peer.acknowledged(&mut story).await;
    let acknowledged = (n - failed.len() + 80) as u64;
    stored(&coordinator, acknowledged).await;
    assert!(
        peer.process.shutdown(20_000).await,
        "{}",
        peer.process.log()
    );
    let left = outbox(&settings).await;
    let tally = story.check(&coordinator.receipts(), &left);
    assert_eq!((tally.waiting, tally.dead), (0, 0));
    println!("{tally}; {}", failed[0]);
}

#[tokio::test]
async fn a_full_file_system_fails_reports_by_name_and_loses_none() {
    let place = Place::new();
    let Some(disk) = Tmpfs::mount(&place.path("disk")) else {
        println!("SKIPPED: mounting is not allowed here; a limit on file sizes stands for it");
        return;
    };
    let store = disk.0.join("outbox.db");
    is_survived(&place, &store, Command::new(PEER), |_| disk.grow()).await;
}

#[tokio::test]
async fn a_file_that_must_not_grow_fails_reports_by_name_and_loses_none() {
    let place = Place::new();
    // The signal that comes with the limit is ignored, as a full disk sends none.
    let mut command = Command::new("prlimit");
    command.args(["--fsize=3000000:unlimited", "sh", "-c"]);
    command.args([r#"trap "" XFSZ; exec "$0" "$@""#, PEER]);
    is_survived(&place, &place.store(), command, |pid| {
        let pid = format!("--pid={pid}");
        assert!(runs("prlimit", &[&pid, "--fsize=unlimited:unlimited"]));
    })
    .await;
}
