//! wip
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod sync;
pub mod frame;
pub mod handshake;
pub mod protocol;
pub mod outbox;
pub mod net;
mod error;
#[cfg(feature = "hub")]
pub mod hub;

pub use error::Error;
pub use frame::{CloseCode, CloseFrame};
pub use net::{Acceptor, Answer, Connection, Connector, Handler, Receiver, Request, Server, WebSocket, connect};
pub use outbox::{SendError, Sender};
pub use protocol::{CloseOutcome, Config, Message, MessageRef, PreparedMessage, Role, Utf8Bytes};
