//! A socket and its connections, HTTP/1.1 and HTTP/2.

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

/// A connection whose request's head takes longer is closed.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Connections that the system keeps until they are accepted; it may have a lower limit. What is
/// beyond it tries again after a second, so that a crowd that comes at once would wait.
const BACKLOG: u32 = 4_096;

/// A listening socket at `address`; port 0 takes a free one.
///
/// # Errors
///
/// What the system says. It must be called in a runtime.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As the standard library does: a port whose last connections linger is free again. On Windows
    // it would let two programs have one port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers each request by `answer` until `end`, then lets what is under way go on for as long as
/// `grace`.
pub async fn serve<A, F, B, E>(
    listener: TcpListener,
    answer: A,
    end: impl Future<Output = ()>,
    grace: Duration,
) where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let (ending, ended) = tokio::sync::watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // A failure means that the peer has gone, which the first read will tell.
                    let _ = stream.set_nodelay(true);
                    let service = service_fn(answer.clone());
                    let mut ended = ended.clone();
                    connections.spawn(async move {
                        let mut builder = auto::Builder::new(TokioExecutor::new());
                        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
                        let connection = builder.serve_connection(TokioIo::new(stream), service);
                        tokio::pin!(connection);
                        // That a client goes away is its own affair.
                        tokio::select! {
                            _ = &mut connection => return,
                            _ = ended.wait_for(|ended| *ended) => {}
                        }
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    });
                }
                // Out of file descriptors: accepting again at once would spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    drop(listener);
    ending.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    // Streams that a client holds open have no end of their own.
    let _ = tokio::time::timeout(grace, all).await;
}
