//! When to ping, and when the peer is taken for gone.

use super::config::{Config, millis};

/// Never.
pub(super) const NEVER: u64 = u64::MAX;

/// The timers of one connection. All times in milliseconds of the caller's clock.
#[derive(Debug)]
pub(super) struct Keepalive {
    ping_due_ms: u64,
    /// When the pong is due; [`NEVER`] while no ping is out, [`UNFLUSHED`] until it has left.
    pong_due_ms: u64,
    last_received_ms: u64,
    /// The number in the last ping's payload.
    serial: u32,
    ping_credit: u32,
    ping_refilled_ms: u64,
}

/// The ping is written and not flushed: its deadline does not run yet.
const UNFLUSHED: u64 = u64::MAX - 1;

impl Keepalive {
    pub(super) fn new(config: &Config, now_ms: u64, jitter: u64) -> Self {
        let interval_ms = config.ping_interval.map_or(NEVER, millis);
        // The first ping comes after half to one interval, so that connections that came together
        // do not ping together.
        let first = interval_ms.saturating_sub(jitter % (interval_ms / 2).max(1));
        Self {
            ping_due_ms: now_ms.saturating_add(first),
            pong_due_ms: NEVER,
            last_received_ms: now_ms,
            serial: 0,
            ping_credit: config.pings_per_second_max.saturating_mul(2),
            ping_refilled_ms: now_ms,
        }
    }

    #[inline]
    pub(super) fn handle_received(&mut self, now_ms: u64) {
        self.last_received_ms = now_ms;
    }

    /// The payload of a new ping.
    pub(super) fn begin_ping(&mut self, config: &Config, now_ms: u64) -> [u8; 4] {
        self.serial = self.serial.wrapping_add(1);
        self.ping_due_ms = now_ms.saturating_add(config.ping_interval.map_or(NEVER, millis).max(1));
        if self.pong_due_ms == NEVER {
            self.pong_due_ms = UNFLUSHED;
        }
        self.serial.to_be_bytes()
    }

    /// True when a ping has just left.
    #[inline]
    pub(super) fn handle_flushed(&mut self, config: &Config, now_ms: u64) -> bool {
        if self.pong_due_ms != UNFLUSHED {
            return false;
        }
        self.start_pong_deadline(config, now_ms);
        true
    }

    /// A pong came; only the one of the last ping counts.
    pub(super) fn handle_pong(&mut self, payload: &[u8]) -> bool {
        let ours = self.pong_due_ms != NEVER && payload == self.serial.to_be_bytes();
        if ours {
            self.pong_due_ms = NEVER;
        }
        ours
    }

    /// The peer was not listened to for a while, which is not its fault: the deadline begins again.
    pub(super) fn forgive(&mut self, config: &Config, now_ms: u64) {
        if self.pong_due_ms < UNFLUSHED {
            self.start_pong_deadline(config, now_ms);
        }
        self.last_received_ms = now_ms;
    }

    /// Takes one ping from the peer's allowance; false when it has none left.
    pub(super) fn take_ping_credit(&mut self, config: &Config, now_ms: u64) -> bool {
        let rate = u64::from(config.pings_per_second_max);
        let earned = now_ms
            .saturating_sub(self.ping_refilled_ms)
            .saturating_mul(rate)
            / 1000;
        if earned > 0 {
            let full = rate.saturating_mul(2);
            let credit = u64::from(self.ping_credit).saturating_add(earned).min(full);
            self.ping_credit = u32::try_from(credit).unwrap_or(u32::MAX);
            self.ping_refilled_ms += earned.saturating_mul(1000) / rate.max(1);
        }
        let Some(left) = self.ping_credit.checked_sub(1) else {
            return false;
        };
        self.ping_credit = left;
        true
    }

    pub(super) const fn is_ping_due(&self, now_ms: u64) -> bool {
        now_ms >= self.ping_due_ms
    }

    /// While an unfinished frame keeps coming the pong may be stuck behind it: the deadline then
    /// counts from its last byte. The message deadline bounds that.
    pub(super) fn pong_deadline_ms(&self, config: &Config, in_progress: bool) -> u64 {
        match self.pong_due_ms {
            NEVER | UNFLUSHED => NEVER,
            due if in_progress => due.max(
                self.last_received_ms
                    .saturating_add(millis(config.pong_timeout)),
            ),
            due => due,
        }
    }

    fn start_pong_deadline(&mut self, config: &Config, now_ms: u64) {
        // A timeout that long is never reached, but must not read as "no ping is out".
        self.pong_due_ms = now_ms
            .saturating_add(millis(config.pong_timeout))
            .min(UNFLUSHED - 1);
    }

    pub(super) fn idle_deadline_ms(&self, config: &Config) -> u64 {
        let idle_ms = config.idle_timeout.map_or(NEVER, millis);
        self.last_received_ms.saturating_add(idle_ms)
    }

    pub(super) const fn ping_due_ms(&self) -> u64 {
        self.ping_due_ms
    }
}
