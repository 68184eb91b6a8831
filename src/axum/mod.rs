//! Part of floor 12: the extractor that programs with axum know from its own `ws`, on this crate.
//!
//! Where a program says `use axum::extract::ws::...`, it says `use sockeye::axum::...`: names, methods and statuses are
//! those of axum 0.8, over HTTP/1.1 and HTTP/2 (`any`). What differs is in [`guide::from_axum`](crate::guide::from_axum).
//!
//! ```no_run
//! use axum::Router;
//! use axum::response::Response;
//! use axum::routing::any;
//! use sockeye::axum::{WebSocket, WebSocketUpgrade};
//!
//! async fn handler(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_upgrade(echo)
//! }
//!
//! async fn echo(mut socket: WebSocket) {
//!     while let Some(Ok(message)) = socket.recv().await {
//!         if socket.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! }
//!
//! let router: Router = Router::new().route("/ws", any(handler));
//! ```
//!
//! Only here: [`config`](WebSocketUpgrade::config), [`deflate`](WebSocketUpgrade::deflate),
//! [`origins`](WebSocketUpgrade::origins), the crate's own [`WebSocket`](crate::WebSocket) with its faster faces
//! ([`on_upgrade_native`](WebSocketUpgrade::on_upgrade_native)), and an owner that closes all sockets
//! ([`owned_by`](WebSocketUpgrade::owned_by), or [`SocketTasks`](crate::net::SocketTasks) as an extension).
//!
//! A whole application (`app::App`) or a [`Door`](crate::net::Door) is mounted by the module `tower`.

pub mod close_code;
mod failed;
mod message;
pub mod rejection;
mod socket;
mod text;
mod upgrade;

pub use failed::{DefaultOnFailedUpgrade, OnFailedUpgrade};
pub use message::{CloseCode, CloseFrame, Message};
pub use socket::WebSocket;
pub use text::Utf8Bytes;
pub use upgrade::WebSocketUpgrade;
