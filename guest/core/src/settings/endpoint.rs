//! Where the coordinator is: what `coordinator_url` may be.

use super::key::{SettingError, URL};
use crate::prelude::*;
use crate::text::{ascii, split_once, whole};

/// Where the coordinator is: the parsed `coordinator_url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https`, else plain http.
    pub tls: bool,
    /// Host in lower case, and port if one was given: `coordinator:8080`, `[::1]:8080`.
    pub authority: String,
    /// What stands before `/api/v2/…`: empty, or `/prefix` without a trailing `/`.
    pub path_prefix: String,
}

impl Endpoint {
    /// Parses an `http` or `https` URL of host, optional port and optional path.
    ///
    /// # Errors
    ///
    /// Anything else. The error shows neither credentials nor a query.
    pub fn parse(url: &str) -> Result<Endpoint, SettingError> {
        let bytes = url.as_bytes();
        // Anywhere, not only in the authority: a password may hold any character.
        if bytes.contains(&b'@') || bytes.windows(3).any(|escape| escape == b"%40") {
            return Err(SettingError {
                key: URL.name,
                value: Some("***".to_owned()),
                allowed: "a URL without user name, password or `@`: the key belongs in coordinator_api_key",
            });
        }
        parse(bytes).ok_or_else(|| {
            let query = bytes.iter().position(|b| matches!(b, b'?' | b'#'));
            let shown = query.and_then(|at| url.get(..=at)).unwrap_or(url);
            SettingError::bad(&URL, shown)
        })
    }

    /// The path of a request: `path` (`/api/v2/health`) below the prefix.
    pub fn path(&self, path: &str) -> String {
        let mut full = self.path_prefix.clone();
        full.push_str(path);
        full
    }

    /// The host without its port; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        match self.authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => self.authority.split(':').next().unwrap_or(&self.authority),
        }
    }
}

fn parse(url: &[u8]) -> Option<Endpoint> {
    let (scheme, rest) = split_once(url, b':')?;
    let rest = rest.strip_prefix(b"//")?;
    let tls = scheme.eq_ignore_ascii_case(b"https");
    if !tls && !scheme.eq_ignore_ascii_case(b"http") {
        return None;
    }
    let (authority, mut path) = split_before(rest, b'/');
    let (host_is_good, port) = match authority.strip_prefix(b"[") {
        Some(inner) => {
            let (host, port) = split_once(inner, b']')?;
            (is_ipv6(host), port)
        }
        None => {
            let (host, port) = split_before(authority, b':');
            (is_name(host), port)
        }
    };
    let port_is_good = match port {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    };
    if !host_is_good || !port_is_good || !is_path(path) {
        return None;
    }
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    Some(Endpoint {
        tls,
        authority: ascii(authority.to_ascii_lowercase()),
        path_prefix: ascii(path.to_vec()),
    })
}

/// What stands before the first `byte`, and the rest.
fn split_before(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    let at = text.iter().position(|b| *b == byte).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, b""))
}

/// Whether `host` is a name of non-empty labels (a final dot is fine), or an IPv4 address.
fn is_name(host: &[u8]) -> bool {
    let name = host.strip_suffix(b".").unwrap_or(host);
    let mut numeric_end = false;
    for label in name.split(|b| *b == b'.') {
        let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if label.is_empty() || !label.iter().all(good) {
            return false;
        }
        numeric_end = label.iter().all(u8::is_ascii_digit);
    }
    // A resolver would take 10.1 or 127.1 for an address, each in its own way.
    name.len() <= 253 && (!numeric_end || is_ipv4(host))
}

// The standard library's parsers of addresses would be 3 % of the component.

fn is_ipv4(host: &[u8]) -> bool {
    let byte = |part: &[u8]| {
        part.len() <= 3
            && (part == b"0" || part.first() != Some(&b'0'))
            && whole(part).is_some_and(|n| n <= 255)
    };
    let parts = host.split(|b| *b == b'.');
    parts.clone().count() == 4 && parts.clone().all(byte)
}

/// Up to eight groups of up to four hex digits; `::` stands for the missing
/// ones, once. An IPv4 address may take the place of the last two.
fn is_ipv6(host: &[u8]) -> bool {
    let mut groups = 0;
    let mut gaps = 0;
    let mut parts = host.split(|b| *b == b':').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        if part.is_empty() {
            // One before, one in, one after the gap, where it stands at an end.
            gaps += 1;
        } else if last && part.contains(&b'.') {
            groups += 2;
            if !is_ipv4(part) {
                return false;
            }
        } else {
            groups += 1;
            if part.len() > 4 || !part.iter().all(u8::is_ascii_hexdigit) {
                return false;
            }
        }
    }
    let gap = b"::";
    let at_ends = [host.starts_with(gap), host.ends_with(gap)];
    match gaps {
        0 => groups == 8,
        n => {
            n == 1 + at_ends.map(usize::from).iter().sum::<usize>()
                && groups < 8
                && host.windows(2).any(|pair| pair == gap)
        }
    }
}

fn is_port(port: &[u8]) -> bool {
    port.first() != Some(&b'0') && whole(port).is_some_and(|n| n <= 65_535)
}

/// Whether `path` has only the characters of RFC 3986 section 3.3, escapes complete.
fn is_path(path: &[u8]) -> bool {
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(u8::is_ascii_hexdigit)),
            b => b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:".contains(b),
        };
        if !good {
            return false;
        }
    }
    true
}
