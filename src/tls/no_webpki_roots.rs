//! The feature `tls-webpki-roots` is off.

use rustls::RootCertStore;

pub(crate) const fn webpki() -> Option<RootCertStore> {
    None
}
