//! How long to wait before connecting again.

use std::time::Duration;

use crate::error::Error;
use crate::frame::CloseCode;

/// A connection of a reconnecting client that stood so long was a good one.
pub(super) const GOOD_AFTER: Duration = Duration::from_secs(60);

/// The longest wait that a server may ask for: a mistake of its does not silence us for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// After 1012 and 1013: 5 to 30 s, so that those who were sent away together do not come back together.
const LATER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(25));

/// Exponential, with full jitter: any time between nothing and a ceiling, which doubles up to a maximum.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    good_after: Duration,
    /// Servers that are tried in turn, at least one.
    servers: u32,
    failures: u32,
}

impl Backoff {
    /// A connection that stood for `good_after` was a good one: the next wait is a short one again.
    pub(crate) const fn new(first: Duration, max: Duration, good_after: Duration) -> Self {
        Self { first, max, good_after, servers: 1, failures: 0 }
    }

    /// So many servers are tried in turn: the ceiling doubles when all have been, and before that one that says when to
    /// come again is not waited for.
    #[allow(dead_code, reason = "for the client of the event protocol")]
    pub(crate) const fn among(self, servers: u32) -> Self {
        Self { servers, ..self }
    }

    /// A connection has ended after it stood so long.
    pub(crate) fn note_up(&mut self, up: Duration) {
        if up >= self.good_after {
            self.failures = 0;
        }
    }

    /// Attempts that have failed, or connections that did not stand long, in a row.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait after one more failure that says nothing itself; `random` is evenly spread.
    pub(crate) fn jittered(&mut self, random: u64) -> Duration {
        let rounds = self.failures / self.servers;
        let ceiling = self.first.saturating_mul(1 << rounds.min(31)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        share(ceiling, random)
    }

    /// How long to wait after this error; `random` is evenly spread.
    pub(crate) fn next(&mut self, error: &Error, random: u64) -> Duration {
        let jittered = self.jittered(random);
        if self.failures < self.servers {
            return jittered;
        }
        if let Error::Handshake(refusal) = error
            && let Some(after) = refusal.retry_after()
        {
            return after.min(RETRY_AFTER_MAX) + jittered;
        }
        match error.close_code() {
            Some(CloseCode::ServiceRestart | CloseCode::TryAgainLater) => {
                jittered.max(LATER.0 + share(LATER.1, random))
            }
            _ => jittered,
        }
    }
}

/// Of a duration the share that the number has of all numbers.
fn share(duration: Duration, random: u64) -> Duration {
    duration.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{HandshakeError, HeadLimits, HeadReader};
    use crate::protocol::{CloseCause, CloseOutcome};
    use std::io;

    const SECOND: Duration = Duration::from_secs(1);

    fn backoff() -> Backoff {
        Backoff::new(SECOND, 60 * SECOND, GOOD_AFTER)
    }

    fn lost() -> Error {
        Error::Io(io::ErrorKind::ConnectionReset.into())
    }

    fn closed(code: u16) -> Error {
        let mut outcome = CloseOutcome::lost(CloseCause::Handshake);
        outcome.code = CloseCode::from_u16(code);
        Error::ClosedByPeer(Box::new(outcome))
    }

    /// E37: the ceiling doubles up to 60 s and stays there.
    #[test]
    fn e37_the_ceiling_doubles_up_to_the_maximum() {
        let mut backoff = backoff();
        let ceilings: Vec<_> = (0..9).map(|_| backoff.next(&lost(), u64::MAX).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        for _ in 0..100 {
            assert_eq!(backoff.next(&lost(), u64::MAX), 60 * SECOND);
        }
    }

    /// E37: with several servers the ceiling doubles when all were tried, and only then is one waited for.
    #[test]
    fn e37_several_servers_are_tried_before_one_is_waited_for() {
        let mut backoff = backoff().among(3);
        let mut ceilings = |error: Error| backoff.next(&error, u64::MAX).as_secs();
        assert_eq!([(); 2].map(|()| ceilings(closed(1012))), [1; 2]);
        assert_eq!(ceilings(closed(1013)), 30);
        assert_eq!([(); 4].map(|()| ceilings(lost())), [2, 2, 2, 4]);
    }

    /// E37: full jitter: as long as chance says, down to nothing.
    #[test]
    fn e37_waits_are_spread() {
        for tenth in 0..=10 {
            let random = u64::MAX / 10 * tenth;
            let wait = backoff().next(&lost(), random).as_secs_f64();
            assert!((wait - tenth as f64 / 10.0).abs() < 1e-6, "{tenth}: {wait}");
        }
    }

    /// E37: after 60 s up the next wait is a short one, before it is not.
    #[test]
    fn e37_a_good_connection_begins_anew() {
        let mut backoff = backoff();
        for _ in 0..5 {
            backoff.next(&lost(), 0);
        }
        backoff.note_up(59 * SECOND);
        assert_eq!(backoff.next(&lost(), u64::MAX), 32 * SECOND);
        backoff.note_up(60 * SECOND);
        assert_eq!(backoff.next(&lost(), u64::MAX), SECOND);
    }

    /// E36: 1012 and 1013 are given 5 to 30 s; where the wait is longer anyway it stays so.
    #[test]
    fn e36_try_later() {
        for code in [1012, 1013] {
            assert_eq!(backoff().next(&closed(code), 0), 5 * SECOND);
            assert_eq!(backoff().next(&closed(code), u64::MAX), 30 * SECOND);
        }
        assert_eq!(backoff().next(&closed(1011), 0), Duration::ZERO);
        let mut long = backoff();
        for _ in 0..8 {
            long.next(&lost(), 0);
        }
        assert_eq!(long.next(&closed(1013), u64::MAX), 60 * SECOND);
    }

    /// E36: Retry-After is waited for, with jitter behind it, and not for a day.
    #[test]
    fn e36_retry_after() {
        for (text, least) in [("7", 7), ("0", 0), ("86400", 3600), ("99999999999999999999", 0)] {
            let mut head = HeadReader::new(HeadLimits::default());
            let answer = format!("HTTP/1.1 503 Busy\r\nRetry-After: {text}\r\n\r\n");
            head.receive(answer.as_bytes()).unwrap();
            let uri = "ws://a/".parse().unwrap();
            let offer = crate::handshake::Offer::default();
            let handshake = crate::handshake::ClientHandshake::new(&uri, [0; 16], offer).unwrap();
            let refused: HandshakeError = handshake.finish(&head.response().unwrap()).unwrap_err();
            let error = Error::from(refused);
            assert!(error.retryable());
            assert_eq!(backoff().next(&error, 0), Duration::from_secs(least), "{text}");
            assert_eq!(backoff().next(&error, u64::MAX), Duration::from_secs(least + 1), "{text}");
        }
    }
}
