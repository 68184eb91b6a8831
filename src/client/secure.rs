//! `wss` by itself: what a client takes that was given no TLS of its own.

use std::io;

use crate::net::NetStream;
use crate::sync::Arc;
use crate::tls::TlsConnector;

use super::dial::{BoxFuture, Tls};

impl Tls for TlsConnector {
    fn connect<'a>(
        &'a self,
        host: &'a str,
        stream: NetStream,
    ) -> BoxFuture<'a, io::Result<NetStream>> {
        Box::pin(Self::connect(self, host, stream))
    }
}

/// With the system's roots, which are read when the first `wss` URL comes.
struct SystemTls;

impl Tls for SystemTls {
    fn connect<'a>(
        &'a self,
        host: &'a str,
        stream: NetStream,
    ) -> BoxFuture<'a, io::Result<NetStream>> {
        Box::pin(async move { TlsConnector::system().await?.connect(host, stream).await })
    }
}

pub(crate) fn default_tls() -> Option<Arc<dyn Tls>> {
    Some(Arc::new(SystemTls))
}
