//! The coordinator as a command: serves until told to stop, and says what arrives.

use std::{future::Future, io::Write, sync::mpsc, thread, time::Duration, time::SystemTime};

use time::{OffsetDateTime, macros::format_description};
use tokio::sync::oneshot;

use super::{Coordinator, CoordinatorError, CoordinatorOptions};

/// Serves until `shutdown` is done. The first line on stdout is
/// `listening on http://<address>`; with `print` one line per event follows.
///
/// # Errors
///
/// When the coordinator cannot start: see [`Coordinator::start`].
pub async fn run(
    options: CoordinatorOptions,
    print: bool,
    shutdown: impl Future<Output = ()>,
) -> Result<(), CoordinatorError> {
    let (lines, to_print) = mpsc::channel::<String>();
    let coordinator = Coordinator::start_printing(options, print.then(|| lines.clone()))?;
    // An own thread, as a terminal or pipe that takes nothing must hold up neither
    // the coordinator nor its end. Its reader may leave too.
    let (printed, all_printed) = oneshot::channel::<()>();
    let first = format!("listening on {}", coordinator.url());
    thread::spawn(move || {
        let _printed = printed;
        for line in std::iter::once(first).chain(to_print) {
            let mut out = std::io::stdout().lock();
            if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    });
    shutdown.await;
    coordinator.stop().await;
    drop(lines);
    let _ = tokio::time::timeout(Duration::from_millis(500), all_printed).await;
    Ok(())
}

/// One event as a line. Everything in it that came from outside is escaped.
pub(super) fn line(
    at: SystemTime,
    action: Option<&str>,
    interaction_id: Option<&str>,
    bytes: usize,
    answered: Option<u16>,
    note: &str,
) -> String {
    let clock = OffsetDateTime::from(at)
        .format(format_description!(
            "[hour]:[minute]:[second].[subsecond digits:3]"
        ))
        .unwrap_or_default();
    let answered = answered.map_or("no answer".to_owned(), |status| status.to_string());
    format!(
        "{clock} {} {} {bytes} B -> {answered}, {note}",
        visible(action.unwrap_or("-")),
        visible(interaction_id.unwrap_or("-")),
    )
}

/// At most 100 characters, with those escaped that a terminal would act on.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (i, c) in text.chars().enumerate() {
        if i == 100 {
            shown.push('…');
            break;
        }
        match c {
            // Marks of direction and line separators are no control characters,
            // yet they rearrange a line.
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode());
            }
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let id = "int_1\x1b]0;x\x07\r\n\u{9b}31m\u{202e}é";
        let line = line(
            SystemTime::UNIX_EPOCH,
            Some("a\0b"),
            Some(id),
            7,
            Some(200),
            "stored",
        );
        assert_eq!(
            line,
            "00:00:00.000 a\\u{0}b int_1\\u{1b}]0;x\\u{7}\\r\\n\\u{9b}31m\\u{202e}é 7 B -> 200, stored"
        );
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(visible(&"x".repeat(5000)).chars().count(), 101);
    }
}
