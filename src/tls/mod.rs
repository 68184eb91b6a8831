//! TLS by rustls, for `wss` in the client and in the server (feature `tls`).
//!
//! It stands on floor 6, beside [`net`](crate::net), which knows only that a stream may be wrapped. What is
//! here is [`TlsConnector`] for clients and [`TlsAcceptor`] for servers: TLS 1.2 and 1.3, ALPN `http/1.1` and
//! nothing else, no early data; there is no renegotiation. A stream that ends without `close_notify` ends its
//! connection with 1006, whatever came before.
//!
//! No crypto provider is forced: the process's default is used, else the one of the feature `aws-lc-rs` or
//! `ring` (in this order, where both are on), else there is [`TlsError::NoProvider`].
//!
//! Source: RFC 6455 10.6, RFC 8446, RFC 5246, RFC 7301.

mod acceptor;
mod certificate;
mod connector;
mod error;
mod provider;

#[cfg(feature = "aws-lc-rs")]
mod aws_lc_rs;
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
mod no_provider;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
mod ring;

#[cfg(feature = "tls-native-roots")]
mod native_roots;
#[cfg(not(feature = "tls-native-roots"))]
mod no_native_roots;
#[cfg(not(feature = "tls-webpki-roots"))]
mod no_webpki_roots;
#[cfg(feature = "tls-webpki-roots")]
mod webpki_roots;

#[cfg(feature = "aws-lc-rs")]
pub(crate) use aws_lc_rs::brought;
#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
pub(crate) use no_provider::brought;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
pub(crate) use ring::brought;

#[cfg(feature = "tls-native-roots")]
pub(crate) use native_roots::native;
#[cfg(not(feature = "tls-native-roots"))]
pub(crate) use no_native_roots::native;
#[cfg(not(feature = "tls-webpki-roots"))]
pub(crate) use no_webpki_roots::webpki;
#[cfg(feature = "tls-webpki-roots")]
pub(crate) use webpki_roots::webpki;

pub use acceptor::TlsAcceptor;
pub use connector::TlsConnector;
pub use error::TlsError;

/// The library beneath, for configurations of one's own.
pub use rustls;
