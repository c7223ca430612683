//! `report`: one report, from a script or by hand.

use super::start::{SHUTDOWN, reporter};
use super::{Error, Ui};
use clap::ValueEnum;
use mcp_reporter::{Config, Outcome, Payload, ReportError};
use mcp_reporter_core::settings::printable;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

/// The largest event that any configuration allows.
const MOST_BYTES: u64 = 16 << 20;

/// What to report.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What happened
    action: Action,
    /// The interaction: 1 to 256 bytes, no control characters; `start` makes one if not given
    #[arg(
        long,
        required_if_eq_any([("action", "progress"), ("action", "complete"), ("action", "error")])
    )]
    id: Option<String>,
    /// The payload, a JSON object: its text, @FILE, or - for standard input
    #[arg(
        long,
        value_name = "JSON|@FILE|-",
        default_value = "{}",
        allow_hyphen_values = true
    )]
    data: String,
    /// Print {"interaction_id", "outcome"} as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    /// It began
    Start,
    /// It goes on
    Progress,
    /// It ended well
    Complete,
    /// It ended with an error
    Error,
}

impl From<Action> for mcp_reporter::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Start => Self::Start,
            Action::Progress => Self::Progress,
            Action::Complete => Self::Complete,
            Action::Error => Self::Error,
        }
    }
}

/// Stores the report and says so. Whoever delivers does that later.
pub async fn run(args: Args, config: Config, ui: Ui) -> Result<ExitCode, Error> {
    // One that is switched off looks at nothing.
    let data = if config.enabled() {
        payload(args.data)?
    } else {
        Payload::default()
    };
    let reporter = reporter(config).await?;
    let id = args.id.unwrap_or_else(|| reporter.new_interaction_id());
    let result = reporter.report(args.action.into(), id.clone(), data).await;
    reporter.shutdown(SHUTDOWN).await;
    let outcome = match result {
        Ok(Outcome::Queued) => "queued",
        Ok(Outcome::Delivered) => "delivered",
        Ok(Outcome::Disabled) => "disabled",
        Err(ReportError::InvalidInput(why)) => return Err(Error::Usage(why)),
        Err(refused) => return Err(refused.into()),
    };
    if args.json {
        ui.json(&json!({ "interaction_id": id, "outcome": outcome }))?;
    } else {
        ui.line(&format!("{outcome} {}", printable(&id)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn payload(data: String) -> Result<Payload, Error> {
    let (name, bytes) = if data == "-" {
        ("standard input", read(io::stdin().lock()))
    } else if let Some(path) = data.strip_prefix('@') {
        (path, File::open(path).and_then(read))
    } else {
        return Ok(Payload::from(data));
    };
    let bytes = bytes.map_err(|why| Error::Usage(format!("--data: cannot read {name}: {why}")))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Payload::from(text)),
        Err(error) => Err(Error::Usage(format!(
            "--data: {name} is not UTF-8 (at byte {})",
            error.utf8_error().valid_up_to()
        ))),
    }
}

/// All of it, but for what can never be an event.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {MOST_BYTES} bytes, the most that max_event_bytes can allow"
        )));
    }
    Ok(bytes)
}
