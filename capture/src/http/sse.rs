//! Server-sent events: the `data` of each, out of chunks that are cut anywhere.
//!
//! The stream is the one of the [HTML standard][spec]: lines end with CR, LF or both; an empty line
//! ends an event; several `data` lines are one text with line breaks.
//!
//! [spec]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

/// Reads one stream.
#[derive(Debug)]
pub struct Events {
    /// Most bytes of one event's data.
    limit: usize,
    line: Vec<u8>,
    /// Of the event so far; a line break after each line.
    data: Vec<u8>,
    /// The last byte was a CR, whose LF may follow.
    after_cr: bool,
    /// The event or the line is over the limit, and is dropped when it ends.
    too_long: bool,
    numbered: bool,
    dropped: u64,
    begun: bool,
}

impl Events {
    /// One that passes over events whose data is longer than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            after_cr: false,
            too_long: false,
            numbered: false,
            dropped: 0,
            begun: false,
        }
    }

    /// Takes the next bytes, and hands on the data of each event that ends within them.
    pub fn push(&mut self, mut chunk: &[u8], mut event: impl FnMut(&[u8])) {
        while let Some(at) = chunk.iter().position(|b| matches!(b, b'\r' | b'\n')) {
            let (text, rest) = (&chunk[..at], &chunk[at + 1..]);
            let second_half = self.after_cr && text.is_empty() && chunk[at] == b'\n';
            self.after_cr = chunk[at] == b'\r';
            chunk = rest;
            if second_half {
                continue;
            }
            self.hold(text);
            self.end_of_line(&mut event);
        }
        self.after_cr &= chunk.is_empty();
        self.hold(chunk);
    }

    /// Whether an event had an id: then the client may have the rest of a broken stream resent.
    #[must_use]
    pub fn resumable(&self) -> bool {
        self.numbered
    }

    /// Events passed over because they were too long.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes kept.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.line.len() + self.data.len()
    }

    fn hold(&mut self, text: &[u8]) {
        if self.line.len() + self.data.len() + text.len() > self.limit + b"data: ".len() {
            self.too_long = true;
            // What the line is must stay known, so that its end is.
            self.line.truncate(b"data: ".len());
            let room = b"data: ".len() - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
        } else {
            self.line.extend_from_slice(text);
        }
    }

    fn end_of_line(&mut self, event: &mut impl FnMut(&[u8])) {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            if self.too_long {
                self.dropped += 1;
            } else if let Some(data) = self.data.strip_suffix(b"\n") {
                event(data);
            }
            self.data.clear();
            self.too_long = false;
        } else {
            let (name, value) = match line.iter().position(|&b| b == b':') {
                Some(at) => (&line[..at], &line[at + 1..]),
                None => (&line[..], &b""[..]),
            };
            match name {
                b"data" if !self.too_long => {
                    let value = value.strip_prefix(b" ").unwrap_or(value);
                    self.data.extend_from_slice(value);
                    self.data.push(b'\n');
                }
                b"id" => self.numbered = true,
                _ => {}
            }
        }
        // Its memory serves the next line.
        line.clear();
        self.line = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(events: &mut Events, chunks: &[&[u8]]) -> Vec<String> {
        let mut all = Vec::new();
        for chunk in chunks {
            events.push(chunk, |data| {
                all.push(String::from_utf8_lossy(data).into_owned());
            });
        }
        all
    }

    #[test]
    fn events_are_the_same_however_lines_end() {
        for end in ["\n", "\r", "\r\n"] {
            let stream = [
                "\u{feff}: a comment",
                "event: message",
                "id: 7",
                "data: {\"a\":1}",
                "",
                "",
                "data:one",
                "data: two",
                "retry: 5",
                "",
                "data",
                "",
                "other: x",
                "",
                "data: unfinished",
            ]
            .join(end);
            let mut events = Events::new(100);
            assert_eq!(
                read(&mut events, &[stream.as_bytes()]),
                ["{\"a\":1}", "one\ntwo", ""]
            );
            assert!(events.resumable());
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_passed_over_and_the_next_is_read() {
        let mut events = Events::new(8);
        let long = "x".repeat(50);
        let stream = format!(
            "data: {long}\n\ndata: ok\n\ndata: 1234\ndata: 5678\n\n: {long}\n\ndata: 12345678\n\n"
        );
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(3).collect();
        assert_eq!(read(&mut events, &bytes), ["ok", "12345678"]);
        assert_eq!(events.dropped(), 3);
        assert!(events.held_bytes() <= 16);
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_does_not_matter(
            stream in "(data: [a-z]{0,3}|id: 1|: c|x)?(\r|\n|\r\n){1,2}(data[: a-z\r\n]{0,20})?[\r\n]{0,3}",
            cuts in proptest::collection::vec(1..5usize, 1..20),
        ) {
            let whole = read(&mut Events::new(64), &[stream.as_bytes()]);
            let mut rest = stream.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle().take(stream.len()) {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(read(&mut Events::new(64), &pieces), whole);
        }
    }
}
