//! The end of a hub: everybody is told, in batches, and has time to go.

use std::time::Duration;

use tokio::time::Instant;

use crate::frame::{CloseFrame, CloseFrameError};
use crate::net::runtime::{sleep_until, timeout_at};

use super::hub::Hub;
use super::peer::Peer;

/// Connections that are told at a time.
const BATCH: usize = 64;

/// How a hub shuts down.
///
/// ```
/// use std::time::Duration;
/// use sockeye::hub::Shutdown;
///
/// let restart = Shutdown::new(Duration::from_secs(30))
///     .code(1012)
///     .spread(Duration::from_secs(10))
///     .reconnect_within(Duration::from_secs(20));
/// # drop(restart);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Shutdown {
    code: u16,
    reason: String,
    spread: Duration,
    reconnect_within: Option<Duration>,
    pub(super) deadline: Duration,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that were told.
    pub told: usize,
    /// Those that are gone.
    pub ended: usize,
    /// Those that are left after the deadline.
    pub left: usize,
    /// Queued messages that could not be delivered any more.
    pub lost_messages: u64,
    /// Messages that wait for those that are left: lost, too, unless their clients read them yet.
    pub queued_messages: u64,
}

impl Shutdown {
    /// Closes everybody at once with 1001, and waits up to the deadline for them to go.
    pub fn new(deadline: Duration) -> Self {
        Self {
            code: 1001,
            reason: "shutting down".to_owned(),
            spread: Duration::ZERO,
            reconnect_within: None,
            deadline,
        }
    }

    /// The close code (default 1001, going away); 1012 says that the service restarts.
    pub const fn code(mut self, code: u16) -> Self {
        self.code = code;
        self
    }

    /// The reason (default "shutting down").
    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    /// Tells them in batches over this time, so that they do not all come back at once.
    pub const fn spread(mut self, spread: Duration) -> Self {
        self.spread = spread;
        self
    }

    /// Advises each to come back after a time of its own, up to this one: the reason is then
    /// `reconnect in N ms`.
    pub const fn reconnect_within(mut self, within: Duration) -> Self {
        self.reconnect_within = Some(within);
        self
    }

    /// What one connection is told.
    fn frame(&self, id: u64) -> Result<CloseFrame, CloseFrameError> {
        let Some(within) = self.reconnect_within else {
            return CloseFrame::new(self.code, self.reason.as_str());
        };
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        // Multiples of the golden ratio lie evenly: nobody has to come back with many others.
        let share = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let wait_ms = (u128::from(share) * u128::from(within_ms)) >> 64;
        CloseFrame::new(self.code, &format!("reconnect in {wait_ms} ms"))
    }
}

impl Shutdown {
    /// Tells them to go, in batches.
    async fn tell(
        &self,
        peers: &[Peer],
        began: Instant,
        close: impl Fn(&Peer, CloseFrame),
    ) -> Result<(), CloseFrameError> {
        let batches = u32::try_from(peers.len().div_ceil(BATCH)).unwrap_or(u32::MAX).max(1);
        for (number, batch) in (0..).zip(peers.chunks(BATCH)) {
            sleep_until(began + self.deadline.min(self.spread / batches * number)).await;
            for peer in batch {
                close(peer, self.frame(peer.id())?);
            }
        }
        Ok(())
    }
}

impl Hub {
    /// Tells all connections to go. Sessions of a floor above stay, and wait for others.
    #[allow(dead_code, reason = "for applications")]
    pub(crate) async fn dismiss(&self, shutdown: &Shutdown) -> Result<(), CloseFrameError> {
        let close = |peer: &Peer, frame| {
            if let Some(connection) = peer.sender().current() {
                connection.request_close(frame);
            }
        };
        let began = Instant::now();
        let _ = timeout_at(began + shutdown.deadline, self.shared().caught_up()).await;
        shutdown.tell(&self.shared().registry.all(), began, close).await
    }

    /// Takes no more connections, tells the registered ones to go and waits for them. What is queued
    /// for them, and what was said in their rooms before, leaves before their close frame. A node of a cluster says goodbye to the others then, and is none any more.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long: then nothing happened.
    ///
    /// Cancel safety: dropping the future leaves the hub closed to newcomers, and tells no more.
    pub async fn shutdown(&self, shutdown: Shutdown) -> Result<ShutdownReport, CloseFrameError> {
        shutdown.frame(0)?;
        let began = Instant::now();
        let deadline = began + shutdown.deadline;
        let registry = &self.shared().registry;
        registry.stop();
        // What was said in rooms leaves before the goodbye as well.
        let _ = timeout_at(deadline, self.shared().caught_up()).await;
        let peers = registry.all();
        let lost_before = dropped(&peers);
        shutdown.tell(&peers, began, |peer, frame| peer.sender().request_close(frame)).await?;
        // Whoever is left is the owner's of its task to end.
        let _ = timeout_at(deadline, registry.emptied()).await;
        if let Some(remote) = &self.shared().remote {
            // Without a goodbye the other nodes notice a little later.
            let _ = timeout_at(deadline, remote.close()).await;
        }
        let left = registry.len();
        Ok(ShutdownReport {
            told: peers.len(),
            ended: peers.len().saturating_sub(left),
            left,
            lost_messages: dropped(&peers) - lost_before,
            queued_messages: registry
                .all()
                .iter()
                .map(|peer| peer.sender().queued().0 as u64)
                .sum(),
        })
    }
}

fn dropped(peers: &[Peer]) -> u64 {
    peers.iter().map(|peer| peer.sender().dropped()).sum()
}
