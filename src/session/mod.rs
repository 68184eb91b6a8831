//! Floor 10: identities that survive their connections.
//!
//! A **connection** is a socket, which may fall. A [`Session`] is an identity with a queue of its own: it
//! has one connection after another, and what was sent and not received is sent again, once and in order.
//! Its [`sender`](Session::sender) stays the same throughout, so rooms that hold it notice nothing.
//!
//! ```text
//!              created                     resumed, with the secret token
//!   connection ──────► session, connected ◄────────────────────────────── session, suspended
//!                              │    ▲                                              │   │
//!                              │    └── taken over by a newer connection           │   └─ time is up: ended
//!                              └───────────────── connection falls ────────────────┘
//! ```
//!
//! Nothing is in a frame that says which message it is: both ends count. So one prepared broadcast serves
//! all sessions, and a client that does not know of any of this is served as well.
//!
//! In a cluster a session may go on on another node than the one it began on: its token says where it is. What is told
//! between nodes is the business of the floor above.
//!
//! What another node needs to go on with a session whose node has died is kept in a store, with feature `pubsub` (`session::stores`).
//!
//! This floor has no words for the wire and no task: what is told to a client, and when
//! [`Sessions::sweep`] is called, is the application's business, or that of the floor above.

mod config;
mod error;
mod id;
#[cfg(all(feature = "app", feature = "pubsub"))]
mod moving;
#[cfg(all(feature = "app", feature = "pubsub"))]
mod recorded;
#[cfg(sockeye_shuttle)]
#[doc(hidden)]
pub mod schedules;
#[expect(clippy::module_inception, reason = "a file is one noun, and this floor is named after it")]
mod session;
mod store;
#[cfg(all(feature = "app", feature = "pubsub"))]
pub mod stores;
mod token;

#[cfg(all(feature = "app", feature = "pubsub"))]
pub(crate) use moving::{Arrival, Claimed, Departed, pass_on};
#[cfg(all(feature = "app", feature = "pubsub"))]
pub(crate) use recorded::{Image, SessionMark};
#[cfg(all(feature = "app", feature = "pubsub"))]
pub(crate) use session::Mover;

pub use config::SessionConfig;
pub use error::{AckError, ResumeError, SessionError};
pub use id::SessionId;
pub use session::{Opening, Session};
pub use store::{Resume, Sessions};
