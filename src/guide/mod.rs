//! Pages to read, of four kinds.
//!
//! **Tutorial**: learn it by doing.
//!
//! - `tutorial`: from an empty folder to a chat with sessions, step by step (features `app`, `testing` and `tls`)
//!
//! **How-to**: you know what you want.
//!
//! - `how_to`: short answers, from back pressure to cancellation (features `app` and `tls`)
//! - [`from_tokio_tungstenite`], `from_socket_io` (feature `app`), `from_axum` (feature `axum`): what is called what, and what differs
//! - [`deployment`]: several nodes behind a balancer, and the files for it
//! - `testing`: how an application is tested (features `testing` and `app`)
//! - `observability`: what to watch, and how (features `app`, `tracing`, `metrics` and `testing`)
//!
//! **Explanation**: why it is as it is.
//!
//! - `explanations`: a message's way, broadcasts, compression, cancellation, sessions (feature `app`)
//! - [`capacity`]: what one machine carries, and why
//! - [`figures`]: what it costs beside the raw socket and beside others
//!
//! **Reference**: look it up.
//!
//! - [`attacks`]: what is tried against all of it, the answer, and the test that holds it
//! - [`proof`]: what was tried to break it, and what that found
//! - [`Config`](crate::Config): every limit and deadline of a connection
//! - `app::protocol`: the events on the wire, for clients of one's own
//! - the [modules](crate), each of which begins with what it is and what it is not

pub mod attacks;
pub mod capacity;
pub mod deployment;
#[cfg(feature = "app")]
pub mod explanations;
pub mod figures;
#[cfg(feature = "axum")]
pub mod from_axum;
#[cfg(feature = "app")]
pub mod from_socket_io;
pub mod from_tokio_tungstenite;
#[cfg(all(feature = "app", feature = "tls"))]
pub mod how_to;
#[cfg(all(feature = "app", feature = "tracing", feature = "metrics", feature = "testing"))]
pub mod observability;
pub mod proof;
#[cfg(all(feature = "testing", feature = "app"))]
pub mod testing;
#[cfg(all(feature = "testing", feature = "app", feature = "tls"))]
pub mod tutorial;
