//! Checks that a text is one JSON object (RFC 8259) that every reader takes
//! the same way, and leaves its bytes alone.
//!
//! Stricter than the grammar where readers differ: duplicate keys, lone
//! surrogates, numbers that overflow a double, and a byte-order mark are
//! refused. Looser than most parsers in one thing: an integer may have any
//! number of digits, since Python writes them.

use crate::errors_by_message;
use crate::outbox::checksum;
use crate::prelude::*;
use crate::sort::sort;
use crate::text::decimal;

/// Deepest nesting that is taken.
pub const MAX_DEPTH: usize = 128;

/// Why a text is not taken. Positions are byte offsets from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonError {
    /// It begins with U+FEFF.
    ByteOrderMark,
    /// It is JSON of another kind, or nothing.
    NotAnObject,
    /// A character stands where another is due.
    Syntax {
        /// Where.
        at: usize,
        /// What was due.
        expected: &'static str,
    },
    /// `NaN`, `Infinity` or `-Infinity`.
    NotANumber {
        /// Where.
        at: usize,
    },
    /// A number beyond the range of a double.
    Overflow {
        /// Where.
        at: usize,
    },
    /// Half of a surrogate pair.
    LoneSurrogate {
        /// Where.
        at: usize,
    },
    /// An object names a member twice.
    DuplicateKey {
        /// Where.
        at: usize,
    },
    /// Nested beyond [`MAX_DEPTH`].
    TooDeep,
}

impl JsonError {
    /// What is wrong, in words.
    #[must_use]
    pub fn message(&self) -> String {
        let (before, at, after) = match self {
            Self::ByteOrderMark => {
                return "begins with a byte-order mark (remove it: JSON text starts with `{`)"
                    .to_owned();
            }
            Self::NotAnObject => {
                return "is not a JSON object: it must start with `{`".to_owned();
            }
            Self::TooDeep => ("is nested more than ", &MAX_DEPTH, " levels deep"),
            Self::Syntax { at, expected } => {
                let expected = ["is not JSON: expected ", expected, " at byte "].concat();
                return expected + &decimal(*at as u64);
            }
            Self::NotANumber { at } => (
                "holds NaN or Infinity at byte ",
                at,
                ", which JSON does not have (use null or a string)",
            ),
            Self::Overflow { at } => (
                "holds a number at byte ",
                at,
                " that is too large for a double (at most about 1.8e308)",
            ),
            Self::LoneSurrogate { at } => (
                "holds a lone surrogate escape at byte ",
                at,
                ", which is no character",
            ),
            Self::DuplicateKey { at } => (
                "holds an object that names the same key twice, the second time at byte ",
                at,
                "",
            ),
        };
        [before, &decimal(*at as u64), after].concat()
    }
}

errors_by_message!(JsonError);

/// Checks that `text` is one JSON object and returns it without the white space around it.
pub fn check_object(text: &str) -> Result<&str, JsonError> {
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    let mut scan = Scan {
        text: text.as_bytes(),
        at: 0,
        keys: Vec::with_capacity(8),
    };
    if scan.token() != Some(b'{') {
        return Err(JsonError::NotAnObject);
    }
    let start = scan.at;
    scan.container(1, b'}')?;
    let end = scan.at;
    match scan.token() {
        None => Ok(text.get(start..end).unwrap_or_default()),
        Some(_) => Err(scan.expected("the end of the text")),
    }
}

/// The members of the JSON object `text`, in order: their names, and their values as they stand
/// there.
///
/// # Errors
///
/// As [`check_object`].
pub fn members(text: &str) -> Result<Vec<(String, &str)>, JsonError> {
    let object = check_object(text)?;
    let mut scan = Scan::inside(object);
    let mut members = Vec::with_capacity(8);
    while scan.next() == Some(b'"') {
        let name = scan.text()?;
        scan.token();
        scan.at += 1; // the colon
        members.push((name, scan.whole_value(object)?));
    }
    Ok(members)
}

/// The text that `value`, JSON that was checked, stands for; none when it is no string.
#[must_use]
pub fn string(value: &str) -> Option<String> {
    let mut scan = Scan::inside(value);
    scan.at = 0;
    (scan.token() == Some(b'"')).then(|| scan.text().ok())?
}

/// The texts that `value`, JSON that was checked, stands for; none when it is no array of strings.
#[must_use]
pub fn strings(value: &str) -> Option<Vec<String>> {
    let inner = value.trim_ascii_start();
    let mut scan = Scan::inside(inner);
    if !inner.starts_with('[') {
        return None;
    }
    let mut texts = Vec::new();
    while let Some(first) = scan.next().filter(|b| *b != b']') {
        if first != b'"' {
            return None;
        }
        texts.push(scan.text().ok()?);
    }
    Some(texts)
}

/// Of an object with so many keys or fewer, each key is compared to those before it.
const FEW_KEYS: usize = 16;

/// Hash and position of a key of an object that is still open. Two keys are the same when their
/// hashes are: 64 bits, so never by accident.
type Key = (u64, usize);

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    /// The keys of all open objects, innermost last.
    keys: Vec<Key>,
}

impl<'a> Scan<'a> {
    /// Of an object or array, after its first character.
    fn inside(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 1,
            keys: Vec::new(),
        }
    }

    /// Passes white space and a comma; the byte after it.
    fn next(&mut self) -> Option<u8> {
        if self.token() == Some(b',') {
            self.at += 1;
        }
        self.token()
    }

    /// Passes a value; returns it as it stands in `text`, which is what is scanned.
    fn whole_value(&mut self, text: &'a str) -> Result<&'a str, JsonError> {
        self.token();
        let start = self.at;
        self.value(1)?;
        Ok(text.get(start..self.at).unwrap_or_default())
    }

    // Optimized for size it would be a call, and take as long as all the rest.
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Passes white space; the byte after it.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                token => return token,
            }
        }
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax {
            at: self.at,
            expected,
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.token() {
            Some(b'{') => self.container(depth, b'}'),
            Some(b'[') => self.container(depth, b']'),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'N' | b'I') => Err(self.not_a_number()),
            _ => Err(self.expected("a value")),
        }
    }

    fn not_a_number(&self) -> JsonError {
        let rest = &self.text[self.at..];
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        if rest.starts_with(b"NaN") || rest.starts_with(b"Inf") {
            JsonError::NotANumber { at: self.at }
        } else {
            self.expected("a value")
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes an object or array: what ends with `end`.
    fn container(&mut self, depth: usize, end: u8) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        let is_object = end == b'}';
        self.at += 1;
        let first = self.keys.len();
        if self.token() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            if is_object {
                self.key_and_colon(first)?;
            }
            self.value(depth + 1)?;
            match self.token() {
                Some(b',') => self.at += 1,
                Some(found) if found == end => {
                    self.at += 1;
                    return self.close(first);
                }
                _ if is_object => return Err(self.expected("`,` or `}`")),
                _ => return Err(self.expected("`,` or `]`")),
            }
        }
    }

    fn key_and_colon(&mut self, first: usize) -> Result<(), JsonError> {
        if self.token() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        let at = self.at;
        let hash = self.key()?;
        let open = self.keys.get(first..).unwrap_or_default();
        if open.len() < FEW_KEYS && open.iter().any(|(known, _)| *known == hash) {
            return Err(JsonError::DuplicateKey { at });
        }
        self.keys.push((hash, at));
        if self.token() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, first: usize) -> Result<(), JsonError> {
        let keys = &mut self.keys[first..];
        if keys.len() > FEW_KEYS {
            sort(keys, |a, b| a < b);
        }
        let twice = keys.windows(2).find(|w| w[0].0 == w[1].0).map(|w| w[1].1);
        self.keys.truncate(first);
        match twice {
            Some(at) => Err(JsonError::DuplicateKey { at }),
            None => Ok(()),
        }
    }

    /// Passes a key; returns the hash of what it means.
    fn key(&mut self) -> Result<u64, JsonError> {
        let start = self.at + 1;
        if self.string()? {
            self.at = start - 1;
            return Ok(checksum(self.text()?.as_bytes()));
        }
        let raw = self.text.get(start..self.at - 1).unwrap_or_default();
        Ok(checksum(raw))
    }

    /// Passes a string; returns what it means.
    fn text(&mut self) -> Result<String, JsonError> {
        let start = self.at + 1;
        let escaped = self.string()?;
        let end = self.at;
        let raw = self.text.get(start..end - 1).unwrap_or_default();
        if !escaped {
            return Ok(String::from_utf8(raw.to_vec()).unwrap_or_default());
        }
        let mut text = Vec::with_capacity(raw.len());
        self.at = start;
        while self.at < end - 1 {
            match self.text[self.at] {
                b'\\' => {
                    let c = self.escape()?;
                    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                plain => {
                    text.push(plain);
                    self.at += 1;
                }
            }
        }
        self.at = end;
        Ok(String::from_utf8(text).unwrap_or_default())
    }

    /// Passes a string; says whether it has escapes.
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at += plain_bytes(self.text.get(self.at..).unwrap_or_default(), b'"', b'\\');
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.escape()?;
                    escaped = true;
                }
                Some(_) => {
                    return Err(self.expected("an escape instead of the bare control character"));
                }
                None => return Err(self.expected("the closing `\"` of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let lone = JsonError::LoneSurrogate { at: start };
                let high = self.hex4()?;
                let code = match high {
                    0xd800..=0xdbff => {
                        if !self.text[self.at..].starts_with(b"\\u") {
                            return Err(lone);
                        }
                        self.at += 2;
                        let low = self.hex4()?;
                        if !(0xdc00..=0xdfff).contains(&low) {
                            return Err(lone);
                        }
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    other => other,
                };
                return char::from_u32(code).ok_or(lone);
            }
            _ => return Err(self.expected("one of `\"\\/bfnrtu` after the backslash")),
        };
        self.at += 1;
        Ok(c)
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.expected("four hex digits"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn digits(&mut self) -> Result<&[u8], JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if start == self.at {
            return Err(self.expected("a digit"));
        }
        Ok(&self.text[start..self.at])
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            if self.text.get(self.at + 1) == Some(&b'I') {
                return Err(self.not_a_number());
            }
            self.at += 1;
        }
        let whole_at = self.at;
        let whole = self.digits()?;
        if whole.len() > 1 && whole[0] == b'0' {
            return Err(JsonError::Syntax {
                at: start,
                expected: "a number without leading zeros",
            });
        }
        let whole_end = self.at;
        let mut fraction_end = whole_end;
        let mut exponent = None;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            fraction_end = self.at;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let negative = match self.peek() {
                Some(sign @ (b'+' | b'-')) => {
                    self.at += 1;
                    sign == b'-'
                }
                _ => false,
            };
            // Beyond 18 digits the value no longer matters, only that it is huge.
            let size = self.digits()?.iter().fold(0i64, |n, d| {
                (n * 10 + i64::from(d - b'0')).min(1_000_000_000_000_000)
            });
            exponent = Some(if negative { -size } else { size });
        }
        if fraction_end == whole_end && exponent.is_none() {
            return Ok(()); // an integer, of any size
        }
        let whole = &self.text[whole_at..whole_end];
        let fraction = self.text[whole_end..fraction_end]
            .get(1..)
            .unwrap_or_default();
        if overflows(whole, fraction, exponent.unwrap_or(0)) {
            return Err(JsonError::Overflow { at: start });
        }
        Ok(())
    }
}

/// How many bytes come before the first that is `a`, `b` or below `0x20`. Within a string `"` and
/// `\` mean something.
#[inline(never)]
pub(crate) fn plain_bytes(text: &[u8], a: u8, b: u8) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let (all_a, all_b) = (ONES * u64::from(a), ONES * u64::from(b));
    // Most of an event is inside strings, so eight bytes at a time.
    let (words, _) = text.as_chunks::<8>();
    let plain = words.iter().take_while(|word| {
        let word = u64::from_le_bytes(**word);
        // Subtracting borrows from a byte's top bit if the byte was smaller; bytes that had the
        // bit set are not. A borrow reaches the next byte only past a byte that is found itself.
        let below = word.wrapping_sub(ONES * 0x20) & !word;
        let is_a = (word ^ all_a).wrapping_sub(ONES) & !(word ^ all_a);
        let is_b = (word ^ all_b).wrapping_sub(ONES) & !(word ^ all_b);
        (below | is_a | is_b) & TOPS == 0
    });
    let skipped = 8 * plain.count();
    let special = |c: &u8| *c < b' ' || *c == a || *c == b;
    let rest = text.get(skipped..).unwrap_or_default();
    skipped + rest.iter().position(special).unwrap_or(rest.len())
}

/// Half way between the largest double and the next power of two, which
/// rounds to infinity: 2^1024 - 2^970, in decimal.
const OVERFLOW_DIGITS: &[u8] =
    b"1797693134862315807937289714053034150799341327100378269361737789804449682927647509466\
    4901797758720709633028641669288791094655554785194040263065748867150582068190890200070\
    8383676273854845817711531764475730270069855571366959622842914819860834936475292719074\
    168444365510704342711559699508093042880177904174497792";

/// Whether the decimal `whole.fraction` times 10^`exponent` rounds to infinity.
fn overflows(whole: &[u8], fraction: &[u8], exponent: i64) -> bool {
    let mut digits = whole.to_vec();
    digits.extend_from_slice(fraction);
    let Some(leading) = digits.iter().position(|d| *d != b'0') else {
        return false; // zero, whatever the exponent
    };
    let magnitude = whole.len() as i64 - 1 - leading as i64 + exponent;
    if magnitude != 308 {
        return magnitude > 308;
    }
    digits.drain(..leading);
    digits.resize(OVERFLOW_DIGITS.len(), b'0');
    digits.as_slice() >= OVERFLOW_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_bytes_at_a_time_finds_what_one_at_a_time_does(text in proptest::collection::vec(
            prop_oneof![8 => any::<u8>(), 4 => b'a'..=b'z', 1 => Just(b'"'), 1 => Just(b'\\')],
            0..40,
        )) {
            for [a, b] in [*b"\"\\", [0x7f, 0xc2]] {
                let special = |c: &u8| *c < b' ' || *c == a || *c == b;
                let expected = text.iter().position(special).unwrap_or(text.len());
                prop_assert_eq!(plain_bytes(&text, a, b), expected);
            }
        }

        #[test]
        fn a_key_is_the_same_however_it_is_escaped(key: String) {
            let escaped: String = key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let plain: String = key
                .chars()
                .map(|c| match c {
                    '"' | '\\' | '\0'..=' ' => format!("\\u{:04x}", u32::from(c)),
                    c => c.to_string(),
                })
                .collect();
            let text = format!("{{\"{plain}\":1,\"{escaped}\":2}}");
            let found = check_object(&text);
            prop_assert!(matches!(found, Err(JsonError::DuplicateKey { .. })), "{:?}", found);
        }
    }

    #[test]
    fn takes_every_kind_of_value_and_trims_around() {
        for (text, trimmed) in [
            ("{}", "{}"),
            (
                " \n{ \"a\" : [1, 2.5e3, -0.0, null, true, false, \"x\\u00e9\\ud83d\\ude00\"] }\t",
                "",
            ),
            (
                r#"{"big":123456789012345678901234567890,"deep":{"a":{"a":{}}}}"#,
                "",
            ),
        ] {
            let trimmed = if trimmed.is_empty() {
                text.trim()
            } else {
                trimmed
            };
            assert_eq!(check_object(text), Ok(trimmed));
        }
    }

    #[test]
    fn refuses_what_is_not_an_object() {
        for text in ["", " ", "[]", "1", "\"a\"", "null", "nonsense"] {
            assert_eq!(check_object(text), Err(JsonError::NotAnObject), "{text}");
        }
    }

    #[test]
    fn refuses_malformed_text_and_says_where() {
        for (text, at) in [
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("{\"a\":01}", 5),
            ("{\"a\":1.}", 7),
            ("{\"a\":+1}", 5),
            ("{\"a\":tru}", 5),
            ("{\"a\":\"\n\"}", 6),
            ("{\"a\":\"\\x\"}", 7),
            ("{\"a\":[1 2]}", 8),
            ("{} {}", 3),
            ("{'a':1}", 1),
            ("{\"a\":\"", 6),
        ] {
            match check_object(text) {
                Err(JsonError::Syntax { at: found, .. }) => assert_eq!(found, at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn refuses_nan_and_infinity_by_name() {
        for text in ["{\"a\":NaN}", "{\"a\":Infinity}", "{\"a\":-Infinity}"] {
            assert_eq!(
                check_object(text),
                Err(JsonError::NotANumber { at: 5 }),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_exactly_the_numbers_that_overflow_a_double() {
        let edge = core::str::from_utf8(OVERFLOW_DIGITS).unwrap();
        let below = format!("{}79.9", &edge[..edge.len() - 2]);
        for (number, fits) in [
            ("1e308", true),
            ("1.7976931348623157e308", true),
            ("1.7976931348623158e308", true),
            ("1.7976931348623159e308", false),
            ("1e309", false),
            ("1e400", false),
            ("-1e400", false),
            ("0e400", true),
            ("0.000e999999999999999999999", true),
            ("1e-400", true),
            ("0.0001e312", true),
            ("0.0001e313", false),
            ("1e99999999999999999999999", false),
            (&format!("{edge}.0"), false),
            (&below, true),
        ] {
            let text = format!("{{\"a\":{number}}}");
            assert_eq!(number.parse::<f64>().unwrap().is_finite(), fits, "{number}");
            assert_eq!(check_object(&text).is_ok(), fits, "{number}");
        }
    }

    #[test]
    fn refuses_lone_surrogates() {
        for text in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\ud800x"}"#,
            r#"{"a":"\ud800A"}"#,
            r#"{"\ud800":1}"#,
        ] {
            assert!(
                matches!(check_object(text), Err(JsonError::LoneSurrogate { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_keys_that_mean_the_same_in_one_object_only() {
        assert_eq!(
            check_object(r#"{"a":1,"a":2}"#),
            Err(JsonError::DuplicateKey { at: 7 })
        );
        assert_eq!(
            check_object(r#"{"a":1,"\u0061":2}"#),
            Err(JsonError::DuplicateKey { at: 7 })
        );
        assert!(matches!(
            check_object(r#"{"x":{"b":[{"k":1,"k":1}]}}"#),
            Err(JsonError::DuplicateKey { .. })
        ));
        assert!(check_object(r#"{"a":{"a":1},"b":{"a":1},"c":[{"a":1},{"a":1}]}"#).is_ok());
    }

    #[test]
    fn nesting_is_taken_to_the_limit_and_refused_beyond() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
        assert!(check_object(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(
            check_object(&nested(MAX_DEPTH + 1)),
            Err(JsonError::TooDeep)
        );
        assert_eq!(
            check_object(&"{\"a\":".repeat(10_000)),
            Err(JsonError::TooDeep)
        );
    }

    #[test]
    fn refuses_a_byte_order_mark() {
        assert_eq!(check_object("\u{feff}{}"), Err(JsonError::ByteOrderMark));
    }
}
