//! What secrets look like, and what they are called.

use super::REDACTED;
use regex::{Captures, Regex, RegexBuilder};
use std::borrow::Cow;

/// Names of fields whose values are secret, by a part of them; case, `-`, `_` and spaces do not
/// count.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "authorization",
    "apikey",
    "accesskey",
    "privatekey",
    "secretkey",
    "signingkey",
    "encryptionkey",
    "credential",
    "cookie",
    "sessionid",
    "bearer",
    "jwt",
    "otp",
    "pin",
    "cvv",
];

/// Names that hold one of these as a part of something harmless.
const WHOLE: &[&str] = &["otp", "pin", "cvv", "jwt", "pwd", "bearer"];

/// Not secrets, though their names end like one: how many tokens, and which page.
const HARMLESS: &[&str] = &[
    "maxtokens",
    "tokens",
    "tokencount",
    "totaltokens",
    "inputtokens",
    "outputtokens",
    "prompttokens",
    "completiontokens",
    "progresstoken",
    "pagetoken",
    "nextpagetoken",
    "tokenlimit",
];

/// Forms of keys that are known by their beginning.
const KEYS: &str = r"(?x)
      \b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{12,}
    | \bgh[pousr]_[A-Za-z0-9]{16,}
    | \bgithub_pat_[A-Za-z0-9_]{16,}
    | \bglpat-[A-Za-z0-9_-]{16,}
    | \bxox[abeoprs]-[A-Za-z0-9-]{8,}
    | \bA(?:KIA|SIA)[A-Z0-9]{12,}
    | \bAIza[A-Za-z0-9_-]{20,}
    | \bya29\.[A-Za-z0-9_-]{16,}
    | \b(?:hf|npm|pypi|dop_v1|shpat|SG)[_.-][A-Za-z0-9_.-]{20,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?
    | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----(?s:.*?)(?:-----END\ [A-Z\ ]*PRIVATE\ KEY-----|\z)
";

/// What stands after the name of a scheme, and before the host of a URL.
const SCHEMES: &str = r"(?i)\b(bearer|basic|digest)([ +]|%20)+[A-Za-z0-9._~+/=%-]{4,}";
const USERINFO: &str = r#"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@"'<>]+@"#;

#[derive(Debug)]
pub(super) struct Patterns {
    names: Vec<String>,
    /// A hint that a text may hold any of it.
    hint: Regex,
    keys: Regex,
    schemes: Regex,
    userinfo: Regex,
    /// `name=value`, `name: value`, `"name": "value"`.
    pairs: Regex,
}

impl Patterns {
    pub fn new(further: &[String]) -> Self {
        let names: Vec<String> = further
            .iter()
            .map(|name| plain(name))
            .filter(|n| !n.is_empty())
            .collect();
        // Between the letters of a name may stand what does not count.
        let spelt = |name: &str| {
            let letters: Vec<String> = name
                .chars()
                .map(|c| regex::escape(&c.to_string()))
                .collect();
            letters.join("[-_ ]?")
        };
        let all: Vec<String> = NAMES
            .iter()
            .map(|n| spelt(n))
            .chain(names.iter().map(|n| spelt(n)))
            .collect();
        let all = all.join("|");
        let pairs = format!(
            r#"([A-Za-z0-9_-]*(?:{all})[A-Za-z0-9_-]*)(\\*["']?(?:\s*(?:[:=]|=>)\s*|%3[AaDd]))(\\*"(?:[^"\\]|\\[^"])*\\*"?|'[^']*'?|[^\s,;&"'\\<>{{}}\[\]()]+)"#
        );
        let hint = format!(
            r"{all}|bearer|basic|digest|\b(?:sk|pk|rk)[-_]|\bgh[pousr]_|github_pat|glpat|xox|\ba[ks]ia|\baiza|ya29|\b(?:hf|npm|pypi|dop_v1|shpat|sg)[_.-]|\beyj|-----begin|://[^/]*@"
        );
        Self {
            names,
            hint: compiled(&hint),
            keys: regex(KEYS, false),
            schemes: regex(SCHEMES, true),
            userinfo: regex(USERINFO, false),
            pairs: compiled(&pairs),
        }
    }

    /// Whether a look for secrets is worth its while.
    pub fn may_hold_secrets(&self, text: &str) -> bool {
        self.hint.is_match(text)
    }

    /// Whether a field of this name holds a secret.
    pub fn is_secret_name(&self, name: &str) -> bool {
        let name = plain(name);
        if self
            .names
            .iter()
            .any(|secret| name.contains(secret.as_str()))
        {
            return true;
        }
        if HARMLESS.contains(&name.as_str()) {
            return false;
        }
        NAMES.iter().any(|secret| {
            if WHOLE.contains(secret) {
                name == *secret
            } else {
                name.contains(secret)
            }
        })
    }

    /// The secrets in a text that are known by their form.
    pub fn find(&self, text: &str) -> Vec<String> {
        let mut found: Vec<String> = self
            .keys
            .find_iter(text)
            .map(|m| m.as_str().to_owned())
            .collect();
        for scheme in self.schemes.find_iter(text) {
            let value = scheme.as_str().rsplit([' ', '+']).next();
            found.extend(value.map(str::to_owned));
        }
        for pair in self.pairs.captures_iter(text) {
            if self.is_secret_name(&pair[1]) {
                found.push(pair[3].trim_matches(['"', '\'', '\\']).to_owned());
            }
        }
        found
    }

    /// The text without them.
    pub fn replace<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.hint.is_match(text) {
            return Cow::Borrowed(text);
        }
        let mut out = Cow::Borrowed(text);
        for (regex, with) in [
            (&self.keys, REDACTED),
            (&self.schemes, concat!("${1} ", "[redacted]")),
            (&self.userinfo, concat!("${1}", "[redacted]@")),
        ] {
            if let Cow::Owned(replaced) = regex.replace_all(&out, with) {
                out = Cow::Owned(replaced);
            }
        }
        let pair = |found: &Captures<'_>| {
            if self.is_secret_name(&found[1]) && !found[3].starts_with(REDACTED) {
                format!("{}{}{REDACTED}", &found[1], &found[2])
            } else {
                found[0].to_owned()
            }
        };
        if let Cow::Owned(replaced) = self.pairs.replace_all(&out, pair) {
            out = Cow::Owned(replaced);
        }
        out
    }
}

/// A name without what does not count.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' ' | '.'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn compiled(pattern: &str) -> Regex {
    regex(pattern, true)
}

fn regex(pattern: &str, any_case: bool) -> Regex {
    let built = RegexBuilder::new(pattern)
        .case_insensitive(any_case)
        .size_limit(32 << 20)
        .build();
    match built {
        Ok(regex) => regex,
        // Names of the operator are escaped; nothing else is theirs.
        Err(error) => unreachable!("{error}"),
    }
}
