//! No feature brings a provider.

use rustls::crypto::CryptoProvider;

pub(crate) const fn brought() -> Option<CryptoProvider> {
    None
}
