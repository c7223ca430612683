//! Lines out of bytes that are cut anywhere.

/// Longest line that is looked into.
pub const LINE_BYTES: usize = 16 << 20;

/// The lines of one direction.
#[derive(Debug, Default)]
pub struct Lines {
    part: Vec<u8>,
    /// The line is not whole, or too long: it is passed over when it ends.
    spoilt: bool,
    unobserved: u64,
}

impl Lines {
    /// Takes the next bytes, and hands on each line that ends within them.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let (rest, after) = (&bytes[..at], &bytes[at + 1..]);
            bytes = after;
            if self.part.is_empty() && !self.spoilt && rest.len() <= LINE_BYTES {
                // The usual case: a whole line at once.
                line(rest);
                continue;
            }
            self.hold(rest);
            self.end(&mut line);
        }
        self.hold(bytes);
    }

    /// Bytes are missing here.
    pub fn gap(&mut self) {
        self.spoil();
    }

    /// Nothing more comes: the last line may have no end.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if self.spoilt || !self.part.is_empty() {
            self.end(&mut line);
        }
    }

    /// Lines that were not looked into: too long, or not whole.
    #[must_use]
    pub fn unobserved(&self) -> u64 {
        self.unobserved
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.spoilt {
            return;
        }
        if self.part.len() + bytes.len() > LINE_BYTES {
            self.spoil();
        } else {
            self.part.extend_from_slice(bytes);
        }
    }

    fn spoil(&mut self) {
        self.spoilt = true;
        self.part = Vec::new();
    }

    fn end(&mut self, line: &mut impl FnMut(&[u8])) {
        if self.spoilt {
            self.spoilt = false;
            self.unobserved += 1;
        } else {
            line(&self.part);
        }
        self.part.clear();
        // One long line does not hold its memory for ever.
        self.part.shrink_to(256 << 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| all.push(line.to_vec()));
        }
        lines.finish(|line| all.push(line.to_vec()));
        (all, lines.unobserved())
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_costs_no_memory() {
        let long = vec![b'x'; LINE_BYTES];
        let (all, unobserved) = read(&[b"a\n", &long, b"x\nb\n", &long, b"\nc"]);
        assert_eq!((all.len(), unobserved), (4, 1));
        assert_eq!(all[2].len(), LINE_BYTES);
        assert_eq!(all[3], b"c");
    }

    #[test]
    fn after_a_gap_the_next_whole_line_is_read() {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        lines.push(b"a\nhalf", |line| all.push(line.to_vec()));
        lines.gap();
        lines.push(b"half\nb\n", |line| all.push(line.to_vec()));
        lines.finish(|line| all.push(line.to_vec()));
        assert_eq!(all, [b"a", b"b"]);
        assert_eq!(lines.unobserved(), 1);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            size in 1..20usize,
        ) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let mut expected: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            prop_assert_eq!(read(&pieces), (expected, 0));
        }
    }
}
