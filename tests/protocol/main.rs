//! Floors 1, 3 and 4: frames, the handshake, the protocol without I/O.

#[path = "../support/mod.rs"]
mod support;

mod forwarded;
mod frame;
mod handshake;
mod one_endpoint;
mod values;
mod write_buffer;
