//! The commands on a store in Redis.

use crate::home::{Home, coordinator};

use mcp_reporter_test_support::RedisServer;

#[test]
fn check_and_outbox_work_and_show_no_password() {
    const PASSWORD: &str = "p-51e2d84b067f3a9c";
    let mut server = RedisServer::start(&["--requirepass", PASSWORD, "--appendonly", "yes"]);
    let coordinator = coordinator();
    let store = format!("redis://:{PASSWORD}@127.0.0.1:{}/1", server.port());
    let home = Home::with(&coordinator.url(), &format!("store = \"{store}\""));
    let shown = format!("redis://:***@127.0.0.1:{}/1", server.port());

    let text = home.ok(&["check"]);
    assert!(text.contains(&format!("{shown} is writable")), "{text}");
    assert!(
        !text.contains(PASSWORD) && !text.contains("warning"),
        "{text}"
    );
    for arguments in [&["config", "show"][..], &["config", "show", "--json"]] {
        let text = home.ok(arguments);
        assert!(text.contains(&shown) && !text.contains(PASSWORD), "{text}");
    }
    home.ok(&["report", "start", "--id", "i", "--data", "{}"]);
    assert_eq!(home.json(&["outbox", "status", "--json"])["waiting"], 1);
    home.ok(&["deliver"]);
    assert_eq!(home.json(&["outbox", "status", "--json"])["waiting"], 0);

    server.stop();
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .contains(&format!("the store {shown} cannot be reached")),
        "{ran:?}"
    );
    let status = home.run(&["outbox", "status"]);
    status.refused(1, "cannot be reached");
    let said = format!("{ran:?} {status:?}");
    assert!(!said.contains(PASSWORD), "{said}");
}
