//! Floor 9: rooms, and the workers that fan out to them.
//!
//! A room is a set of [`Sender`](crate::Sender)s. A broadcast is encoded once; workers write it to
//! the members, so that whoever publishes waits for nobody and a slow member holds up no other.
//!
//! It is the part of the hub a chat needs. [`limits`] and [`metrics`] are the pure pieces of what
//! bounds and counts; the rest of the floor comes later.

pub mod limits;
pub mod metrics;

mod error;
mod members;
mod rooms;
mod worker;

pub use error::BroadcastError;
pub use rooms::{Hub, Membership, Room};
