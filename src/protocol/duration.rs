//! Durations as people write them: `10s`, `1m30s`, `1.5h`.

use std::time::Duration;

/// A text that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Nothing, or a part without digits.
    #[error("a duration is written as 300ms, 10s or 1m30s")]
    Number,
    /// A number without a unit, or with one that is not known.
    #[error("a unit of a duration is one of ns, us, ms, s, m, h")]
    Unit,
    /// Less than nothing.
    #[error("a duration is not negative")]
    Negative,
    /// More than 2^63 nanoseconds, 292 years.
    #[error("a duration is at most 292 years")]
    TooLong,
    /// A wait of no time at all.
    #[error("a duration of zero makes no sense here")]
    Zero,
}

/// Nanoseconds of the longest duration that is taken.
const NANOS_MAX: u128 = i64::MAX as u128;

/// Parses a duration in the form of Go: one or more numbers, with a fraction or not, each with its unit
/// (`ns`, `us`, `µs`, `ms`, `s`, `m`, `h`), as `300ms`, `1m30s`, `1.5h`. Zero may go without a unit.
///
/// What is less than a nanosecond is cut off.
///
/// # Errors
/// Anything else, and less than nothing.
///
/// ```
/// use std::time::Duration;
/// use sockeye::protocol::parse_duration;
///
/// assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
/// assert_eq!(parse_duration("1.5ms"), Ok(Duration::from_micros(1500)));
/// assert!(parse_duration("10").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (is_negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Number);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (part, behind) = parse_part(rest)?;
        nanos = nanos.saturating_add(part);
        rest = behind;
    }
    if nanos > NANOS_MAX {
        return Err(DurationError::TooLong);
    }
    if is_negative && nanos > 0 {
        return Err(DurationError::Negative);
    }
    // At most NANOS_MAX, which fits.
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// One number with its unit, in nanoseconds (the most there are, where it is too long to be counted), and what
/// stands behind it.
fn parse_part(text: &str) -> Result<(u128, &str), DurationError> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Number);
    }
    let end = rest.find(|character: char| character == '.' || character.is_ascii_digit());
    let (unit, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let unit_nanos = nanos_of(unit).ok_or(DurationError::Unit)?;
    let whole_nanos = digits(whole).and_then(|whole| whole.checked_mul(unit_nanos));
    let fraction_nanos = fraction_nanos(fraction, unit_nanos);
    Ok((whole_nanos.unwrap_or(u128::MAX).saturating_add(fraction_nanos), rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// `None` for a number that is too long to be counted.
fn digits(text: &str) -> Option<u128> {
    text.bytes().try_fold(0_u128, |number, digit| {
        number.checked_mul(10)?.checked_add(u128::from(digit - b'0'))
    })
}

/// Digits behind the point, as far as they mean anything.
fn fraction_nanos(fraction: &str, unit_nanos: u128) -> u128 {
    // An hour has 3.6 * 10^12 ns, so a 14th digit counts for nothing.
    let counted = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(counted.len()).unwrap_or(0));
    digits(counted).unwrap_or(0) * unit_nanos / scale
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Both letters that look like a mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// CL-17: the grammar of Go's `time.ParseDuration`.
    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h15m30.918273645s", 4_530_918_273_645),
            ("5.s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.004s", 1_004_000_000),
            ("100.00100s", 100_001_000_000),
            ("10ns", 10),
            ("11us", 11_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("13ms", 13_000_000),
            ("39h9m14.425s", 140_954_425_000_000),
            ("1s1s", 2_000_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("0.100000000000000000000h", 360_000_000_000),
            ("9223372036854775807ns", i64::MAX as u64),
            ("9223372036854775.807us", i64::MAX as u64),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    /// CL-17: what Go refuses, and what is less than nothing.
    #[test]
    fn what_is_no_duration_is_refused() {
        for (text, error) in [
            ("", DurationError::Number),
            ("+", DurationError::Number),
            ("-", DurationError::Number),
            ("s", DurationError::Number),
            (".", DurationError::Number),
            (".s", DurationError::Number),
            ("+.s", DurationError::Number),
            (" 5s", DurationError::Number),
            ("--5s", DurationError::Number),
            ("5", DurationError::Unit),
            ("5 s", DurationError::Unit),
            ("5s ", DurationError::Unit),
            ("5S", DurationError::Unit),
            ("5d", DurationError::Unit),
            ("1e3s", DurationError::Unit),
            ("1.2.3s", DurationError::Unit),
            ("1s-1s", DurationError::Unit),
            ("-5s", DurationError::Negative),
            ("-1ns", DurationError::Negative),
            ("9223372036854775808ns", DurationError::TooLong),
            ("3000000h", DurationError::TooLong),
            ("1000000000000000000000000000000000000000000h", DurationError::TooLong),
            ("-3000000h", DurationError::TooLong),
            // What is no duration at all is no long one.
            ("3000000h5", DurationError::Unit),
            ("1000000000000000000000000000000000000000000h.", DurationError::Number),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text: String) {
            let _ = parse_duration(&text);
        }

        #[test]
        fn texts_of_the_alphabet_never_panic(text in "[-+0-9.nums h]{0,24}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn whole_parts_add_up(h in 0u64..1000, m in 0u64..1000, s in 0u64..1000, ms in 0u64..1000) {
            let expected = Duration::from_millis(((h * 60 + m) * 60 + s) * 1000 + ms);
            prop_assert_eq!(parse_duration(&format!("{h}h{m}m{s}s{ms}ms")), Ok(expected));
        }
    }
}
