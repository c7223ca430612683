//! Whom TLS connections trust: the system's roots, and those of `ca_file`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

/// What a client needs to connect, without a certificate of its own.
///
/// # Errors
///
/// `ca_file` cannot be read or has no certificate, or nobody at all is trusted; the text names
/// `ca_file`.
pub fn client(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    over(roots(ca_file)?)
}

/// The same for a client that will never speak TLS: no certificate is read.
pub fn client_without_roots() -> Result<ClientConfig, String> {
    over(RootCertStore::empty())
}

fn over(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // One unreadable certificate among the system's says nothing about the peer's.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let failed = |error: &dyn std::fmt::Display| {
            format!("ca_file = {:?}: {error}", path.display().to_string())
        };
        let mut found = false;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))? {
            let certificate = certificate.map_err(|e| failed(&e))?;
            roots.add(certificate).map_err(|e| failed(&e))?;
            found = true;
        }
        if !found {
            return Err(failed(&"it has no certificate in PEM form"));
        }
    }
    if roots.is_empty() {
        let text = "the system has no trusted certificates; set ca_file to a file that has (PEM)";
        return Err(text.to_owned());
    }
    Ok(roots)
}
