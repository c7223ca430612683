//! Where a Redis server is and how to log in: the value of `store`.
//!
//! ```text
//! redis://[[user]:password@]host[:port][/database][?prefix=text]     TCP, port 6379
//! rediss://…                                                         the same over TLS
//! redis+unix:///path/of/socket[?database=n&user=u&password=p&prefix=text]
//! ```
//!
//! What has a meaning in a URL (`@ : / ? # %`) is percent-encoded in user and password.

use std::fmt;
use std::path::PathBuf;

use url::{Host, Url};

/// The port where none is named.
const PORT: u16 = 6379;
/// What the keys in Redis begin with where no prefix is given.
const PREFIX: &str = "mcp-reporter:";
/// The longest prefix: each key has it.
const MOST_PREFIX_BYTES: usize = 100;

/// A checked URL. Neither its `Display` nor its `Debug` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) address: Address,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
    pub(super) prefix: String,
}

/// What to connect to.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl RedisUrl {
    /// Whether `text` is meant as such a URL, well-formed or not.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("redis:") || text.starts_with("rediss:") || text.starts_with("redis+unix:")
    }

    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that repeat nothing of `text`: any part may be a piece of a
    /// password that was not encoded.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| {
            "it is not a URL; in user and password, percent-encode what has a meaning in one (@ : / ? # %)"
        })?;
        if url.fragment().is_some() {
            return Err("it has a #; in a password that is %23");
        }
        let user = decode(url.username())?;
        let password = url.password().map(decode).transpose()?;
        let mut read = Self {
            address: match url.scheme() {
                "redis" | "rediss" => tcp(&url)?,
                "redis+unix" => unix(&url)?,
                _ => return Err("its scheme is none of redis, rediss and redis+unix"),
            },
            user: Some(user).filter(|user| !user.is_empty()),
            password: password.filter(|password| !password.is_empty()),
            database: 0,
            prefix: PREFIX.to_owned(),
        };
        let on_socket = matches!(read.address, Address::Unix(_));
        if !on_socket {
            let path = url.path();
            let number = path.strip_prefix('/').unwrap_or(path);
            if !number.is_empty() {
                read.database = database(number)?;
            }
        }
        for (name, value) in url.query_pairs() {
            match &*name {
                "prefix" => read.prefix = prefix(&value)?,
                "database" | "db" if on_socket => read.database = database(&value)?,
                "user" if on_socket => read.user = Some(value.into_owned()),
                "password" if on_socket => read.password = Some(value.into_owned()),
                _ if on_socket => {
                    return Err("after ? it may have database, user, password and prefix only");
                }
                _ => return Err("after ? it may have prefix only"),
            }
        }
        if read.user.is_some() && read.password.is_none() {
            return Err("it has a user name and no password");
        }
        Ok(read)
    }

    /// Whether it holds a secret.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }
}

fn tcp(url: &Url) -> Result<Address, &'static str> {
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => decode(&host.to_string())?,
        None => return Err("it names no host"),
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    Ok(Address::Tcp {
        host,
        port: url.port().unwrap_or(PORT),
        tls: url.scheme() == "rediss",
    })
}

fn unix(url: &Url) -> Result<Address, &'static str> {
    if url.has_host() && url.host_str() != Some("") {
        return Err("it names a host; a socket is redis+unix:///path, with three slashes");
    }
    let path = decode(url.path())?;
    if path.len() < 2 || !path.starts_with('/') {
        return Err("it names no socket: redis+unix:///path, with three slashes");
    }
    Ok(Address::Unix(path.into()))
}

fn database(text: &str) -> Result<u32, &'static str> {
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or("its database is not a whole number from 0")
}

fn prefix(text: &str) -> Result<String, &'static str> {
    let good =
        (1..=MOST_PREFIX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| text.to_owned())
        .ok_or("its prefix is not 1 to 100 printable ASCII characters without a space")
}

/// Percent-decoding.
fn decode(text: &str) -> Result<String, &'static str> {
    const WRONG: &str =
        "a % in it is not followed by two hex digits of UTF-8 text; a plain % is %25";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(WRONG);
        };
        // Two hex digits are a byte.
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}

impl fmt::Display for RedisUrl {
    /// The URL with `***` for the password, and without what has its default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = Vec::new();
        match &self.address {
            Address::Tcp { host, port, tls } => {
                f.write_str(if *tls { "rediss://" } else { "redis://" })?;
                if self.password.is_some() {
                    write!(f, "{}:***@", self.user.as_deref().unwrap_or_default())?;
                }
                if host.contains(':') {
                    write!(f, "[{host}]:{port}")?;
                } else {
                    write!(f, "{host}:{port}")?;
                }
                if self.database != 0 {
                    write!(f, "/{}", self.database)?;
                }
            }
            Address::Unix(path) => {
                write!(f, "redis+unix://{}", path.display())?;
                if self.database != 0 {
                    query.push(format!("database={}", self.database));
                }
                query.extend(self.user.as_ref().map(|user| format!("user={user}")));
                query.extend(self.password.as_ref().map(|_| "password=***".to_owned()));
            }
        }
        if self.prefix != PREFIX {
            query.push(format!("prefix={}", self.prefix));
        }
        if !query.is_empty() {
            write!(f, "?{}", query.join("&"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({:?})", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        RedisUrl::parse(text)
            .unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
            .to_string()
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("redis://localhost/", "redis://localhost:6379"),
            ("redis://h:1/2?prefix=app:", "redis://h:1/2?prefix=app:"),
            ("rediss://me:hush@h", "rediss://me:***@h:6379"),
            ("redis://:hush@[::1]:7/0", "redis://:***@[::1]:7"),
            ("redis+unix:///run/r.sock", "redis+unix:///run/r.sock"),
            (
                "redis+unix:///r?db=3&user=u&password=hush&prefix=a",
                "redis+unix:///r?database=3&user=u&password=***&prefix=a",
            ),
        ] {
            assert_eq!(shown(text), expected);
            assert!(!format!("{:?}", RedisUrl::parse(text)).contains("hush"));
        }
    }

    #[test]
    fn user_and_password_are_decoded() {
        let url = RedisUrl::parse("redis://a%40b:p%2F%3A%25%C3%A9@h").unwrap();
        assert_eq!(url.user.as_deref(), Some("a@b"));
        assert_eq!(url.password.as_deref(), Some("p/:%é"));
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_of_it_repeated() {
        for text in [
            "redis:hush",
            "redis://",
            "redis://:hush@",
            "redis://:hush/hush@h",
            "redis://user:1/hush@h",
            "redis://:hush#hush@h",
            "redis://hush@h",
            "redis://:hush%@h",
            "redis://:hush%ff@h",
            "redis://h/hush",
            "redis://h/-1",
            "redis://h/+1",
            "redis://h/4294967296",
            "redis://h:hush",
            "redis://h?hush=1",
            "redis://h?password=hush",
            "redis://h?prefix=",
            "redis://h?prefix=hu%20sh",
            "redis+unix://hush/x",
            "redis+unix:///",
            "http://:hush@h",
        ] {
            let wrong = RedisUrl::parse(text).expect_err(text);
            assert!(!wrong.contains("hush"), "{text}: {wrong}");
        }
    }
}
