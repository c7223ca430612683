//! An event that comes as the coordinator would get it.

use super::answers::{self, Response};
use super::repeats::{self, Repeat};
use super::{Head, refused};
use crate::accept::Acceptor;
use crate::event::Action;
use crate::json;
use crate::prelude::*;
use crate::settings::Settings;
use crate::store::{Now, Random, Store};

/// Longest `Idempotency-Key`, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// An event to be stored as it came.
#[derive(Debug, Clone)]
pub(crate) struct Incoming<'a> {
    /// What it reports.
    pub action: Action,
    /// Which interaction.
    pub interaction_id: String,
    /// What is sent: its own bytes.
    pub body: &'a [u8],
    /// The key it came with; none for a new one.
    pub idempotency_key: Option<&'a str>,
    /// The W3C `traceparent` it came with.
    pub traceparent: Option<&'a str>,
}

/// Takes an event in. Says whether it was stored just now.
pub(super) fn accept(
    head: &Head<'_>,
    body: &[u8],
    settings: &Settings,
    acceptor: &mut Acceptor,
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
) -> Result<(Response, bool), Response> {
    let incoming = read(*head, body, settings)?;
    let Some(key) = incoming.idempotency_key else {
        let stored = acceptor.accept_incoming(store, random, now, &incoming, |_| None);
        let position = stored.map_err(|refusal| refused(&refusal))?;
        return Ok((answers::accepted(&incoming.interaction_id, position), true));
    };
    let mut repeat = Repeat::new(key, body, now);
    let before = repeat.before(store);
    match before.map_err(|error| answers::store_failed(&error))? {
        Some(repeats::Before::Same(answer)) => return Ok((answers::again(answer), false)),
        Some(repeats::Before::Other) => {
            return Err(answers::bad_header(
                "Idempotency-Key",
                "was used before, with another body",
            ));
        }
        None => {}
    }
    let mut answer = None;
    let stored = acceptor.accept_incoming(store, random, now, &incoming, |position| {
        let response = answers::accepted(&incoming.interaction_id, position);
        let pair = repeat.remember(&response.body);
        answer = Some(response);
        Some(pair)
    });
    let position = stored.map_err(|refusal| refused(&refusal))?;
    let answer = answer.unwrap_or_else(|| answers::accepted(&incoming.interaction_id, position));
    Ok((answer, true))
}

fn read<'a>(head: Head<'a>, body: &'a [u8], settings: &Settings) -> Result<Incoming<'a>, Response> {
    if body.len() > settings.max_event_bytes as usize {
        return Err(answers::too_large(settings.max_event_bytes as usize));
    }
    let text = core::str::from_utf8(body).map_err(|_| answers::not_utf8())?;
    let members = json::members(text).map_err(|problem| answers::not_json(&problem))?;
    let (mut action, mut interaction_id) = (None, None);
    for (name, value) in members {
        match name.as_str() {
            "action" => action = Some(value),
            "interaction_id" => interaction_id = Some(value),
            _ => {}
        }
    }
    let string = |field: &'static str, value: Option<&str>| {
        let value = value.ok_or_else(|| answers::missing_field(field))?;
        json::string(value).ok_or_else(|| answers::bad_field(field, "must be a string"))
    };
    let action = string("action", action)?;
    let action = Action::ALL.into_iter().find(|known| known.name() == action);
    let action = action.ok_or_else(|| {
        answers::bad_field(
            "action",
            "must be interaction_start, interaction_progress, interaction_complete or \
             interaction_error",
        )
    })?;
    let interaction_id = string("interaction_id", interaction_id)?;
    let mut keys = head.all("idempotency-key");
    let idempotency_key = match (keys.next(), keys.next()) {
        (None, _) => None,
        (Some(_), Some(_)) => {
            return Err(answers::bad_header("Idempotency-Key", "was sent twice"));
        }
        (Some(key), None) => Some(idempotency_key(key).ok_or_else(|| {
            answers::bad_header(
                "Idempotency-Key",
                "must have 1 to 128 visible ASCII characters other than `\"` and `\\`, with or \
                 without quotes around them",
            )
        })?),
    };
    // One that is malformed counts as none: W3C Trace Context, section 3.2.1.
    let traceparent = head.first("traceparent").and_then(visible);
    Ok(Incoming {
        action,
        interaction_id,
        body,
        idempotency_key,
        traceparent,
    })
}

/// The key in a structured-field string, as the IETF draft has it, or bare.
fn idempotency_key(value: &[u8]) -> Option<&str> {
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    let key = visible(quoted.unwrap_or(value))?;
    (key.len() <= MAX_KEY_BYTES).then_some(key)
}

/// A text that can stand in a header of ours.
fn visible(value: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(value).ok()?;
    crate::event::is_header(text).then_some(text)
}
