//! The old client's language.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a Python script with these arguments and this standard input, and
/// returns what it prints. Panics when it fails.
pub fn python(script: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("python3")
        .arg("-c")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("these tests need python3");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // All scripts read everything before they print anything.
    stdin
        .write_all(input.as_bytes())
        .expect("the script does not read its input");
    drop(stdin);
    let output = child
        .wait_with_output()
        .expect("the script cannot be waited for");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script failed: {said}");
    String::from_utf8(output.stdout).expect("the script prints UTF-8")
}
