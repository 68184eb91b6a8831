//! The settings of a client: each has a range, and nothing is clamped.

use std::time::Duration;

use sockeye::client::{IntoTimeout, SettingError};
use sockeye::deflate::{DeflateError, DeflateMode};
use sockeye::protocol::DurationError;
use sockeye::{Config, Connector, Error, ErrorKind};

fn connector() -> Connector {
    Connector::new(Config::default())
}

type Setter<T> = fn(Connector, T) -> Result<Connector, SettingError>;

/// CL-04, CL-05, CL-06: each timeout takes a duration, milliseconds or a text, and more than zero.
#[test]
fn timeouts_are_durations_milliseconds_or_texts() {
    let texts: [(&str, Setter<&str>); 5] = [
        ("dial timeout", Connector::dial_timeout),
        ("handshake timeout", Connector::handshake_timeout),
        ("read timeout", Connector::read_timeout),
        ("write timeout", Connector::write_timeout),
        ("close timeout", Connector::close_timeout),
    ];
    for (name, set) in texts {
        for text in ["10s", "1m30s", "1ns", "250ms", "2h"] {
            assert!(set(connector(), text).is_ok(), "{name} {text}");
        }
        for (text, error) in [
            ("0", DurationError::Zero),
            ("0s", DurationError::Zero),
            ("-1s", DurationError::Negative),
            ("10", DurationError::Unit),
            ("", DurationError::Number),
            ("300000000h", DurationError::TooLong),
        ] {
            let refused = set(connector(), text).unwrap_err();
            assert_eq!(refused, SettingError::Duration { setting: name, error }, "{text}");
            assert!(refused.to_string().starts_with(name), "{refused}");
        }
    }
    let zero = connector().dial_timeout(0).unwrap_err();
    let error = DurationError::Zero;
    assert_eq!(zero, SettingError::Duration { setting: "dial timeout", error });
    assert!(connector().write_timeout(1).is_ok());
    assert!(connector().close_timeout(Duration::from_secs(1)).is_ok());
    assert!(connector().read_timeout(Duration::ZERO).is_err());
}

/// CL-17: integers are milliseconds, texts are durations of Go.
#[test]
fn integers_are_milliseconds() {
    assert_eq!(1500.into_timeout(), Ok(Duration::from_millis(1500)));
    assert_eq!("1.5s".into_timeout(), Ok(Duration::from_millis(1500)));
    assert_eq!(Duration::from_secs(3).into_timeout(), Ok(Duration::from_secs(3)));
}

/// CL-07, CL-08: modes by number, and a threshold of 0 to 100 MiB.
#[test]
fn compression_has_a_mode_and_a_threshold() {
    for number in 0..3 {
        let mode = DeflateMode::try_from(number).unwrap();
        for bytes in [0, 1, 104_857_600] {
            assert!(connector().compression(mode).compression_threshold(bytes).is_ok());
        }
    }
    let refused = connector().compression_threshold(104_857_601).unwrap_err();
    assert_eq!(refused, SettingError::Deflate(DeflateError::Threshold { bytes: 104_857_601 }));
}

/// CL-09, CL-10: the bounds themselves are taken, what is beyond them not.
#[test]
fn numbers_have_ranges() {
    const LIMIT: usize = 128 * 1024 * 1024;
    for bytes in [0, 1, LIMIT] {
        assert!(connector().read_limit(bytes).is_ok(), "{bytes}");
    }
    for messages in [1, 2, 10_000] {
        assert!(connector().channel_capacity(messages).is_ok(), "{messages}");
    }
    for redirects in 0..=10 {
        assert!(connector().follow_redirects(redirects).is_ok(), "{redirects}");
    }
    let range = |setting, value, min, max| SettingError::Range { setting, value, min, max };
    let limit = LIMIT as u64;
    assert_eq!(
        connector().read_limit(LIMIT + 1).unwrap_err(),
        range("read limit", limit + 1, 0, limit)
    );
    for value in [0, 10_001] {
        let refused = connector().channel_capacity(value).unwrap_err();
        assert_eq!(refused, range("channel capacity", value as u64, 1, 10_000));
    }
    let refused = connector().follow_redirects(11).unwrap_err();
    assert_eq!(refused, range("redirects", 11, 0, 10));
    assert_eq!(refused.to_string(), "redirects of 11 is not within 0 to 10");
}

/// CE-08: a setting is an error of the caller, which trying again does not mend.
#[test]
fn a_setting_is_the_callers_mistake() {
    let error = Error::from(connector().read_limit(usize::MAX).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!error.retryable());
    assert_eq!(error.message(), error.to_string());
}
