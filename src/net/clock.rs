//! When pings and pongs were, finer than the coarse clock.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::outbox::Sender;

/// So long before the first look a runtime may have paused its clock.
const PAUSED_BEFORE: Duration = Duration::from_secs(24 * 60 * 60);

/// The beginning of this process's microseconds, for all its runtimes. The system's clock and not a runtime's, which may be
/// paused, hours ahead of another one's.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(|| {
        let now = std::time::Instant::now();
        now.checked_sub(PAUSED_BEFORE).unwrap_or(now).into()
    })
}

/// Microseconds since the origin. Only pings and pongs look at it: it costs a system clock.
pub(super) fn now_us() -> u64 {
    u64::try_from(Instant::now().saturating_duration_since(origin()).as_micros())
        .unwrap_or(u64::MAX)
}

impl Sender {
    /// When the last ping of the keepalive was flushed; `None` before the first.
    #[must_use]
    pub fn last_ping(&self) -> Option<Instant> {
        self.current()?.ping_times_us().0.map(instant)
    }

    /// When the pong of a ping of ours came last; `None` before the first.
    #[must_use]
    pub fn last_pong(&self) -> Option<Instant> {
        self.current()?.ping_times_us().1.map(instant)
    }

    /// How long the last ping took there and back, from its flush; `None` while no pong has come
    /// since.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let (ping, pong) = self.current()?.ping_times_us();
        pong?.checked_sub(ping?).map(Duration::from_micros)
    }
}

fn instant(us: u64) -> Instant {
    origin() + Duration::from_micros(us)
}
