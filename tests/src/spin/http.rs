//! The HTTP trigger: a fresh instance for each request.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::application::Application;
use super::mortality::{Death, Killed};

type Answer = Response<HyperOutgoingBody>;

/// Answers requests for as long as it is polled.
pub(super) async fn listen(listener: TcpListener, application: Arc<Application>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, application.clone()));
        }
    }
}

/// As Spin does, it leaves the socket as it is: without TCP_NODELAY.
async fn connection(stream: TcpStream, application: Arc<Application>) {
    let service = service_fn(|request| answer(application.clone(), request));
    // An instance that is killed closes its connection, which is no failure of this.
    let _ = server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Answers one request. An error closes the connection without an answer.
async fn answer(
    application: Arc<Application>,
    request: Request<Incoming>,
) -> Result<Answer, Killed> {
    if application.component(request.uri().path()).is_none() {
        return Ok(empty(StatusCode::NOT_FOUND));
    }
    let (sender, receiver) = oneshot::channel();
    let running = tokio::spawn(run(application, request, sender));
    // The instance goes on after it has answered.
    match receiver.await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => Ok(empty(StatusCode::INTERNAL_SERVER_ERROR)),
        Err(_) => match running.await {
            Ok(End::Dropped) | Err(_) => Err(Killed),
            Ok(End::Returned | End::Trapped) => Ok(empty(StatusCode::INTERNAL_SERVER_ERROR)),
        },
    }
}

fn empty(status: StatusCode) -> Answer {
    let body = Full::new(Bytes::new()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

/// How an instance ended.
enum End {
    Returned,
    Trapped,
    /// In the middle of something.
    Dropped,
}

/// Waits for a place, makes an instance and has it handle the request.
async fn run(
    application: Arc<Application>,
    request: Request<Incoming>,
    answer: oneshot::Sender<Result<Answer, ErrorCode>>,
) -> End {
    let Ok(_place) = application.places.acquire().await else {
        return End::Dropped; // it is never closed
    };
    let Some(component) = application.component(request.uri().path()) else {
        return End::Dropped; // it was there when the request came
    };
    let (number, _live) = application.counters.begin();
    let death = application.mortality().of(number);
    let state = application.state(component, death);
    let mut store = wasmtime::Store::new(&application.engine, state);
    let handled = async {
        let proxy = component.proxy.instantiate_async(&mut store).await?;
        let request = request.map(|body| body.map_err(Error::Hyper));
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let answer = http.new_response_outparam(answer)?;
        let handler = proxy.wasi_http_incoming_handler();
        handler.call_handle(&mut store, request, answer).await
    };
    let end = match death {
        Some(Death::After(time)) => tokio::select! {
            end = handled => Some(end),
            () = tokio::time::sleep(time) => None,
        },
        Some(Death::AtAwait(number)) => up_to(handled, number).await,
        Some(Death::AtOperation { .. }) | None => Some(handled.await),
    };
    match end {
        Some(Ok(())) => End::Returned,
        Some(Err(error)) => {
            match error.root_cause().is::<Killed>() {
                true => application.counters.killed(),
                false => {
                    application.counters.trapped.fetch_add(1, Ordering::Relaxed);
                }
            }
            End::Trapped
        }
        None => {
            application.counters.killed();
            End::Dropped
        }
    }
}

/// What `future` comes to; none when it waits for the time of this number, from 1.
async fn up_to<T>(future: impl Future<Output = T>, number: u32) -> Option<T> {
    let mut future = pin!(future);
    let mut waits = 0;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            waits += 1;
            match waits < number {
                true => Poll::Pending,
                false => Poll::Ready(None),
            }
        }
    })
    .await
}
