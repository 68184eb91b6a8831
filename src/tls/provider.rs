//! Which cryptography is used, and which protocol is spoken inside.

use rustls::crypto::CryptoProvider;

use crate::sync::Arc;

use super::brought;
use super::error::TlsError;

/// The only protocol that is spoken (ALPN).
pub(super) const HTTP_1_1: &[u8] = b"http/1.1";

/// The process's default, else what a feature brings. Installs nothing: that is the program's to do.
pub(super) fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    match CryptoProvider::get_default() {
        Some(provider) => Ok(provider.clone()),
        None => brought().map(Arc::new).ok_or(TlsError::NoProvider),
    }
}
