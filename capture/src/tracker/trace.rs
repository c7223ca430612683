//! Trace context (<https://www.w3.org/TR/trace-context/#traceparent-header>).

/// Whether a text is a `traceparent` of W3C Trace Context: one that is not is not passed on.
pub(super) fn is_traceparent(text: &str) -> bool {
    let lower_hex = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else {
        return false;
    };
    [(version, 2), (trace, 32), (parent, 16), (flags, 2)]
        .iter()
        .all(|(part, length)| part.len() == *length && lower_hex(part))
        && version != "ff"
        && trace.bytes().any(|b| b != b'0')
        && parent.bytes().any(|b| b != b'0')
}
