//! Floor 12: requests that hyper has read, over HTTP/1.1 and HTTP/2, and its client over HTTP/2.
//!
//! [`upgrade`] is for a handler that answers itself, [`answer`] brings a request to a [`Door`](crate::net::Door) in one
//! call; [`ExtendedConnect`] opens WebSockets over an HTTP/2 connection of a client (RFC 8441). It is not a server: hyper
//! has the port, the limits on heads and the timeouts of its connections.
//!
//! With HTTP/1.1, serve connections `with_upgrades`. With HTTP/2, turn
//! [`enable_connect_protocol`](https://docs.rs/hyper/1/hyper/server/conn/http2/struct.Builder.html#method.enable_connect_protocol)
//! on, or no client will ask; how many WebSockets a connection may have is its `max_concurrent_streams`, and what may
//! lie unread of each its windows.
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use hyper::{Request, Response};
//!
//! async fn echo(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     let (response, opening) = match sockeye::hyper::upgrade(&mut request) {
//!         Ok(upgrade) => upgrade,
//!         Err(refusal) => return Ok(refusal.to_response().map(Full::new)),
//!     };
//!     tokio::spawn(async move {
//!         let Ok(mut socket) = opening.await else { return };
//!         while let Ok(Some(message)) = socket.recv().await {
//!             if socket.send(message).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//!     Ok(response)
//! }
//! ```
//!
//! Over HTTP/1.1 on plain TCP the connection is taken out of hyper: senders write to it themselves, as with our own
//! server. Any other stream stays behind a pointer, and over HTTP/2 hyper copies each write once more.
//!
//! Over HTTP/2 a socket lives on hyper's connection: go on serving that until the [`AttachedServer`](crate::net::AttachedServer) or
//! [`SocketOwner`](crate::net::SocketOwner) has stopped, or its goodbyes do not go out.
//!
//! Sources: RFC 6455 4.2, RFC 8441.

mod connect;
mod opening;
mod settings;
mod stream;
mod upgrade;

pub use connect::ExtendedConnect;
pub use opening::Opening;
pub use settings::{ServerSettings, watch_settings};
#[cfg(feature = "tower")]
pub(crate) use upgrade::bring;
#[cfg(any(feature = "axum", feature = "tower"))]
pub(crate) use upgrade::protocol_of;
pub use upgrade::{answer, upgrade, upgrade_by};
