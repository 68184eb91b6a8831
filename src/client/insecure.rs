//! The feature `tls` is off: `wss` takes a TLS library of the caller's.

use crate::sync::Arc;

use super::dial::Tls;

pub(crate) const fn default_tls() -> Option<Arc<dyn Tls>> {
    None
}
