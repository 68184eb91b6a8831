//! Where sessions are kept beyond the nodes that have them.
//!
//! A session lives in the memory of its node. With a [`SessionStore`] the node writes down what another one needs to
//! go on with it ([`App::session_store`](crate::app::App::session_store)), so that it survives the node: one that is killed,
//! or one that starts again. A store knows names, numbers and bytes only.
//!
//! ```text
//!   node ── put: my epoch is still the record's? ──► record: epoch, bytes, until ◄── get, put: epoch + 1 ── next node
//!     ▲                                                                                                      │
//!     └──────────────────── Taken: the session is somebody else's by now ◄───────────────────────────────────┘
//! ```
//! Whoever takes a session over raises the epoch of its record, and from then on whoever had it cannot write: so a node
//! that was cut off, and believes that it has the session still, is told so by its next put.
//!
//! [`MemoryStore`] is the one within a process. With feature `redis` there is `RedisStore`, with feature `nats` `NatsStore`
//! (JetStream). One of one's own is a type with three methods:
//!
//! ```
//! use std::time::Duration;
//!
//! use sockeye::client::BoxFuture;
//! use sockeye::session::stores::{MemoryStore, Put, Record, SessionStore, StoreError, Wrote};
//!
//! /// Says what is written.
//! struct Spoken(MemoryStore);
//!
//! impl SessionStore for Spoken {
//!     fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
//!         self.0.get(id)
//!     }
//!
//!     fn put<'a>(&'a self, id: &'a str, put: Put) -> BoxFuture<'a, Result<Wrote, StoreError>> {
//!         println!("{id}: {} bytes for {:?}", put.bytes.len(), put.keep_for);
//!         self.0.put(id, put)
//!     }
//!
//!     fn remove<'a>(&'a self, id: &'a str, epoch: u64) -> BoxFuture<'a, Result<(), StoreError>> {
//!         self.0.remove(id, epoch)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StoreError> {
//! let store = Spoken(MemoryStore::new());
//! let put = Put { expected: 0, epoch: 1, bytes: "a session".into(), keep_for: Duration::from_secs(60) };
//! assert_eq!(store.put("id", put).await?, Wrote::Done);
//! assert_eq!(store.get("id").await?.map(|record| record.epoch), Some(1));
//! # Ok(()) }
//! ```

mod config;
mod error;
#[cfg(any(feature = "nats", feature = "redis"))]
mod fault;
#[cfg(any(feature = "nats", feature = "redis"))]
mod made;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
mod session_store;

pub use config::StoreConfig;
pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;
#[cfg(feature = "nats")]
pub use nats::NatsStore;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
pub use session_store::{Put, Record, SessionStore, Wrote};

pub(crate) use session_store::SharedStore;
