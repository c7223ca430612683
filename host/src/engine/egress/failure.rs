//! Why there is no answer, in the terms of `wasi:http`.

use std::{error::Error as StdError, io, iter};

use hyper_util::client::legacy;
use wasmtime_wasi_http::{Error, p2::bindings::http::types::ErrorCode};

/// Why a request got no answer.
pub(super) fn of_request(error: &legacy::Error) -> Error {
    let connecting = error.is_connect();
    // The innermost cause that says something decides; a connector wraps the system's own error.
    let mut found = None;
    for cause in causes(error) {
        if cause.to_string().starts_with("dns error") {
            return Error::DnsError {
                rcode: None,
                info_code: None,
            };
        }
        found = of_cause(cause, connecting).or(found);
    }
    found.unwrap_or(if connecting {
        Error::DestinationUnavailable
    } else {
        Error::ConnectionTerminated
    })
}

/// Why an answer ended before its end.
pub(super) fn of_body(error: &hyper::Error) -> ErrorCode {
    if error.is_timeout() {
        ErrorCode::ConnectionReadTimeout
    } else {
        ErrorCode::HttpResponseIncomplete
    }
}

type Cause = dyn StdError + 'static;

/// `error`, what it came of, and so on.
fn causes(error: &Cause) -> impl Iterator<Item = &Cause> {
    iter::successors(Some(error), |error: &&Cause| cause(*error))
}

/// What `error` came of. An I/O error leaves out the error that it was made from.
fn cause(error: &Cause) -> Option<&Cause> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn of_cause(cause: &Cause, connecting: bool) -> Option<Error> {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(error));
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return of_io(error.kind(), connecting);
    }
    let error = cause.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        Some(Error::HttpResponseHeaderSectionSize(None))
    } else if error.is_parse() {
        Some(Error::HttpProtocolError)
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Some(Error::ConnectionTerminated)
    } else {
        None
    }
}

fn of_tls(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Error::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        _ => Error::TlsProtocolError,
    }
}

fn of_io(kind: io::ErrorKind, connecting: bool) -> Option<Error> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut if connecting => Error::ConnectionTimeout,
        io::ErrorKind::TimedOut => Error::ConnectionReadTimeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Error::DestinationIpUnroutable
        }
        _ => return None,
    })
}
