//! What a hub counts, and how it is read.

use std::time::Instant;

use http::StatusCode;

use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::net::is_shortage;
use crate::protocol::{Observer, Overflow};
use crate::sync::Arc;

use super::error::{JoinError, RegisterError};
use super::hub::Hub;
use super::metrics::{
    ConstantLabels, Gauges, JoinRefusal, Metrics, Rejection, Snapshot, StoreCounters,
};
use super::shared::Shared;

/// Messages on the hub's connections, counted.
pub(super) struct Counting(pub(super) Arc<Metrics>);

impl Observer for Counting {
    fn received(&self, messages: u64, bytes: u64) {
        self.0.count_received(messages, bytes);
    }

    fn sent(&self, messages: u64, bytes: u64) {
        self.0.count_sent(messages, bytes);
    }

    fn delivered(&self, messages: u64) {
        self.0.count_delivered(messages);
    }

    fn dropped(&self, policy: Overflow, messages: u64) {
        self.0.count_dropped(policy, messages);
    }

    fn lost(&self, messages: u64) {
        self.0.count_lost(messages);
    }

    fn round_trip(&self, us: u64) {
        self.0.record_round_trip(us);
    }
}

impl RegisterError {
    pub(super) const fn rejection(&self) -> Rejection {
        match self {
            Self::Full { .. } => Rejection::ServerFull,
            Self::AddressFull { .. } => Rejection::AddressFull,
            Self::UserFull { .. } => Rejection::UserFull,
            Self::TooFast { .. } => Rejection::HandshakeRate,
            Self::Stopped | Self::Twice | Self::Room(_) => Rejection::Other,
        }
    }
}

impl JoinError {
    pub(super) const fn refusal(&self) -> JoinRefusal {
        match self {
            Self::RoomFull { .. } => JoinRefusal::RoomFull,
            Self::TooManyRooms { .. } => JoinRefusal::TooManyRooms,
            Self::Name { .. } => JoinRefusal::Name,
            Self::Refused => JoinRefusal::Hook,
            Self::Busy { .. } => JoinRefusal::Busy,
            Self::Closed => JoinRefusal::Other,
        }
    }
}

impl Shared {
    /// A handshake came to nothing before the hub was asked, or after it.
    pub(super) fn count_refused(&self, error: &Error) {
        if let Some(reason) = rejection(error) {
            self.metrics.count_rejected(reason);
        }
        if matches!(error, Error::Panicked) {
            self.metrics.count_handler_panic();
        }
    }
}

/// How a handshake that came to nothing is counted; a page is no refusal.
fn rejection(error: &Error) -> Option<Rejection> {
    use HandshakeError::{Busy, Closed, OriginRefused, Timeout};
    Some(match error {
        Error::Handshake(Busy { .. }) => Rejection::HalfOpen,
        Error::Handshake(OriginRefused) => Rejection::Origin,
        Error::Handshake(Timeout) => Rejection::Timeout,
        Error::Handshake(Closed) => Rejection::Other,
        // The rest of them is the client's, but for a mistake in the hook's answer.
        Error::Handshake(error) if error.status() != StatusCode::INTERNAL_SERVER_ERROR => {
            Rejection::BadRequest
        }
        Error::WebSocketNotEnabled => Rejection::BadRequest,
        Error::Answered(status) if status.is_client_error() || status.is_server_error() => {
            Rejection::Hook
        }
        Error::Answered(_) => return None,
        Error::Panicked => Rejection::Panic,
        Error::Tls(_) => Rejection::Tls,
        Error::Io(error) if is_shortage(error) => Rejection::Shortage,
        _ => Rejection::Other,
    })
}

/// Microseconds since then.
pub(super) fn us_since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl Hub {
    /// All numbers of this moment. Messages are counted on connections whose [`Config`](crate::Config)
    /// is the hub's ([`Hub::config`]), as those of its acceptor are.
    ///
    /// Cost: a look at each registered connection.
    #[must_use]
    pub fn metrics(&self) -> Snapshot {
        let shared = self.shared();
        let peers = self.peers();
        let queued = peers.iter().filter_map(|peer| Some(peer.sender().current()?.undelivered()));
        let queued = queued.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let gauges = Gauges {
            uptime_ms: us_since(shared.began) / 1000,
            connections: peers.len() as u64,
            rooms: self.rooms().len() as u64,
            queued_messages: queued.0 as u64,
            queued_bytes: queued.1 as u64,
            jobs: self.queued().0 as u64,
        };
        let cluster = shared.remote.as_ref().map(|remote| remote.snapshot());
        let store = shared.store.get().map(|counters| counters.snapshot());
        Snapshot { cluster, store, ..shared.metrics.snapshot(gauges) }
    }

    /// An application keeps its sessions in a store, and counts here. Once.
    #[allow(dead_code, reason = "for applications with a store")]
    pub(crate) fn count_store(&self, counters: Arc<StoreCounters>) {
        // The first one stays.
        let _ = self.shared().store.set(counters);
    }

    /// The same as text for Prometheus, to be served as
    /// [`CONTENT_TYPE`](super::metrics::CONTENT_TYPE).
    #[must_use]
    pub fn prometheus(&self) -> String {
        self.metrics().prometheus(&ConstantLabels::default())
    }
}
