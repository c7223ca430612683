//! Who may speak to a listener on loopback: programs of this machine, and no web page of another
//! site, whatever name its owner has resolve to 127.0.0.1 (DNS rebinding).
//!
//! Source: MCP specification, transports, "Security Warning".

use http::uri::Authority;
use http::{HeaderMap, Uri, header};
use std::net::IpAddr;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The name by which the client called us is not one of this machine's.
    Host,
    /// A page of another machine's site sent it.
    Origin,
}

impl Refusal {
    /// What to tell whoever asked.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Host => {
                "Host must be localhost or a loopback address: this listens on loopback\n"
            }
            Self::Origin => {
                "Origin must be of localhost or a loopback address: this listens on loopback\n"
            }
        }
    }
}

/// Whether a request to a listener on loopback may pass.
///
/// # Errors
///
/// Its `Host` (or authority, in HTTP/2) or its `Origin` is not of this machine.
pub fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter().peekable();
    if uri.authority().is_none() && hosts.peek().is_none() {
        return Err(Refusal::Host);
    }
    let named = uri.authority().is_none_or(is_loopback)
        && hosts.all(|host| authority(host.as_bytes()).is_some_and(|a| is_loopback(&a)));
    if !named {
        return Err(Refusal::Host);
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let ours = origins.all(|origin| {
        let bytes = origin.as_bytes();
        let rest = bytes
            .strip_prefix(b"http://")
            .or(bytes.strip_prefix(b"https://"));
        rest.and_then(authority).is_some_and(|a| is_loopback(&a))
    });
    if ours { Ok(()) } else { Err(Refusal::Origin) }
}

fn authority(text: &[u8]) -> Option<Authority> {
    Authority::try_from(text).ok()
}

fn is_loopback(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(host: &str, origin: Option<&str>) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn names_of_this_machine_pass() {
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:1",
            "127.9.8.7",
            "[::1]:80",
            "[::1]",
        ] {
            assert_eq!(checked(host, None), Ok(()), "{host}");
            assert_eq!(
                checked("localhost", Some(&format!("http://{host}"))),
                Ok(()),
                "{host}"
            );
            assert_eq!(
                checked("localhost", Some(&format!("https://{host}"))),
                Ok(()),
                "{host}"
            );
        }
    }

    #[test]
    fn all_other_names_are_refused() {
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "evil@localhost",
            "127.0.0.1.nip.example",
            "a b",
            "",
        ] {
            assert_eq!(checked(host, None), Err(Refusal::Host), "{host:?}");
            let origin = format!("http://{host}");
            assert_eq!(
                checked("localhost", Some(&origin)),
                Err(Refusal::Origin),
                "{host:?}"
            );
        }
        for origin in [
            "null",
            "file://",
            "http://",
            "localhost",
            "http://localhost/evil",
        ] {
            assert_eq!(
                checked("localhost", Some(origin)),
                Err(Refusal::Origin),
                "{origin}"
            );
        }
        assert_eq!(
            check(&Uri::from_static("/"), &HeaderMap::new()),
            Err(Refusal::Host)
        );
        let h2 = Uri::from_static("http://evil.example/mcp");
        assert_eq!(check(&h2, &HeaderMap::new()), Err(Refusal::Host));
    }
}
