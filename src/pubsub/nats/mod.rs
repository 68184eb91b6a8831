//! NATS as the broker: core NATS, which keeps nothing, as the bus promises no more than at most once.
//!
//! A small client of its own. One connection does all: a batch of messages or of subscriptions is one write with a `PING`
//! behind it, and as a server answers in order, its `PONG` says that all of it has been taken; there is no queue for each
//! subscription. In a cluster the other servers hear of a subscription a moment after that.
//!
//! **Servers.** Several may be given. Each attempt to connect is for the next one, the first for any of them; servers that
//! a cluster tells of are not gone to. One that says that it will leave (lame duck mode) is left at once, for its users are
//! to spread over the others in good time. That is a lost connection with its [gap](super::Incoming::Gap): while a second
//! connection stood beside the first, messages would come twice.
//!
//! **TLS** (feature `tls`, or [a library of one's own](Nats::tls)): with `tls://` always, with `nats://` where the server
//! asks for it. Who can change what is under way can take that question out: give `tls://` where there must be TLS. Servers
//! that want it before they say anything (`handshake_first`) are not spoken to.
//!
//! **Limits.** A server takes messages up to its `max_payload` (1 MiB by default); what it sends may have 64 MiB. It cuts
//! who reads too slowly, and then the bus connects again, with a gap. Any `-ERR` ends the connection: one of permissions as
//! [`Refused`](super::PubSubErrorKind::Refused).
//!
//! **JetStream** is nothing that the bus needs; sessions can be kept in it, over connections of their own
//! (`session::stores::NatsStore`).
//!
//! **Not here** are nkeys and credentials files: they need an adapter of one's own around a client that has them.
//!
//! Source: the NATS client protocol, as its documentation describes it.

#[cfg(feature = "app")]
mod asking;
mod broker;
mod fault;
mod line;
mod parser;
mod server;
mod task;
mod wire;

pub use broker::Nats;

#[cfg(feature = "app")]
pub(crate) use super::name::escape;
#[cfg(feature = "app")]
pub(crate) use asking::{Answer, Asking};
