//! Floor 9: rooms, and the workers that fan out to them.
//!
//! A room is a set of [`Sender`](crate::Sender)s. A broadcast is encoded once; workers write it to
//! the members, so that whoever publishes waits for nobody and a slow member holds up no other. A hub
//! knows the rooms, and the connections that are registered with it.

pub mod limits;
pub mod metrics;

mod builder;
mod clock;
mod counting;
mod doors;
mod error;
#[cfg(feature = "auth")]
mod guarded;
mod handlers;
#[expect(clippy::module_inception, reason = "a file is one noun, and this floor is named after it")]
mod hub;
mod members;
mod peer;
mod registry;
mod report;
mod room;
mod serve;
mod shared;
mod shutdown;
mod worker;

pub use builder::{HUB_MESSAGE_BYTES_MAX, HubBuilder, HubError};
pub use error::{BroadcastError, JoinError, RegisterError};
pub use handlers::{Handlers, HubHandler, PeerConnection};
pub use hub::{Hub, Registration};
pub use peer::{Peer, Profile};
pub use report::{Except, Report, Reporting};
pub use room::{Membership, Room};
pub use shutdown::{Shutdown, ShutdownReport};
