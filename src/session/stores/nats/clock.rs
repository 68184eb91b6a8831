//! What the server's clock says: it notes a time with each record, and the clocks of nodes need not be right.

use std::time::Duration;

use tokio::time::Instant;

/// So long it is believed: clocks do not go equally fast.
const BELIEVED_FOR: Duration = Duration::from_secs(600);

/// The server's time, since 1970, at a moment here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    told: Duration,
    at: Instant,
}

impl Clock {
    /// It has told this time just now.
    pub(super) fn told(told: Duration) -> Self {
        Self { told, at: Instant::now() }
    }

    pub(super) fn is_old(&self) -> bool {
        self.at.elapsed() >= BELIEVED_FOR
    }

    /// How long something is there still which the server has had since this time, if at all.
    pub(super) fn left(&self, since: Duration, keep_for: Duration) -> Option<Duration> {
        let age = (self.told + self.at.elapsed()).saturating_sub(since);
        keep_for.checked_sub(age).filter(|left| !left.is_zero())
    }
}

/// Since 1970, of a time as the server writes it: `2026-11-22T21:27:55.569767758Z`, with up to nine digits of a second or
/// none. `None` for what is no such time, or was before.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_date = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    // 60: a leap second.
    if !is_date || hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
        return None;
    }
    let nanos = number(fraction)? * 10u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Duration::new(seconds, u32::try_from(nanos).ok()?))
}

fn numbers<const COUNT: usize>(
    text: &str,
    between: char,
    digits: [usize; COUNT],
) -> Option<[u64; COUNT]> {
    let mut found = [0; COUNT];
    let mut parts = text.split(between);
    for (number_found, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number_found = number(part)?;
    }
    parts.next().is_none().then_some(found)
}

fn number(text: &str) -> Option<u64> {
    // `parse` takes a plus.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// From 1970 on: years begin in March here, so that the day that comes and goes is a year's last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    // March has 31 days, and each five months 153.
    let before_1970 = 719_469;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - before_1970
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_the_server() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(Duration::ZERO)),
            ("1970-01-01T00:00:00.5Z", Some(Duration::from_millis(500))),
            ("2000-02-29T00:00:00Z", Some(Duration::from_secs(951_782_400))),
            ("2000-03-01T00:00:00Z", Some(Duration::from_secs(951_868_800))),
            ("2026-11-22T21:27:55.569767758Z", Some(Duration::new(1_795_382_875, 569_767_758))),
            ("2100-03-01T12:34:56Z", Some(Duration::from_secs(4_107_587_696))),
            ("1969-12-31T23:59:59Z", None),
            ("0001-01-01T00:00:00Z", None),
            ("2026-11-22T21:27:55", None),
            ("2026-11-22T21:27:55+01:00", None),
            ("2026-13-22T21:27:55Z", None),
            ("2026-11-32T21:27:55Z", None),
            ("2026-11-22T24:27:55Z", None),
            ("2026-11-22T21:60:55Z", None),
            ("2026-11-22T21:27:61Z", None),
            ("1970-01-01T23:59:60Z", Some(Duration::from_secs(86_400))),
            ("2026-11-22-1T21:27:55Z", None),
            ("2026-1-22T21:27:55Z", None),
            ("+026-11-22T21:27:55Z", None),
            ("2026-11-22T21:27:55.Z", None),
            ("2026-11-22T21:27:55.1234567890Z", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_by_the_clock_of_the_server() {
        let second = Duration::from_secs(1);
        let clock = Clock::told(100 * second);
        assert_eq!(clock.left(98 * second, 3 * second), Some(second));
        assert_eq!(clock.left(97 * second, 3 * second), None);
        // What is noted later than the clock says was noted just now.
        assert_eq!(clock.left(200 * second, 3 * second), Some(3 * second));
        tokio::time::advance(second).await;
        assert_eq!(clock.left(98 * second, 3 * second), None);
        assert!(!clock.is_old());
        tokio::time::advance(BELIEVED_FOR).await;
        assert!(clock.is_old());
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in "\\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,20}Z") {
            parse(&text);
        }
    }
}
