//! Floor 9: rooms, and the workers that fan out to them.
//!
//! A room is a set of [`Sender`](crate::Sender)s. A broadcast is encoded once; workers write it to
//! the members, so that whoever publishes waits for nobody and a slow member holds up no other. A hub
//! knows the rooms, and the connections that are registered with it.
//!
//! # Tuning
//!
//! The defaults are for a server that has a machine to itself. What to change, and why:
//!
//! | what | default | set it |
//! |---|---|---|
//! | [`workers`](HubBuilder::workers) | one a thread of the runtime | rarely |
//! | [`Config::outbox_messages_max`](crate::Config::outbox_messages_max) | 64 | by how far a client may fall behind |
//! | [`job_queue`](HubBuilder::job_queue) | 65,536 jobs a worker | by the longest burst of joins and broadcasts |
//! | [`job_bytes_max`](HubBuilder::job_bytes_max) | 16 MiB a worker | by the memory that bursts may take |
//!
//! **Workers.** A worker writes to its share of the members and never waits for one, so it is busy or
//! has nothing to do: more workers than cores only take turns, and fewer leave cores idle in a large
//! broadcast. One a core is right when fan-out is most of the work, and up to two a core where they
//! share them with threads that block; fewer, where messages are large and memory or the network runs
//! out before the cores do. On a current-thread runtime there is always one: a runtime a core, each with
//! a listener of its own ([`Server::bind_shared`](crate::Server::bind_shared)), is the layout in which
//! least is shared.
//!
//! **Outboxes.** The queue of one connection is what a client may be late by, and times the number of
//! connections it is what slow clients may cost together, the bytes bounded by
//! [`Config::outbox_bytes_max`](crate::Config::outbox_bytes_max):
//!
//! | messages | for |
//! |---|---|
//! | 16 to 32 | state that is soon stale (prices, positions): a late client should miss, not catch up |
//! | 64 to 128 | talk, and anything with bursts of seconds |
//! | 256 and more | clients on bad links that must have all, where memory allows it |
//!
//! What a full one does is [`Config::overflow`](crate::Config::overflow).
//!
//! **Jobs.** A broadcast, a join and a leave are a job each. When as many wait as there may, a
//! broadcast is refused with [`BroadcastError`], so the queue should hold the burst after which you would
//! rather refuse than be late, and [`Room::poll_ready`] holds publishers back at half of it. Joins have
//! 65,536 places more: who floods a worker with them is refused with [`JoinError::Busy`].

#[cfg(feature = "pubsub")]
pub mod cluster;
pub mod limits;
pub mod metrics;

mod builder;
mod clock;
mod counting;
mod doors;
#[cfg(feature = "app")]
mod entry;
mod error;
#[cfg(feature = "auth")]
mod guarded;
mod handlers;
mod history;
#[expect(clippy::module_inception, reason = "a file is one noun, and this floor is named after it")]
mod hub;
mod members;
mod peer;
mod presence;
mod publishing;
mod registry;
mod remote;
mod report;
mod room;
#[cfg(sockeye_shuttle)]
#[doc(hidden)]
pub mod schedules;
mod serve;
mod shared;
mod shutdown;
mod under_way;
mod worker;

#[cfg(feature = "app")]
pub(crate) use entry::Held;
#[cfg(feature = "app")]
pub(crate) use guarded::Asking;
#[cfg(feature = "app")]
pub(crate) use remote::Wiring;
#[cfg(feature = "app")]
pub(crate) use serve::{Ticket, refusal};

pub use builder::{HUB_MESSAGE_BYTES_MAX, HubBuilder, HubError};
pub use error::{BroadcastError, JoinError, MetadataError, RegisterError};
pub use handlers::{Handlers, HubHandler, PeerConnection};
pub use history::{History, HistoryConfig, Page, Said};
pub use hub::{Hub, Registration};
pub use peer::{Peer, Profile};
pub use presence::{PresenceChange, PresenceKind};
pub use publishing::Publishing;
pub use report::{Except, Report, Reporting};
pub use room::{Membership, Room};
pub use shutdown::{Shutdown, ShutdownReport};
