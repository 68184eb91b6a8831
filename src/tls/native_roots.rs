//! The roots of the operating system (feature `tls-native-roots`).

use rustls::RootCertStore;

use super::connector::TlsConnector;
use super::error::TlsError;

/// What the system has and we understand.
pub(crate) fn native() -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    (!roots.is_empty()).then_some(roots)
}

impl TlsConnector {
    /// Trusts what the operating system trusts, or the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    /// Feature `tls-native-roots`.
    ///
    /// # Errors
    /// [`TlsError::NoRoots`] where the system has none, [`TlsError::NoProvider`].
    ///
    /// Cost: reads hundreds of certificates from the disk. Keep it, and clone it.
    pub fn native_roots() -> Result<Self, TlsError> {
        Self::new(native().ok_or(TlsError::NoRoots)?)
    }
}
