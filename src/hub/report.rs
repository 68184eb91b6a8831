//! Whom a broadcast leaves out, and what came of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::outbox::{SendError, Sent};
use crate::protocol::Overflow;
use crate::sync::Arc;

use super::peer::Peer;
use super::shared::Shared;

/// Connections that a broadcast leaves out, by their [ids](crate::Sender::id), and users with all of theirs.
///
/// Ids mean something on this node only; users are left out on all nodes of a cluster.
///
/// ```
/// use sockeye::hub::Except;
///
/// let _: [Except; 3] = [Except::nobody(), 7.into(), [7, 8].as_slice().into()];
/// let _ = [Except::user("ann"), Except::from(7).and_user("ann").and_user("bob")];
/// ```
#[derive(Clone, Debug, Default)]
pub struct Except(Left);

#[derive(Clone, Debug, Default)]
enum Left {
    #[default]
    Nobody,
    One(u64),
    Several(Arc<[u64]>),
    Users(Arc<WithUsers>),
}

/// The ids in order.
#[derive(Clone, Debug, Default)]
struct WithUsers {
    ids: Vec<u64>,
    users: Vec<Arc<str>>,
}

impl Except {
    /// Leaves out nobody.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(Left::Nobody)
    }

    /// Leaves out all connections of a user: those that are [registered](super::Hub::register) as that user's.
    #[must_use]
    pub fn user(user: &str) -> Self {
        Self::nobody().and_user(user)
    }

    /// Leaves out all connections of one user more.
    #[must_use]
    pub fn and_user(self, user: &str) -> Self {
        let mut left = match self.0 {
            Left::Nobody => WithUsers::default(),
            Left::One(id) => WithUsers { ids: vec![id], users: Vec::new() },
            Left::Several(ids) => WithUsers { ids: ids.to_vec(), users: Vec::new() },
            Left::Users(left) => Arc::unwrap_or_clone(left),
        };
        left.users.push(user.into());
        Self(Left::Users(Arc::new(left)))
    }

    /// The users among those who are left out.
    #[allow(dead_code, reason = "without feature `pubsub` nobody else has to know")]
    pub(super) fn users(&self) -> &[Arc<str>] {
        match &self.0 {
            Left::Users(left) => &left.users,
            _ => &[],
        }
    }

    /// The same as ids: the users' connections as they are now. Whoever comes later does not get it anyway.
    pub(super) fn here(&self, hub: &Shared) -> Self {
        let Left::Users(left) = &self.0 else { return self.clone() };
        let peers = left.users.iter().flat_map(|user| hub.registry.of_user(user));
        let ids: Vec<u64> = left.ids.iter().copied().chain(peers.map(|peer| peer.id())).collect();
        ids.into()
    }

    /// Whether this peer is left out.
    #[allow(dead_code, reason = "for the audiences of an application")]
    pub(crate) fn leaves_out(&self, peer: &Peer) -> bool {
        self.has(peer.id()) || self.users().iter().any(|user| peer.user() == Some(user))
    }

    pub(super) const fn is_nobody(&self) -> bool {
        matches!(self.0, Left::Nobody)
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        match &self.0 {
            Left::Nobody => false,
            Left::One(left) => *left == id,
            Left::Several(ids) => ids.binary_search(&id).is_ok(),
            // Whoever asks has had them resolved.
            Left::Users(left) => left.ids.binary_search(&id).is_ok(),
        }
    }
}

impl From<u64> for Except {
    fn from(id: u64) -> Self {
        Self(Left::One(id))
    }
}

impl From<Vec<u64>> for Except {
    fn from(mut ids: Vec<u64>) -> Self {
        ids.sort_unstable();
        Self(if ids.is_empty() { Left::Nobody } else { Left::Several(ids.into()) })
    }
}

impl From<&[u64]> for Except {
    fn from(ids: &[u64]) -> Self {
        ids.to_vec().into()
    }
}

/// What came of a broadcast, over all members it was meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Members that it was written to.
    pub written: usize,
    /// Members that have it in their outbox, where older messages may have made room for it.
    pub queued: usize,
    /// Members that miss it, for their outbox was full and drops what it cannot hold
    /// ([`DropNewest`](Overflow::DropNewest); [`DropOldest`](Overflow::DropOldest) where no other message
    /// could make room).
    pub full: usize,
    /// Members that are closed with 1013 for it, for their outbox was full and may drop nothing
    /// ([`Block`](Overflow::Block), [`Close`](Overflow::Close)).
    pub overloaded: usize,
    /// Members whose connection is closing or closed.
    pub closed: usize,
}

impl Report {
    /// Members that have it, or will, if they read.
    #[must_use]
    pub const fn sent(&self) -> usize {
        self.written + self.queued
    }

    /// What the outbox of one member said, which has this policy.
    pub(super) fn note(&mut self, result: Result<Sent, SendError>, policy: Overflow) {
        match result {
            Ok(Sent::Written) => self.written += 1,
            Ok(_) => self.queued += 1,
            Err(SendError::Closed) => self.closed += 1,
            Err(_) if matches!(policy, Overflow::Block { .. } | Overflow::Close) => {
                self.overloaded += 1;
            }
            Err(_) => self.full += 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.written += other.written;
        self.queued += other.queued;
        self.full += other.full;
        self.overloaded += other.overloaded;
        self.closed += other.closed;
    }
}

/// Waits for the [`Report`] of a broadcast: until all workers have done it.
///
/// Cancel safety: dropping it loses the report, not the message.
#[must_use = "the message is sent, but the report comes when this is awaited"]
#[derive(Debug)]
pub struct Reporting {
    reports: UnboundedReceiver<Report>,
    sum: Report,
}

impl Reporting {
    pub(super) fn new(reports: UnboundedReceiver<Report>) -> Self {
        Self { reports, sum: Report::default() }
    }
}

impl Future for Reporting {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Report> {
        while let Some(report) = ready!(self.reports.poll_recv(cx)) {
            self.sum.add(report);
        }
        Poll::Ready(self.sum)
    }
}
