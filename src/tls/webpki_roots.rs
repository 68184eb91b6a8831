//! Mozilla's roots, compiled in (feature `tls-webpki-roots`).

use rustls::RootCertStore;

use super::connector::TlsConnector;
use super::error::TlsError;

pub(crate) fn webpki() -> Option<RootCertStore> {
    Some(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

impl TlsConnector {
    /// Trusts what Mozilla trusted when this was compiled, wherever it runs. Feature `tls-webpki-roots`.
    ///
    /// # Errors
    /// [`TlsError::NoProvider`].
    pub fn webpki_roots() -> Result<Self, TlsError> {
        Self::new(webpki().ok_or(TlsError::NoRoots)?)
    }
}
