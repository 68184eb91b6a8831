//! Floor 2: compression of messages (permessage-deflate, RFC 7692).
//!
//! What one end wants, and how two ends agree on it in the opening handshake; the coders, and one of
//! each that a thread lends to its connections. No I/O, no clock.
//!
//! It is not the place where the header with the parameters is read or written: that is
//! [`handshake`](crate::handshake).

mod deflater;
mod error;
mod inflater;
mod params;
mod pool;
mod settings;
mod small;
mod terms;

pub use deflater::Deflater;
pub use error::DeflateAnswerError;
pub use inflater::{Inflater, InvalidDeflate};
pub use params::DeflateParams;
pub use settings::{Deflate, DeflateError, DeflateMode};
pub use small::SmallDeflater;

pub(crate) use pool::{
    ContextSlot, deflate_alone, put_deflated, put_deflater, put_inflater, put_scratch,
    take_deflated, take_deflater, take_inflater, take_scratch,
};
