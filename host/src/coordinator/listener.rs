//! The socket and its connections: accepting, refusing, and what no HTTP server would do.

use std::{
    error::Error as _, future::poll_fn, io, net::SocketAddr, sync::Arc, thread, time::Duration,
};

use bytes::Bytes;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

use super::{answers::answer, reply::Takeover, shared::Shared};

const BACKLOG: u32 = 1024;
const GARBAGE: &[u8] = b"\x00\xff\x16\x03not HTTP\x1b[31m\r\n\r\n\xf0\x9f";

/// Opens or closes the socket; `done` hears when that has taken effect.
pub(super) struct Switch {
    pub listen: bool,
    pub done: std::sync::mpsc::SyncSender<io::Result<()>>,
}

/// A bound socket. While it is not listening the port stays ours and the kernel
/// refuses connections to it.
pub(super) enum Port {
    Listening(TcpListener),
    Bound(TcpSocket),
}

impl Port {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Else connections in TIME_WAIT would keep us from our own port.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let addr = socket.local_addr()?;
        Ok((Self::Bound(socket), addr))
    }

    fn listen(self) -> io::Result<Self> {
        match self {
            Self::Bound(socket) => socket.listen(BACKLOG).map(Self::Listening),
            Self::Listening(_) => Ok(self),
        }
    }

    fn refuse(self) -> io::Result<Self> {
        match self {
            Self::Listening(listener) => {
                let addr = listener.local_addr()?;
                drop(listener);
                Ok(Self::bind(addr)?.0)
            }
            Self::Bound(_) => Ok(self),
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Listening(listener) => Ok(listener.accept().await?.0),
            Self::Bound(_) => std::future::pending().await,
        }
    }
}

/// Serves on a thread and runtime of its own, so that nothing its user does to
/// theirs changes what the coordinator sees or when. Ends at once, with all its
/// connections, when the sender of `switches` is dropped.
pub(super) fn spawn(
    port: Port,
    shared: Arc<Shared>,
    switches: mpsc::UnboundedReceiver<Switch>,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("coordinator".to_owned())
        .spawn(move || runtime.block_on(accept(port, shared, switches)))
}

async fn accept(port: Port, shared: Arc<Shared>, mut switches: mpsc::UnboundedReceiver<Switch>) {
    let mut port = Some(port);
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &port {
                Some(port) => port.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            switch = switches.recv() => {
                let Some(switch) = switch else { return };
                let switched = match port.take() {
                    Some(port) if switch.listen => port.listen(),
                    Some(port) => port.refuse(),
                    None => Err(io::Error::other("the port was lost when it was last switched")),
                };
                if !switch.listen {
                    connections.shutdown().await;
                }
                let outcome = switched.map(|switched| port = Some(switched));
                // Whoever asked may have given up.
                let _ = switch.done.send(outcome);
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accepted => match accepted {
                Ok(stream) => {
                    shared.ledger.change(|state| state.stats.connections += 1);
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                // Out of file descriptors: accepting again at once would spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // A failure means that the peer has gone, which the first read will tell.
    let _ = stream.set_nodelay(true);
    let mut no_read = shared.no_read.subscribe();
    // Pinned in a box because getting the socket back afterwards takes an Unpin future.
    let service = service_fn(|request| Box::pin(answer(Arc::clone(&shared), request)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        biased;
        () = async { let _ = no_read.wait_for(|on| *on).await; } => {
            std::future::pending().await
        }
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
    };
    let takeover = match &ended {
        Ok(()) => None,
        Err(error) => error.source().and_then(|s| s.downcast_ref::<Takeover>()),
    };
    let mut stream = connection.into_parts().io.into_inner();
    // From here on the peer may be gone at any moment, which is no concern of ours.
    match takeover {
        None | Some(Takeover::Cut) => {}
        Some(Takeover::Reset) => drop(stream.set_zero_linger()),
        Some(Takeover::Garbage) => {
            let _ = stream.write_all(GARBAGE).await;
            let _ = stream.shutdown().await;
        }
        Some(Takeover::Drip(answer)) => drip(&mut stream, answer).await,
    }
}

async fn drip(stream: &mut TcpStream, answer: &Bytes) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for byte in answer.iter() {
        seconds.tick().await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
