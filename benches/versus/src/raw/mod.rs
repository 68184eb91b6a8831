//! The physical limit: what a WebSocket server costs where only the kernel and the bytes count.
//!
//! ```text
//!            one block for all connections
//! recv ---> | frame | frame | frame | fra..|        unmask in place, shorter header,
//!           | reply|reply|reply|           |---> one send to the sender, or one to each member
//!                              +--- the rest: kept by the connection until more comes
//! ```
//!
//! It checks what it must to stay in step (lengths, masking, the reserved bits) and nothing more:
//! not utf-8, not the order of fragments, which `/echo` returns as they came and `/chat` refuses.

pub mod batch;
pub mod connection;
pub mod large;
pub mod server;

/// What is read at once. Half the second-level cache where this was measured.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// A frame longer than this gets memory of its own as soon as its header is known.
pub const LARGE_BYTES: usize = 128 * 1024;

/// A frame from this length up is sent from where it lies; a shorter one is moved up to the one
/// before it, which costs less than one more piece for the kernel to gather.
pub const IN_PLACE_BYTES: usize = 2 * 1024;

/// Why a connection is over: the peer left, broke the protocol, or its socket failed.
#[derive(Debug)]
pub struct Gone;
