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
mod bytes;
mod caught;
mod clock;
mod conn;
mod driver;
mod handler;
pub(crate) mod head;
mod line;
mod ping;
mod pool;
mod reader;
mod request;
mod send;
mod server;
mod split;
mod stream;
mod through_tls;
mod websocket;
mod wheel;
mod writer;

pub use acceptor::Acceptor;
pub use admission::{Admission, Pass};
pub use bytes::BinaryStream;
pub use driver::Driver;
pub use handler::{Connection, Handler};
pub use line::ByteStream;
pub use reader::MessageReader;
pub use request::{Answer, Request};
pub use server::Server;
#[cfg(feature = "hub")]
pub(crate) use server::is_shortage;
pub use split::Receiver;
pub use stream::NetStream;
pub use through_tls::AcceptTls;
pub use websocket::WebSocket;
pub use writer::{MessageWriter, SocketWriter};
