//! Floor 5: the bounded queue towards one peer.
//!
//! An [`Outbox`](self) has many clonable fronts, the [`Sender`]s, and one back, which a connection
//! drains. It holds whole messages; only what is already on its way to the kernel is bytes. One lock
//! owns the order of writes to a socket: a sender whose message meets an empty outbox writes it
//! itself, from any thread, without waking anybody.
//!
//! It knows no runtime: what waits is a [`Waker`](std::task::Waker), what writes is a small trait on
//! std types.

#[cfg(sockeye_shuttle)]
pub(crate) mod driven;
mod error;
mod item;
mod keeping;
#[cfg_attr(
    not(any(feature = "session", sockeye_loom, sockeye_shuttle)),
    expect(dead_code, reason = "for sessions")
)]
mod kept;
mod ledger;
#[cfg(any(sockeye_loom, sockeye_shuttle))]
pub(crate) mod modelled;
#[cfg(sockeye_loom)]
#[doc(hidden)]
pub mod models;
mod pings;
mod policy;
mod queue;
mod rare;
#[cfg_attr(
    not(any(feature = "session", sockeye_loom, sockeye_shuttle)),
    expect(dead_code, reason = "for sessions")
)]
mod relay;
mod run;
#[cfg(sockeye_shuttle)]
#[doc(hidden)]
pub mod schedules;
mod sender;
mod sent;
mod spare;
mod state;
mod stream;
mod through;
mod waiters;
mod waiting;

pub use error::SendError;
pub use run::Run;
pub use sender::Sender;
pub use sent::Sent;

pub(crate) use item::Queued;
pub(crate) use queue::{Flushed, Outbox, WriteNow};
pub(crate) use relay::Relay;
pub(crate) use sender::Front;
pub(crate) use stream::Piece;

#[cfg(feature = "session")]
pub(crate) use {
    kept::{Budget, Gap, Kept, KeptBounds},
    relay::HandOver,
};

#[cfg(all(feature = "app", feature = "pubsub"))]
pub(crate) use {
    kept::{KeptMark, KeptMessage, KeptState},
    relay::Onward,
};
