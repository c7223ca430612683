//! URIs without what may be secret in them.

use super::Redactor;

/// Longest beginning of a `data:` URI, which has all its content in it.
const DATA: &str = "data:";

/// A URI without user, query and fragment, and without known secrets.
pub(crate) fn public(uri: &str, redactor: &Redactor) -> String {
    let end = uri.find(['?', '#']).unwrap_or(uri.len());
    let uri = &uri[..end];
    if uri
        .get(..DATA.len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(DATA))
    {
        let end = uri.find(',').unwrap_or(DATA.len());
        return redactor.text(&uri[..end]);
    }
    let Some(at) = uri.find("://") else {
        return redactor.text(uri);
    };
    let (scheme, rest) = uri.split_at(at + 3);
    let authority = rest.find('/').unwrap_or(rest.len());
    let host = match rest[..authority].rfind('@') {
        Some(user) => &rest[user + 1..],
        None => rest,
    };
    redactor.text(&format!("{scheme}{host}"))
}

/// A text as it stands in a URI (RFC 3986: all but unreserved characters escaped).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
