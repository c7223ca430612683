//! Which servers are trusted. The certificates beside this file are self-signed, for 127.0.0.1.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/engine/tests")
        .join(name)
}

/// A coordinator behind TLS that says 200 to the first request on each connection.
fn serve() -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(fixture("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let mut request = [0; 4096];
            if matches!(stream.read(&mut request), Ok(bytes) if bytes > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.flush();
            }
        }
    });
    address
}

/// Asks for the health of a coordinator at `address`, trusting the certificate in `ca_file` too.
async fn check(address: SocketAddr, ca_file: &str) -> crate::engine::Probe {
    let url = format!("https://{address}");
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    let component = engine.load(mcp_reporter_artifacts::REPORTER).unwrap();
    let egress = Egress::new(&url, Some(&fixture(ca_file))).unwrap();
    let reporter = Reporter::new(component, settings(&url, &[]), egress);
    let mut instance = reporter
        .instantiate(Arc::new(MemoryStore::new()))
        .await
        .unwrap();
    soon(instance.check_connection()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_server_whose_certificate_is_in_ca_file_is_trusted() {
    let probe = check(serve(), "server.pem").await;
    assert!(probe.ok, "{}", probe.detail);
}

#[tokio::test]
async fn a_server_with_an_unknown_certificate_is_not_trusted() {
    let probe = check(serve(), "other.pem").await;
    assert!(!probe.ok);
    assert!(
        probe.detail.contains("certificate is not trusted"),
        "{}",
        probe.detail
    );
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_down() {
    let peer = Peer::agreeable().await;
    let probe = check(peer.address, "other.pem").await;
    assert!(
        probe.detail.contains("TLS handshake failed"),
        "{}",
        probe.detail
    );
}

#[test]
fn a_ca_file_without_certificates_is_refused_by_its_name() {
    for (name, reason) in [
        ("absent.pem", "No such file"),
        ("server.key", "no certificate"),
    ] {
        let error = match Egress::new("https://127.0.0.1", Some(&fixture(name))) {
            Ok(_) => panic!("{name} accepted"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
}
