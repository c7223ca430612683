//! The proxy's socket and its connections, HTTP/1.1 and HTTP/2.

use super::forward::Forwarder;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A connection whose request's head takes longer is closed.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// How long exchanges may go on when the proxy is to end.
const GRACE: Duration = Duration::from_millis(500);

/// Serves until `end`, then lets what is under way go on for half a second.
pub async fn serve<C>(listener: TcpListener, forwarder: Forwarder<C>, end: impl Future<Output = ()>)
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let forwarder = Arc::new(forwarder);
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
                    let forwarder = forwarder.clone();
                    let mut ended = ended.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| {
                            let forwarder = forwarder.clone();
                            async move { forwarder.forward(request).await }
                        });
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
    let _ = tokio::time::timeout(GRACE, all).await;
}
