//! Floor 1: what is on the wire (RFC 6455 section 5.2).
//!
//! Opcodes, frame headers, masking, utf-8 that may be cut anywhere, close codes, and the
//! [`Violation`]s a peer can commit. Everything here is pure: no I/O, no clock, no allocation
//! that a peer can steer.
//!
//! It is not the place where frames become messages: that is [`protocol`](crate::protocol).

mod close;
mod header;
mod mask;
mod opcode;
mod utf8;
mod value;
mod violation;

pub use close::{CloseCode, CloseFrame, CloseFrameError};
pub use header::FrameHeader;
pub use mask::{MaskingKeys, apply_mask};
pub use opcode::Opcode;
pub use utf8::{InvalidUtf8, Utf8Validator};
pub use value::Frame;
pub use violation::Violation;
