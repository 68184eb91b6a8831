//! The stream behind an answer of hyper's.

use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use crate::net::NetStream;

/// The stream, and what was read of it already. Plain TCP is taken out of what hyper has around it.
pub(super) async fn stream_of(on_upgrade: OnUpgrade) -> Result<(NetStream, Vec<u8>), hyper::Error> {
    type Tcp = TokioIo<TcpStream>;
    let upgraded = on_upgrade.await?;
    let upgraded = match upgraded.downcast::<Tcp>() {
        Ok(Parts { io, read_buf, .. }) => return Ok((io.into_inner().into(), read_buf.into())),
        Err(upgraded) => upgraded,
    };
    // What serves both versions of HTTP has one more layer.
    Ok(match auto::upgrade::downcast::<Tcp>(upgraded) {
        Ok(parts) => (parts.io.into_inner().into(), parts.read_buf.into()),
        Err(upgraded) => (NetStream::boxed(TokioIo::new(upgraded)), Vec::new()),
    })
}
