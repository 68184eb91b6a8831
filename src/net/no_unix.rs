//! Unix sockets, where there are none.

use std::io;
use std::path::Path;

use super::listener::Listen;

/// Always `Unsupported`.
pub(super) async fn listen(_: &Path, _: Option<u32>) -> io::Result<Box<dyn Listen>> {
    Err(io::ErrorKind::Unsupported.into())
}
