//! Floor 4: the endpoint without I/O (RFC 6455 sections 5 to 8).
//!
//! Bytes in become events; messages in become bytes out. The clock is an argument, in milliseconds
//! since an origin of the caller's choosing. [`Endpoint`] is the whole protocol after the opening
//! handshake: decoding, fragments, utf-8, limits, pongs, keepalive and the closing handshake. The
//! tokio floor above is one body for it; a program on another runtime, a simulation or a fuzzer can
//! be another.
//!
//! It does no I/O, knows no runtime and never spawns.

mod assembly;
mod closing;
mod compressor;
mod config;
mod decoder;
mod delivery;
mod duration;
mod encoder;
mod endpoint;
mod fragments;
mod inflation;
mod keepalive;
mod message;
mod observer;
mod overflow;
mod payload;
mod prepared;
mod rate;
mod rates;
mod role;
mod write_buffer;

pub use closing::{CloseCause, CloseOutcome, Initiator, State, TimeoutKind};
pub use config::Config;
pub use duration::{DurationError, parse_duration};
pub use encoder::Encoder;
pub use endpoint::{ConnectionClosed, Endpoint, Event};
pub use message::{Message, MessageKind, MessageRef, Utf8Bytes};
pub use observer::{Observer, SharedObserver};
pub use overflow::{GapNotice, Overflow};
pub use prepared::{Compress, PreparedMessage};
pub use rate::{Rate, RetryAfter, TokenBucket};
pub use role::Role;
pub use write_buffer::WriteBuffer;

pub(crate) use compressor::DeflateClass;
pub(crate) use config::millis;
pub(crate) use decoder::{Place, Step, Token};
pub(crate) use fragments::Fragments;
