//! What a request asks for, by its head.

use super::answers::{self, Response};
use crate::admin::MAX_PAGE;
use crate::prelude::*;
use crate::settings::Settings;
use crate::text::whole;

/// Entries of a page for which none says how many.
const PAGE: usize = 100;
/// The longest body of a request that is no event, in bytes.
pub const FORM_BYTES: usize = 1 << 20;

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path, with the query if there is one.
    pub target: &'a str,
    /// Names in any case, and values.
    pub headers: &'a [(String, Vec<u8>)],
}

impl<'a> Head<'a> {
    /// The values of the header `name`, which is in lower case.
    pub(super) fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim_ascii())
    }

    /// How long the body is, as far as the head says so, in bytes.
    #[must_use]
    pub fn content_length(self) -> Option<u64> {
        self.first("content-length").and_then(whole)
    }

    /// The value of the header `name`, which is in lower case: the first of several.
    pub(super) fn first(self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// To take an event.
    Accept(Head<'a>),
    /// Whether it works.
    Health,
    /// Whether the key is good.
    Validate,
    /// The coordinator's counts.
    Stats,
    /// The state of the outbox.
    Outbox,
    /// To deliver.
    Deliver,
    /// Dead letters.
    DeadLetters {
        /// At most so many.
        limit: usize,
        /// Those after this key.
        cursor: Option<&'a str>,
    },
    /// To put dead letters back.
    Redrive,
}

/// Where events go, here and at the coordinator.
pub const EVENTS_PATH: &str = "/api/v2/interactions";

/// The paths, and the method that each takes.
const ROUTES: [(&str, &str); 8] = [
    (EVENTS_PATH, "POST"),
    ("/api/v2/health", "GET"),
    ("/api/v2/validate", "POST"),
    ("/api/v2/interactions/stats", "GET"),
    ("/api/v2/outbox", "GET"),
    ("/api/v2/outbox/deliver", "POST"),
    ("/api/v2/outbox/dead-letters", "GET"),
    ("/api/v2/outbox/redrive", "POST"),
];

impl<'a> Operation<'a> {
    /// What a request asks for.
    ///
    /// # Errors
    ///
    /// The answer: there is no such path, it takes another method, or what it takes was asked.
    pub fn of(head: Head<'a>) -> Result<Self, Response> {
        let (path, query) = match head.target.split_once('?') {
            Some((path, query)) => (path, query),
            None => (head.target, ""),
        };
        let route = ROUTES.iter().position(|(known, _)| *known == path);
        let Some(route) = route else {
            return Err(answers::no_such_path());
        };
        let allowed = match ROUTES[route].1 {
            "GET" => "GET, HEAD, OPTIONS",
            _ => "POST, OPTIONS",
        };
        let method = if head.method == "HEAD" {
            "GET"
        } else {
            head.method
        };
        if method == "OPTIONS" {
            return Err(answers::options(allowed));
        }
        if method != ROUTES[route].1 {
            return Err(answers::other_method(allowed));
        }
        Ok(match route {
            0 => Self::Accept(head),
            1 => Self::Health,
            2 => Self::Validate,
            3 => Self::Stats,
            4 => Self::Outbox,
            5 => Self::Deliver,
            6 => page(query)?,
            _ => Self::Redrive,
        })
    }

    /// Lets a request in that has a good key, or needs none, and says what it is.
    ///
    /// # Errors
    ///
    /// The answer: the key is missing or wrong, or the body is not of a kind that is taken.
    pub fn admit(&self, head: Head<'_>, settings: &Settings) -> Result<(), Response> {
        if !matches!(self, Self::Health) {
            let token = bearer(head).ok_or_else(answers::not_authenticated)?;
            if !settings.ingest_keys.have(token) {
                return Err(answers::wrong_key());
            }
        }
        let Self::Accept(_) = self else {
            return Ok(());
        };
        let kind = head.first("content-type").unwrap_or_default();
        let kind = kind.split(|b| *b == b';').next().unwrap_or_default();
        if !kind.trim_ascii().eq_ignore_ascii_case(b"application/json") {
            return Err(answers::other_media_type());
        }
        let coding = head.first("content-encoding").unwrap_or(b"identity");
        if !coding.eq_ignore_ascii_case(b"identity") {
            return Err(answers::other_coding());
        }
        Ok(())
    }

    /// The longest body that is read for it, in bytes; none when it has no use for one.
    ///
    /// # Errors
    ///
    /// The answer: the head says that there is more.
    pub fn body_limit(
        &self,
        head: Head<'_>,
        settings: &Settings,
    ) -> Result<Option<usize>, Response> {
        let limit = match self {
            Self::Accept(_) => settings.max_event_bytes as usize,
            Self::Redrive => FORM_BYTES,
            _ => return Ok(None),
        };
        match head.content_length() {
            Some(length) if length > limit as u64 => Err(answers::too_large(limit)),
            _ => Ok(Some(limit)),
        }
    }

    /// The answer to one whose body was longer than [`body_limit`](Self::body_limit).
    #[must_use]
    pub fn too_large(limit: usize) -> Response {
        answers::too_large(limit)
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(head: Head<'_>) -> Option<&[u8]> {
    let value = head.first("authorization")?;
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

fn page(query: &str) -> Result<Operation<'_>, Response> {
    let (mut limit, mut cursor) = (PAGE, None);
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("limit", text)) => {
                let given = whole(text.as_bytes()).filter(|n| (1..=MAX_PAGE as u64).contains(n));
                limit = given.ok_or_else(answers::bad_limit)? as usize;
            }
            Some(("cursor", text)) if !text.is_empty() => cursor = Some(text),
            _ => {}
        }
    }
    Ok(Operation::DeadLetters { limit, cursor })
}
