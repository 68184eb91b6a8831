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
    /// Pings whose pong has not come: the last so many serials.
    outstanding: u32,
    ping_credit_milli: u64,
    ping_refilled_ms: u64,
}

/// The allowance when it is full: two seconds' worth, in thousandths.
const PING_BURST_MILLI: u64 = 2000;

/// The ping is written and not flushed: its deadline does not run yet.
const UNFLUSHED: u64 = u64::MAX - 1;

impl Keepalive {
    pub(super) fn new(config: &Config, now_ms: u64, jitter: u64) -> Self {
        // The first ping comes after half to one interval, so that connections that came together
        // do not ping together.
        let first = config.ping_interval.map_or(NEVER, |interval| {
            let interval_ms = millis(interval).max(1);
            interval_ms - jitter % interval_ms.div_ceil(2)
        });
        Self {
            ping_due_ms: now_ms.saturating_add(first),
            pong_due_ms: NEVER,
            last_received_ms: now_ms,
            serial: 0,
            outstanding: 0,
            ping_credit_milli: u64::from(config.pings_per_second_max) * PING_BURST_MILLI,
            ping_refilled_ms: now_ms,
        }
    }

    /// The clock, which stood at zero so far, goes on from `now_ms`.
    pub(super) fn begin_time(&mut self, now_ms: u64) {
        self.ping_due_ms = self.ping_due_ms.saturating_add(now_ms);
        if self.pong_due_ms < UNFLUSHED {
            self.pong_due_ms = self.pong_due_ms.saturating_add(now_ms).min(UNFLUSHED - 1);
        }
        self.last_received_ms += now_ms;
        self.ping_refilled_ms += now_ms;
    }

    #[inline]
    pub(super) fn handle_received(&mut self, now_ms: u64) {
        self.last_received_ms = now_ms;
    }

    /// The payload of a new ping.
    pub(super) fn begin_ping(&mut self, config: &Config, now_ms: u64) -> [u8; 4] {
        self.serial = self.serial.wrapping_add(1);
        self.outstanding = self.outstanding.saturating_add(1);
        self.ping_due_ms = next_ping_ms(config, now_ms);
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

    /// A pong came. That of the last ping ends the wait (true); one of an earlier ping, while pings
    /// follow each other faster than the round trip, proves that the peer is there, and the deadline
    /// begins again.
    pub(super) fn handle_pong(&mut self, config: &Config, payload: &[u8], now_ms: u64) -> bool {
        let Ok(serial) = payload.try_into().map(u32::from_be_bytes) else {
            return false;
        };
        let behind = self.serial.wrapping_sub(serial);
        if self.pong_due_ms == NEVER || behind >= self.outstanding {
            return false;
        }
        self.outstanding = behind;
        if behind == 0 {
            self.pong_due_ms = NEVER;
        } else if self.pong_due_ms < UNFLUSHED {
            self.start_pong_deadline(config, now_ms);
        }
        behind == 0
    }

    /// The ping of this interval is left out: one is still on its way.
    pub(super) fn skip_ping(&mut self, config: &Config, now_ms: u64) -> bool {
        let skips = self.outstanding > 0;
        if skips {
            self.ping_due_ms = next_ping_ms(config, now_ms);
        }
        skips
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
        // In thousandths of a ping, so that any rate is earned exactly, millisecond by millisecond.
        let rate = u64::from(config.pings_per_second_max);
        let elapsed_ms = now_ms.saturating_sub(self.ping_refilled_ms);
        self.ping_refilled_ms = now_ms;
        self.ping_credit_milli = self
            .ping_credit_milli
            .saturating_add(elapsed_ms.saturating_mul(rate))
            .min(rate * PING_BURST_MILLI);
        let Some(left) = self.ping_credit_milli.checked_sub(1000) else {
            return false;
        };
        self.ping_credit_milli = left;
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
            due if in_progress => {
                due.max(self.last_received_ms.saturating_add(millis(config.pong_timeout)))
            }
            due => due,
        }
    }

    fn start_pong_deadline(&mut self, config: &Config, now_ms: u64) {
        // A timeout that long is never reached, but must not read as "no ping is out".
        self.pong_due_ms = now_ms.saturating_add(millis(config.pong_timeout)).min(UNFLUSHED - 1);
    }

    pub(super) fn idle_deadline_ms(&self, config: &Config) -> u64 {
        let idle_ms = config.idle_timeout.map_or(NEVER, millis);
        self.last_received_ms.saturating_add(idle_ms)
    }

    pub(super) const fn ping_due_ms(&self) -> u64 {
        self.ping_due_ms
    }
}

fn next_ping_ms(config: &Config, now_ms: u64) -> u64 {
    // An interval of nothing would never let the timers come to rest.
    now_ms.saturating_add(config.ping_interval.map_or(NEVER, millis).max(1))
}
