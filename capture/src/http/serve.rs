//! A socket and its connections, HTTP/1.1 and HTTP/2.

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A connection whose request's head takes longer is closed.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

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
