//! TLS options of the client.

use sockeye::Connector;
use sockeye::tls::TlsConnector;

use crate::options::{Failure, Trust};

/// A connector that trusts these certificates and shows this one; without any, as it was.
pub(crate) fn protect(connector: Connector, trust: &Trust) -> Result<Connector, Failure> {
    let read = |path: &String| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
    let tls = match (&trust.roots, &trust.chain) {
        (None, None) => return Ok(connector),
        (Some(roots), _) => TlsConnector::roots_pem(&read(roots)?)?,
        (None, Some(_)) => TlsConnector::system_roots()?,
    };
    let tls = match (&trust.chain, &trust.key) {
        (Some(chain), Some(key)) => tls.client_certificate(&read(chain)?, &read(key)?)?,
        _ => tls,
    };
    Ok(connector.tls(tls))
}
