//! Questions to the coordinator: is it there, does it take the key.

use mcp_reporter_core::{
    date::http_date,
    settings::{Settings, printable},
    text::{answer_text, decimal},
};

use crate::{
    bindings::{coordinator::Probe, wasi::clocks::monotonic_clock},
    flight::Flight,
    http::{Call, Exchange, Method, Outcome},
    prelude::*,
};

/// How much of a refusal's body is quoted.
const QUOTED_CHARS: usize = 200;

/// Asks whether the coordinator is up.
pub fn check_connection(settings: &Settings) -> Probe {
    ask(settings, Method::Get, "/api/v2/health")
}

/// Asks whether the coordinator takes the key. Its own documents do not have the first request,
/// so a 404 or 405 says nothing about the key, and one that they do have is asked.
pub fn validate_api_key(settings: &Settings) -> Probe {
    let first = ask(settings, Method::Post, "/api/v2/validate");
    if !matches!(first.status, Some(404 | 405)) {
        return first;
    }
    let second = ask(settings, Method::Get, "/api/v2/interactions/stats");
    Probe {
        detail: [&*first.detail, "; ", &second.detail].concat(),
        elapsed_ms: first.elapsed_ms.saturating_add(second.elapsed_ms),
        ..second
    }
}

fn ask(settings: &Settings, method: Method, path: &str) -> Probe {
    let asked = match method {
        Method::Get => "GET ",
        _ => "POST ",
    };
    let call = Call {
        method,
        path,
        headers: vec![authorization(settings)],
        body: Vec::new(),
    };
    let began_ns = monotonic_clock::now();
    let outcome = exchange(settings, call, began_ns);
    let elapsed_ms = (monotonic_clock::now() - began_ns) / 1_000_000;
    let mut probe = Probe {
        ok: false,
        status: None,
        detail: [asked, path].concat(),
        server_time_ms: None,
        elapsed_ms: u32::try_from(elapsed_ms).unwrap_or(u32::MAX),
    };
    match outcome {
        Outcome::Answered(response) => {
            probe.ok = response.status == 200;
            probe.status = Some(response.status);
            probe.server_time_ms = response
                .date
                .as_deref()
                .and_then(http_date)
                .map(|seconds| seconds * 1000);
            probe.detail.push_str(": ");
            probe.detail.push_str(&decimal(response.status.into()));
            quote(&response.body, settings.api_key.expose(), &mut probe.detail);
        }
        Outcome::Failed(reason) | Outcome::Denied(reason) => {
            probe.detail.push_str(": ");
            probe.detail.push_str(&printable(&reason));
        }
        Outcome::TimedOut => {
            let timeout_ms = settings.request_timeout.as_millis() as u64;
            let text = [": no answer within ", &decimal(timeout_ms), " ms"].concat();
            probe.detail.push_str(&text);
        }
    }
    probe
}

/// One request, waited for until it is over.
fn exchange(settings: &Settings, call: Call<'_>, began_ns: u64) -> Outcome {
    let timeout_ns = u64::try_from(settings.request_timeout.as_nanos()).unwrap_or(u64::MAX);
    let deadline_ns = began_ns.saturating_add(timeout_ns);
    let mut flight = Flight::new();
    match Exchange::start(&settings.endpoint, call, deadline_ns) {
        Ok(exchange) => flight.add(0, exchange),
        Err(outcome) => return outcome,
    }
    // The exchange itself ends at its deadline.
    let over = flight.wait(u64::MAX);
    over.into_iter()
        .next()
        .map_or(Outcome::TimedOut, |(_, outcome)| outcome)
}

/// The header with the key.
pub fn authorization(settings: &Settings) -> (String, Vec<u8>) {
    let value = ["Bearer ", settings.api_key.expose()].concat();
    (String::from("authorization"), value.into_bytes())
}

fn quote(body: &[u8], key: &str, to: &mut String) {
    let text = answer_text(body, key);
    if !text.is_empty() {
        to.push_str(", ");
        let beginning: String = text.chars().take(QUOTED_CHARS).collect();
        to.push_str(&printable(&beginning));
    }
}
