//! Floor 11: an application's server. Events with typed handlers, routes with parameters and guards,
//! middleware, and sessions that survive a lost connection.
//!
//! An [`App`] is set up, started, and then [`Running`]. A [`Route`] is a path whose connections speak
//! [events](event) or, with a handler of their own, anything else. A handler gets a [`Context`]: who asks, and
//! ways to answer, to ask the client in turn, and to speak to rooms. What a client has to know is in
//! [`protocol`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use serde::Deserialize;
//! use serde_json::json;
//! use sockeye::app::{App, Context};
//! use sockeye::hub::Shutdown;
//!
//! #[derive(Deserialize)]
//! struct Say {
//!     room: String,
//!     text: String,
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let app = App::new().on("chat.message", async |context: Context, say: Say| {
//!     let said = json!({"user": context.user_id(), "text": say.text});
//!     context.to_room(&say.room).except_self().send("chat.message", &said)?;
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(json!({"status": "sent"}))
//! });
//! let running = app.port(0).start().await?;
//! println!("ws://{}/ws", running.local_addrs()[0]);
//! running.stop(Shutdown::new(Duration::from_secs(5))).await?;
//! # Ok(()) }
//! ```
//!
//! # How events are handled
//!
//! Those of one connection one after the other, in the connection's own task, so they keep their order. While a handler
//! works, up to 16 messages (or 64 KiB) behind its own are read and wait: pings are answered, and a client that goes is
//! noticed. One that sends faster than its events are handled is held back. While a handler [asks](Context::request) its
//! client, 64 messages (256 KiB) are read on, for the answer is one of them. A panic is the client's error 500 and ends
//! nothing; a handler that takes too long is dropped, and its client told 408. The handler of a connection that falls goes on
//! to its end. What waits behind it is handled then where the client said goodbye; of a connection that was lost it was not
//! received, and comes again with the client.

pub mod client;
pub mod event;
pub mod protocol;

mod ack;
mod audience;
mod builder;
mod check;
mod connection;
mod context;
mod correlation;
mod disconnect;
mod endpoint;
mod entrance;
mod entry;
mod error;
mod fault;
#[cfg(feature = "pubsub")]
mod fetching;
#[cfg(feature = "pubsub")]
mod giving;
mod guard;
mod handle;
#[cfg(feature = "pubsub")]
mod housing;
mod last;
mod link;
mod member;
#[cfg(feature = "pubsub")]
mod moving;
mod next;
mod page;
mod presence;
#[cfg(feature = "pubsub")]
mod pubsub;
mod receive;
mod reply;
mod requests;
mod route;
mod routes;
mod running;
#[cfg(feature = "schema")]
mod schema;
mod scratch;
mod serving;
mod settings;
mod shared;
mod shown;
mod site;
#[cfg(not(feature = "pubsub"))]
mod staying;
#[cfg(feature = "pubsub")]
mod stored;
#[cfg(feature = "pubsub")]
mod storing;
mod visitor;
mod watched;
#[cfg(feature = "pubsub")]
mod writing;

#[cfg(not(feature = "pubsub"))]
pub(in crate::app) use staying::{Moving, Storage, Storing, write};
#[cfg(feature = "pubsub")]
pub(in crate::app) use {
    moving::Moving,
    storing::{Storage, Storing},
    writing::write,
};

pub(in crate::app) use last::Last;

pub use audience::Audience;
pub use builder::App;
pub use context::Context;
pub use disconnect::{Disconnect, Reconnect};
pub use error::{AppError, EventSendError, RequestError};
pub use event::{Codec, Event, EventError, FieldError};
pub use guard::{authenticated, role};
pub use next::Next;
pub use reply::{IntoReply, Reply};
pub use route::Route;
pub use running::Running;
pub use visitor::Visitor;
