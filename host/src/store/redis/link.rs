//! The connection to Redis: made when it is needed, shared by all operations, given up as soon as
//! it is in doubt.
//!
//! - One connection, over which operations run at once; answers come in the order of requests.
//! - An operation that finds no living connection makes one. Others meanwhile wait for that
//!   attempt and share its outcome, so that no operation waits for a row of attempts.
//! - Nothing is sent twice: when the connection breaks under an operation, whether it was done is
//!   unknown, and that is an error. A connection that ended while idle is noticed when it ends,
//!   so the next operation is not its victim.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcp_reporter_core::settings::printable;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, RedisResult, Value};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::url::{Address, RedisUrl};
use super::{Names, SCHEMA};
use crate::store::StoreError;

/// How long making a connection may take, login included.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long an operation may take, making the connection included.
const OPERATION_LIMIT: Duration = Duration::from_secs(5);
/// How much of what Redis says is shown.
const MOST_SAID_CHARS: usize = 200;

/// The way to one Redis server.
pub(super) struct Link {
    url: RedisUrl,
    shown: String,
    names: Names,
    tls: Option<TlsConnector>,
    live: Mutex<Option<Live>>,
    /// Held by who makes a connection; when and why the last attempt failed.
    gate: tokio::sync::Mutex<Option<(Instant, StoreError)>>,
    connections: AtomicU64,
    closed: AtomicBool,
}

/// A connection, and the task that moves its bytes.
struct Live {
    number: u64,
    connection: MultiplexedConnection,
    driver: Driver,
}

/// Ends with its handle: a server that does not answer would keep it for ever.
struct Driver(Option<JoinHandle<()>>);

impl Driver {
    fn has_ended(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Lets it end by itself, when all that was sent is answered.
    fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Link {
    pub(super) fn new(url: RedisUrl, names: Names, tls: Option<ClientConfig>) -> Self {
        Self {
            shown: url.to_string(),
            url,
            names,
            tls: tls.map(|config| TlsConnector::from(Arc::new(config))),
            live: Mutex::new(None),
            gate: tokio::sync::Mutex::new(None),
            connections: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// The server's URL, without the password.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Does `work` over the connection, within [`OPERATION_LIMIT`].
    pub(super) async fn run<T, F, W>(&self, work: W) -> Result<T, StoreError>
    where
        W: FnOnce(MultiplexedConnection) -> F,
        F: Future<Output = RedisResult<T>>,
    {
        let mut used = None;
        let worked = tokio::time::timeout(OPERATION_LIMIT, async {
            let (number, connection) = self.connection().await?;
            used = Some(number);
            let done = work(connection).await;
            done.map_err(|error| self.failure(&error, number))
        });
        match worked.await {
            Ok(done) => done,
            Err(_) => {
                if let Some(number) = used {
                    self.give_up(number);
                }
                Err(StoreError::Unanswered {
                    store: self.shown.clone(),
                    waited_s: OPERATION_LIMIT.as_secs(),
                })
            }
        }
    }

    /// What was begun goes on; nothing more is begun.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(live) = self.live().take() {
            live.driver.detach();
        }
    }

    /// A connection, and its number.
    async fn connection(&self) -> Result<(u64, MultiplexedConnection), StoreError> {
        let begun = Instant::now();
        if let Some(found) = self.current()? {
            return Ok(found);
        }
        let mut failed = self.gate.lock().await;
        if let Some(found) = self.current()? {
            return Ok(found);
        }
        match &*failed {
            Some((when, error)) if *when >= begun => return Err(error.clone()),
            _ => {}
        }
        let made = match tokio::time::timeout(CONNECT_LIMIT, self.connect()).await {
            Ok(made) => made,
            Err(_) => Err(self.unreachable(format!(
                "no connection within {} s",
                CONNECT_LIMIT.as_secs()
            ))),
        };
        match made {
            Ok((connection, driver)) => {
                *failed = None;
                let number = self.connections.fetch_add(1, Ordering::Relaxed);
                if number > 0 {
                    tracing::info!("connected to the store {} again", self.shown);
                }
                let mut live = self.live();
                // Looked at under the lock that `close` takes after it said so.
                if self.closed.load(Ordering::SeqCst) {
                    return Err(StoreError::Closed);
                }
                *live = Some(Live {
                    number,
                    connection: connection.clone(),
                    driver,
                });
                Ok((number, connection))
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The connection that is there, if it lives.
    pub(super) fn current(&self) -> Result<Option<(u64, MultiplexedConnection)>, StoreError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let mut live = self.live();
        if live.as_ref().is_some_and(|live| live.driver.has_ended()) {
            *live = None;
        }
        Ok(live
            .as_ref()
            .map(|live| (live.number, live.connection.clone())))
    }

    /// The next operation makes a new connection, unless another did already.
    fn give_up(&self, number: u64) {
        let mut live = self.live();
        if live.as_ref().is_some_and(|live| live.number == number) {
            *live = None;
        }
    }

    /// The connection is there or not, never half.
    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Driver), StoreError> {
        match &self.url.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                self.log_in(stream.map_err(|e| self.unreachable(e.to_string()))?)
                    .await
            }
            Address::Tcp { host, port, .. } => {
                let connected = async {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    // Without it, a request may wait for an acknowledgement that is delayed.
                    stream.set_nodelay(true)?;
                    io::Result::Ok(stream)
                };
                let stream = connected
                    .await
                    .map_err(|e| self.unreachable(e.to_string()))?;
                let Some(tls) = &self.tls else {
                    return self.log_in(stream).await;
                };
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| self.refused("its name cannot stand in a certificate".into()))?;
                match tls.connect(name, stream).await {
                    Ok(stream) => self.log_in(stream).await,
                    // What rustls refuses is wrong for good; a connection that ends is not.
                    Err(e) if e.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
                        Err(self.refused(format!("TLS: {e}; see ca_file")))
                    }
                    Err(e) => Err(self.unreachable(format!("TLS: {e}"))),
                }
            }
        }
    }

    async fn log_in<S>(&self, stream: S) -> Result<(MultiplexedConnection, Driver), StoreError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        // The limits are those of whole operations.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (mut connection, driver) = made.map_err(|e| self.during_login(&e))?;
        let driver = Driver(Some(tokio::spawn(driver)));
        if let Some(password) = &self.url.password {
            let mut auth = redis::cmd("AUTH");
            auth.arg(self.url.user.as_deref()).arg(password);
            let () = auth
                .query_async(&mut connection)
                .await
                .map_err(|e| self.during_auth(&e))?;
        }
        if self.url.database != 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(self.url.database);
            let () = select
                .query_async(&mut connection)
                .await
                .map_err(|e| self.during_login(&e))?;
        }
        self.look(&mut connection).await?;
        Ok((connection, driver))
    }

    /// Whether what lies under the prefix is ours, of a version that we know.
    async fn look(&self, connection: &mut MultiplexedConnection) -> Result<(), StoreError> {
        let Names {
            values,
            keys,
            schema,
        } = &self.names;
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(schema).arg(SCHEMA).arg("NX");
        pipe.cmd("GET").arg(schema);
        pipe.cmd("TYPE").arg(values);
        pipe.cmd("TYPE").arg(keys);
        let (_, version, values_type, keys_type): (Value, Vec<u8>, String, String) = pipe
            .query_async(connection)
            .await
            .map_err(|e| self.during_login(&e))?;
        let version = String::from_utf8_lossy(&version);
        match version.parse::<u32>() {
            Ok(found) if found <= SCHEMA => {}
            Ok(found) => {
                return Err(self.refused(format!(
                    "{schema} says version {found}, this program knows versions up to {SCHEMA}; use the newer mcp-reporter that wrote it, or another prefix"
                )));
            }
            Err(_) => return Err(self.foreign(schema)),
        }
        for (name, found, ours) in [(values, values_type, "hash"), (keys, keys_type, "zset")] {
            if found != ours && found != "none" {
                return Err(self.foreign(name));
            }
        }
        Ok(())
    }

    fn foreign(&self, name: &str) -> StoreError {
        self.refused(format!(
            "{name} holds what mcp-reporter did not write; set another prefix (?prefix=…)"
        ))
    }

    /// Nothing of what Redis says goes on from here: some versions repeat the password.
    fn during_auth(&self, error: &RedisError) -> StoreError {
        match code(error).as_deref() {
            Some("WRONGPASS") => {
                self.refused("the user name or password in its URL is wrong (WRONGPASS)".into())
            }
            Some("LOADING") => self.during_login(error),
            Some(code) => self.refused(format!(
                "it does not take a user name or password ({})",
                printable(code)
            )),
            None => self.unreachable(format!(
                "the connection broke at login ({})",
                error.category()
            )),
        }
    }

    fn during_login(&self, error: &RedisError) -> StoreError {
        match code(error).as_deref() {
            Some("NOAUTH") => {
                self.refused("it wants a password (NOAUTH); set it in the URL".into())
            }
            Some("LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN") => self.unreachable(said(error)),
            Some(_) => self.refused(said(error)),
            None => self.unreachable(said(error)),
        }
    }

    /// What `error`, met in an operation over connection `number`, means to the user.
    fn failure(&self, error: &RedisError, number: u64) -> StoreError {
        match code(error).as_deref() {
            // The server is no longer the one to talk to; its name may lead to another by now.
            Some("READONLY" | "MASTERDOWN" | "NOAUTH" | "LOADING") => {
                self.give_up(number);
                self.refused(said(error))
            }
            Some(_) => self.refused(said(error)),
            None if error.kind() == redis::ErrorKind::UnexpectedReturnType => {
                self.refused(said(error))
            }
            None => {
                self.give_up(number);
                self.unreachable(format!(
                    "the connection broke ({}); a write that was under way may have been done or not",
                    said(error)
                ))
            }
        }
    }

    fn unreachable(&self, detail: String) -> StoreError {
        StoreError::Unreachable {
            store: self.shown.clone(),
            detail,
        }
    }

    pub(super) fn refused(&self, detail: String) -> StoreError {
        StoreError::Refused {
            store: self.shown.clone(),
            detail,
        }
    }
}

/// What kind of error Redis answered with, be it to one command or to one of several; none when
/// it did not answer.
fn code(error: &RedisError) -> Option<String> {
    let errors = error.clone().into_server_errors()?;
    errors.first().map(|(_, error)| error.code().to_owned())
}

/// What Redis or the system said, on one line and not for ever.
fn said(error: &RedisError) -> String {
    let answered = error.clone().into_server_errors();
    let text = match answered.as_deref().and_then(<[_]>::first) {
        Some((_, error)) => format!("{} {}", error.code(), error.details().unwrap_or_default()),
        None => error.to_string(),
    };
    let short: String = text.chars().take(MOST_SAID_CHARS).collect();
    printable(short.trim_end())
}
