//! Events: JSON messages with a name, without I/O. Two [`Codec`]s, what is wrong with a message that is none
//! ([`MalformedEvent`]), what a client is told ([`EventError`]), and the events of the protocol itself ([`system`]).
//!
//! Incoming ones are read where they lie ([`EventRef`]); outgoing ones are written once, into the payload of
//! their message.

pub mod system;

mod codec;
mod error;
mod explain;
mod malformed;
mod members;
mod parsed;
mod rest;
mod text;
mod unwritable;
mod value;
mod write;

pub use codec::Codec;
pub use error::{EventError, FieldError};
pub use malformed::MalformedEvent;
pub use parsed::EventRef;
pub use unwritable::UnwritableEvent;
pub use value::Event;

pub(crate) use codec::NAME_BYTES_MAX;
#[cfg(feature = "schema")]
pub(crate) use explain::escaped;
pub(crate) use write::{Outgoing, PayloadKind};
