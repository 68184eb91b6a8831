//! The provider of the feature `ring`.

use rustls::crypto::{CryptoProvider, ring};

pub(crate) fn brought() -> Option<CryptoProvider> {
    Some(ring::default_provider())
}
