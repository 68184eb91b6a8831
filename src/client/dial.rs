//! Making connections: names, addresses, sockets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use tokio::net::{TcpStream, lookup_host};

use crate::net::NetStream;

/// A future behind a pointer, for traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What dials: looks names up and connects to addresses. Each part can be replaced by itself, for a
/// resolver of one's own, another network stack, or a simulated network.
///
/// What it does is asked for in this order, under one deadline: [`resolve`](Self::resolve), then the
/// client's policy judges the addresses, then [`connect`](Self::connect) to those that are left, a few at
/// the same time. Futures that are not needed any more are dropped.
///
/// ```
/// use std::net::SocketAddr;
/// use sockeye::client::{BoxFuture, Connector, Dial};
/// use sockeye::Config;
///
/// /// Every name is this machine.
/// struct Here;
///
/// impl Dial for Here {
///     fn resolve<'a>(
///         &'a self,
///         _host: &'a str,
///         port: u16,
///     ) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
///         Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
///     }
/// }
///
/// let connector = Connector::new(Config::default()).dial(Here);
/// ```
pub trait Dial: Send + Sync + 'static {
    /// The addresses of a name, best first. The default asks the operating system.
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    /// One attempt to connect to one address. The default is TCP, without Nagle's delay.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // A socket that refuses the option still works.
            let _ = stream.set_nodelay(true);
            Ok(stream.into())
        })
    }

    /// Connects to a Unix socket.
    fn connect_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<NetStream>> {
        Box::pin(NetStream::connect_unix(path))
    }
}

/// The operating system's own way to dial.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDial;

impl Dial for SystemDial {}

/// Wraps a stream in TLS: the place where a TLS library is put in.
///
/// A `wss` URL needs one: see [`Connector::tls`](super::Connector::tls). It has to verify that the peer is
/// `host`, to name it (SNI) where it is a name, to offer no ALPN protocol but `http/1.1`, and to report a
/// stream that ends without `close_notify` as an error.
pub trait Tls: Send + Sync + 'static {
    /// Does the handshake on `stream` as a client of `host`, which is a name or an address without
    /// brackets.
    fn connect<'a>(
        &'a self,
        host: &'a str,
        stream: NetStream,
    ) -> BoxFuture<'a, io::Result<NetStream>>;
}
