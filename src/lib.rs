//! A WebSocket stack written from RFC 6455 up: client and server, 100 % safe Rust, on tokio.
//!
//! ```text
//!  12  hyper      inside other servers; with tower and axum         features `hyper`, `tower`, `axum`
//!  11  app        events with typed handlers, routes, middleware    feature `app`
//!  10  session    identities that survive their connections          feature `session`
//!   9  hub        rooms and the workers that fan out to them          feature `hub`
//!   8  pubsub     the byte bus between nodes: memory, Redis, NATS  feature `pubsub`
//!   7  auth       HS256 tokens, room passwords, authenticators           feature `auth`
//!   6  net        tokio: WebSocket, handler, split, server; client, on top of it
//!  ------------------------------- no tokio below this line -------------------------------
//!   5  outbox     the bounded queue towards one peer
//!   4  protocol   decoder, assembler, encoder, closing handshake, limits: without I/O
//!   3  handshake  HTTP/1.1 head and Sec-WebSocket-*, both sides: without I/O
//!   2  deflate    permessage-deflate: parameters, deflater, inflater
//!   1  frame      opcode, header, mask, utf-8, close codes, violations
//! ```
//!
//! A module uses only modules below it.
//!
//! # The words
//!
//! A **frame** is what is on the wire; a **message** what the application sees; a
//! [`PreparedMessage`] one already encoded, once, for many. The **protocol** is the
//! [`Endpoint`](protocol::Endpoint) without I/O, a [`WebSocket`] one that owns a byte stream. An
//! **outbox** is the bounded queue towards one peer: a [`Sender`] is its clonable front, its
//! connection its single back. A **room** is a set of senders, the `Hub` owns rooms. A **session** is an identity whose
//! sender outlives its connections.
//!
//! # Where to start
//!
//! - a client: [`connect`], or a [`Connector`] with headers and deadlines
//! - an application with events: `app::App`
//! - a client of one: `app::client::EventClient`
//! - a server: [`Server`], with an [`Acceptor`] that decides who gets in
//! - messages: [`WebSocket::recv`] and [`send`](WebSocket::send) are convenient,
//!   [`WebSocket::recv_ref`] borrows, [`WebSocket::run`] with a [`Handler`] is the fastest,
//!   [`WebSocket::split`] serves several tasks
//! - inside hyper, axum or a router of tower's services: the modules of those names
//! - a stream and handshake of your own: [`WebSocket::from_stream`], or without tokio
//!   [`protocol::Endpoint`]
//!
//! Who is new begins with the tutorial, `guide::tutorial`: from an empty folder to a chat. (It and `guide::how_to` need features that are off by
//! default: `cargo doc --all-features --no-deps --open`.) The
//! [`guide`] has all pages by kind: tutorial, how-to (`guide::how_to`, [`guide::deployment`], coming from
//! [tokio-tungstenite](guide::from_tokio_tungstenite), Socket.IO or axum), explanation and reference ([`guide::attacks`], [`guide::capacity`]).
//!
//! Every limit and deadline is in [`Config`] (connections), [`HeadLimits`](handshake::HeadLimits)
//! (handshakes) and on [`Acceptor`].
//!
//! # Features
//!
//! `json`, `auth`, `hub`, `session` and `app` (all default) only add; floors 1 to 6 are always there. `schema` adds JSON Schema to `app`.
//! `tls` adds `wss` by rustls,
//! with roots (`tls-native-roots`, `tls-webpki-roots`) and a crypto provider (`ring`, `aws-lc-rs`) where the program has
//! none. `pubsub` is the bus between nodes and makes a hub a node of many, `redis` and `nats` bring brokers for it.
//! `hyper`, `tower` and `axum` are for programs whose HTTP server is another. `tracing` gives connections spans, `metrics`
//! publishes a hub's numbers through the facade of that name. `full` is all of it with the system's roots and ring.
//! `testing` is a kit for tests, which belongs into `[dev-dependencies]`.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod sync;

pub mod frame;

pub mod deflate;
pub mod handshake;
pub mod protocol;

mod trace;

pub mod outbox;

#[cfg(not(sockeye_loom))]
mod error;
#[cfg(not(sockeye_loom))]
pub mod net;

#[cfg(all(feature = "tls", not(sockeye_loom)))]
pub mod tls;

#[cfg(not(sockeye_loom))]
pub mod client;

#[cfg(all(feature = "json", not(sockeye_loom)))]
mod json;

#[cfg(feature = "auth")]
pub mod auth;

#[cfg(all(feature = "pubsub", not(sockeye_loom)))]
pub mod pubsub;

#[cfg(all(feature = "hub", not(sockeye_loom)))]
pub mod hub;

#[cfg(all(feature = "session", not(sockeye_loom)))]
pub mod session;

#[cfg(all(feature = "app", not(sockeye_loom)))]
pub mod app;

#[cfg(all(feature = "hyper", not(sockeye_loom)))]
pub mod hyper;

#[cfg(all(feature = "tower", not(sockeye_loom)))]
pub mod tower;

#[cfg(all(feature = "axum", not(sockeye_loom)))]
pub mod axum;
#[cfg(all(feature = "testing", not(sockeye_loom)))]
pub mod testing;

#[cfg(not(sockeye_loom))]
pub mod guide;

/// The crate `http`, whose types stand in this crate's: requests, headers, statuses.
pub use http;

/// Of the crate `bytes`: what a binary message is.
pub use bytes::Bytes;

#[cfg(not(sockeye_loom))]
pub use client::{Connector, connect};
pub use deflate::Deflate;
#[cfg(not(sockeye_loom))]
pub use error::{Error, ErrorKind};
pub use frame::{CloseCode, CloseFrame, Violation};
pub use handshake::{HandshakeError, Origins};
#[cfg(not(sockeye_loom))]
pub use net::{
    Acceptor, Answer, BinaryStream, Connection, Handler, MessageReader, MessageWriter, NetStream,
    Receiver, Request, Server, WebSocket,
};
pub use outbox::{SendError, Sender, Sent};
pub use protocol::{
    CloseOutcome, Compress, Config, Message, MessageKind, MessageRef, PreparedMessage, Role, State,
    Utf8Bytes,
};

/// The programs of the README compile.
#[cfg(all(doctest, feature = "app", feature = "redis", feature = "axum"))]
#[doc = include_str!("../README.md")]
mod readme {}
