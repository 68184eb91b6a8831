//! Where a server's TLS is put in.

use std::io;
use std::pin::Pin;

use tokio::io::AsyncReadExt;

use super::stream::NetStream;

/// A TLS handshake under way.
type Accepting<'a> = Pin<Box<dyn Future<Output = io::Result<NetStream>> + Send + 'a>>;

/// Wraps a server's streams in TLS: the place where a TLS library is put in. With the feature `tls` there is
/// one, `TlsAcceptor`.
///
/// It has to agree on no ALPN protocol but `http/1.1`, and to report a stream that ends without
/// `close_notify` as an error. The deadline is the caller's: it drops the future.
pub trait AcceptTls: Send + Sync + 'static {
    /// Does the handshake on `stream` as the server.
    fn accept(&self, stream: NetStream) -> Accepting<'_>;
}

/// The handshake on a stream of which `input` has been read already.
pub(super) async fn through_tls(
    tls: &dyn AcceptTls,
    stream: NetStream,
    input: Vec<u8>,
) -> io::Result<NetStream> {
    if input.is_empty() {
        return tls.accept(stream).await;
    }
    let (reader, writer) = tokio::io::split(stream);
    let reader = io::Cursor::new(input).chain(reader);
    tls.accept(NetStream::boxed(tokio::io::join(reader, writer))).await
}
