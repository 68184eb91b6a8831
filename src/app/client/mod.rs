//! A client of the [event protocol](super::protocol): a session with a server, whatever happens to its connections.
//!
//! [`EventClient`] sends events and asks, [`Incoming`] hears. Each event arrives once and in order, in both
//! directions, over any number of lost connections; where that cannot be, for the server has forgotten the session,
//! [`Happening::Gap`] says so.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use serde_json::{Value, json};
//! use sockeye::app::client::{ClientOptions, EventClient, FirstEvents, Happening};
//! use sockeye::{Config, Connector};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let connector = Connector::new(Config::default());
//! let mut options = ClientOptions::default();
//! // Again, too, when the server has forgotten the session.
//! options.first = Some(FirstEvents::new(|first| first.send("room.join", &json!({"room": "lobby"}))));
//! let (client, mut incoming) =
//!     EventClient::connect(connector, "ws://127.0.0.1:8080/ws", options)?;
//! let asking = client.clone();
//! let asker = tokio::spawn(async move {
//!     let text = json!({"room": "lobby", "text": "hello"});
//!     asking.request::<Value>("chat.message", &text, Duration::from_secs(5)).await
//! });
//! while let Some(happening) = incoming.next().await {
//!     match happening {
//!         Happening::Event(event) => println!("{}: {}", event.name(), event.payload_json()),
//!         Happening::Request(question) => client.answer(&question, &json!({"ready": true}))?,
//!         Happening::Gap { reason, .. } => println!("missed something: {reason}"),
//!         _ => {}
//!     }
//! }
//! asker.await??;
//! # Ok(()) }
//! ```

mod error;
mod event_client;
mod first;
mod happening;
mod incoming;
mod keeper;
mod ledger;
mod line;
mod opening;
mod options;
mod pending;
mod servers;
mod shared;
mod state;
mod token;

pub use error::{QueueError, RequestError};
pub use event_client::EventClient;
pub use first::{First, FirstEvents};
pub use happening::{Happening, Question};
pub use incoming::Incoming;
pub use options::ClientOptions;
pub use state::{ClientSession, ClientState};
pub use token::TokenSource;
