//! The feature `tls-native-roots` is off.

use rustls::RootCertStore;

pub(crate) const fn native() -> Option<RootCertStore> {
    None
}
