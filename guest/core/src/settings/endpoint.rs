//! Where the coordinator is: what `coordinator_url` may be.

use super::key::{SettingError, URL};

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
        // Anywhere, not only in the authority: a password may hold any character.
        if url.contains('@') || url.split('%').any(|escape| escape.starts_with("40")) {
            return Err(SettingError {
                key: URL.name,
                value: Some("***".to_owned()),
                allowed: "a URL without user name, password or `@`: the key belongs in coordinator_api_key",
            });
        }
        parse(url).ok_or_else(|| {
            let query = url.find(['?', '#']).map_or(url.len(), |at| at + 1);
            SettingError::bad(&URL, url.get(..query).unwrap_or_default())
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

fn parse(url: &str) -> Option<Endpoint> {
    let (scheme, rest) = url.split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    let tls = scheme.eq_ignore_ascii_case("https");
    if !tls && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    let host_end = match authority.strip_prefix('[') {
        Some(inner) => {
            let length = inner.find(']')?;
            is_ipv6(inner.get(..length)?).then_some(length + 2)?
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            is_name(authority.get(..end)?).then_some(end)?
        }
    };
    let port_is_good = match authority.get(host_end..)?.strip_prefix(':') {
        Some(port) => is_port(port),
        None => host_end == authority.len(),
    };
    if !port_is_good || !is_path(path) {
        return None;
    }
    Some(Endpoint {
        tls,
        authority: authority.to_ascii_lowercase(),
        path_prefix: path.trim_end_matches('/').to_owned(),
    })
}

/// Whether `host` is a name of non-empty labels (a final dot is fine), or an IPv4 address.
fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric_end = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
        // A resolver would take 10.1 or 127.1 for an address, each in its own way.
        && (!numeric_end || is_ipv4(host))
}

// The standard library's parsers of addresses would be 3 % of the component.

fn is_ipv4(host: &str) -> bool {
    let byte = |part: &str| {
        (1..=3).contains(&part.len())
            && (part == "0" || !part.starts_with(['0', '+']))
            && part.parse::<u8>().is_ok()
    };
    host.split('.').count() == 4 && host.split('.').all(byte)
}

/// Up to eight groups of up to four hex digits; `::` stands for the missing
/// ones, once. An IPv4 address may take the place of the last two.
fn is_ipv6(host: &str) -> bool {
    let mut groups = 0;
    let mut gaps = 0;
    let ends_in_a_gap = host.ends_with("::");
    let mut parts = host.split(':').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        if part.is_empty() {
            // One before, one in, one after the gap, where it stands at an end.
            gaps += 1;
        } else if last && part.contains('.') {
            groups += 2;
            if !is_ipv4(part) {
                return false;
            }
        } else {
            groups += 1;
            if part.len() > 4 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return false;
            }
        }
    }
    let starts_with_a_gap = host.starts_with("::");
    let expected_gaps = 1 + usize::from(starts_with_a_gap) + usize::from(ends_in_a_gap);
    match gaps {
        0 => groups == 8,
        n => n == expected_gaps && groups < 8 && host.contains("::"),
    }
}

fn is_port(port: &str) -> bool {
    !port.starts_with(['+', '0']) && port.parse::<u16>().is_ok()
}

/// Whether `path` has only the characters of RFC 3986 section 3.3, escapes complete.
fn is_path(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|b| b.is_ascii_hexdigit())),
            b => b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:".contains(&b),
        };
        if !good {
            return false;
        }
    }
    true
}
