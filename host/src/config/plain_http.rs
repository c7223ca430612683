//! Whether plain http to a host would cross a public network.

use std::net::{IpAddr, Ipv4Addr};

/// Endings of names that the public DNS does not have (RFC 6761, 6762, 8375,
/// and ICANN's reservation of `internal`).
const PRIVATE_ENDINGS: [&str; 5] = [".localhost", ".local", ".internal", ".home.arpa", ".lan"];

/// Judges the host as it is written; nothing is resolved.
pub(super) fn is_public(host: &str) -> bool {
    let address = match host.parse() {
        Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        Ok(v4) => v4,
        Err(_) => {
            let name = host.strip_suffix('.').unwrap_or(host);
            // A name of one label is known to a local network or a container runtime only.
            return name.contains('.') && !PRIVATE_ENDINGS.iter().any(|end| name.ends_with(end));
        }
    };
    match address {
        IpAddr::V4(v4) => !is_private(v4),
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

fn is_private(v4: Ipv4Addr) -> bool {
    // 100.64.0.0/10 is shared within a provider's network (RFC 6598).
    let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
    v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || shared
}
