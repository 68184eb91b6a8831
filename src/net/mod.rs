//! Floor 6: tokio. The protocol on real byte streams.
//!
//! Three faces on one core: [`WebSocket`] with `recv` and `send` (owned) or `recv_ref` (borrowed),
//! [`WebSocket::run`] with a [`Handler`] (borrowed, the fastest), and [`WebSocket::split`] for
//! different tasks; [`WebSocket::into_byte_stream`] carries bytes. [`Server`] accepts; who connects is on the
//! floor above.
//!
//! It knows no rooms and no users.

mod acceptor;
mod admission;
mod attached;
mod bytes;
mod caught;
mod clock;
mod conn;
mod driver;
mod handler;
pub(crate) mod head;
mod line;
mod listener;
#[cfg(not(unix))]
pub(crate) mod no_unix;
mod ping;
mod pool;
mod reader;
mod request;
pub(crate) mod runtime;
#[cfg(sockeye_shuttle)]
#[doc(hidden)]
pub mod schedules;
mod send;
mod server;
mod socket_owner;
#[cfg(feature = "tracing")]
mod span;
mod split;
mod stream;
mod tasks;
mod through_tls;
#[cfg(unix)]
mod unix;
mod upgrading;
mod websocket;
mod wheel;
mod writer;

#[cfg(not(unix))]
pub(crate) use no_unix as unix;

pub use acceptor::Acceptor;
pub use admission::{Admission, Pass};
pub use attached::{AttachedServer, Door};
pub use bytes::BinaryStream;
#[cfg(all(feature = "app", feature = "pubsub"))]
pub(crate) use conn::next_id;
pub use driver::Driver;
pub use handler::{Connection, Handler};
pub use line::ByteStream;
pub use listener::Listen;
pub use reader::MessageReader;
pub use request::{Answer, Request};
pub use server::Server;
#[cfg(feature = "hub")]
pub(crate) use server::is_shortage;
pub use socket_owner::{SocketOwner, SocketTasks};
pub use split::Receiver;
pub use stream::NetStream;
pub use through_tls::AcceptTls;
pub use upgrading::Upgrading;
pub use websocket::WebSocket;
pub use writer::{MessageWriter, SocketWriter};
