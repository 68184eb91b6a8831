//! What JetStream answers.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::pubsub::nats;
use crate::session::stores::error::{StoreError, StoreErrorKind};

use super::clock;

/// What concerns a store of any answer.
#[derive(Default, Deserialize)]
pub(super) struct Answer<'a> {
    /// Of what was written.
    #[serde(default)]
    pub(super) seq: u64,
    #[serde(borrow)]
    message: Option<RawMessage<'a>>,
    pub(super) config: Option<Config>,
    error: Option<RawError>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    seq: u64,
    #[serde(borrow)]
    hdrs: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    time: Cow<'a, str>,
}

/// Of a bucket.
#[derive(Deserialize)]
pub(super) struct Config {
    /// Nanoseconds; 0: forever.
    #[serde(default)]
    max_age: u64,
    #[serde(default)]
    pub(super) num_replicas: usize,
    /// Bytes; -1: as many as the server takes.
    #[serde(default)]
    max_msg_size: i64,
}

#[derive(Deserialize)]
struct RawError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    code: u64,
}

/// What is under a name.
pub(super) struct Stored {
    pub(super) sequence: u64,
    /// When the server took it, since 1970.
    pub(super) since: Duration,
    /// `None`: it says that what was there is not any more.
    pub(super) value: Option<Bytes>,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is nothing under this name.
    NoMessage,
    /// There is no such bucket.
    NoBucket,
    /// The bucket is there, with other settings.
    OtherBucket,
    /// What was there is not the last thing any more.
    Changed,
    Failed(StoreError),
}

impl<'a> Answer<'a> {
    pub(super) fn read(answer: &'a nats::Answer) -> Result<Self, Refusal> {
        if answer.status == Some(503) {
            return Err(Refusal::failed(StoreErrorKind::Setting, "JetStream is not enabled"));
        }
        let read: Self = serde_json::from_slice(&answer.payload)
            .map_err(|_| Refusal::failed(StoreErrorKind::Answer, "no answer of JetStream"))?;
        match read.error {
            Some(error) => Err(error.into()),
            None => Ok(read),
        }
    }

    pub(super) fn stored(self) -> Option<Stored> {
        let RawMessage { seq, hdrs, data, time } = self.message?;
        let decode = |text: Option<Cow<'_, str>>| match text {
            Some(text) => STANDARD.decode(text.as_bytes()).ok(),
            None => Some(Vec::new()),
        };
        let is_gone = says_gone(&decode(hdrs)?);
        let (since, data) = (clock::parse(&time)?, decode(data)?);
        let value = (!is_gone).then(|| data.into());
        (seq > 0).then_some(Stored { sequence: seq, since, value })
    }
}

impl Config {
    /// How long the bucket keeps anything; `None`: for as long as one likes.
    pub(super) fn keeps_for(&self) -> Option<Duration> {
        (self.max_age > 0).then(|| Duration::from_nanos(self.max_age))
    }

    /// The longest message of the bucket, its headers included; `None`: as the server.
    pub(super) fn message_bytes_max(&self) -> Option<usize> {
        usize::try_from(self.max_msg_size).ok().filter(|max| *max > 0)
    }
}

/// Whether these are the headers of what takes the place of a record that was removed, by who asked for it or by the server.
fn says_gone(headers: &[u8]) -> bool {
    let mut lines = headers.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        is("KV-Operation") || is("Nats-Marker-Reason")
    })
}

impl Refusal {
    pub(super) fn failed(kind: StoreErrorKind, source: &'static str) -> Self {
        Self::Failed(StoreError::new(kind).with_source(source))
    }

    /// Where it means nothing more than that it was not done.
    pub(super) fn into_error(self) -> StoreError {
        let error = |kind, source: &'static str| StoreError::new(kind).with_source(source);
        match self {
            Self::Failed(error) => error,
            Self::NoBucket => error(StoreErrorKind::Unreachable, "the bucket is gone"),
            Self::OtherBucket => error(StoreErrorKind::Setting, "the bucket is another one"),
            Self::NoMessage | Self::Changed => error(StoreErrorKind::Answer, "out of turn"),
        }
    }
}

/// By numbers only: a server's words may hold what it was told.
///
/// Source: the list of errors of nats-server (`errors.json`).
impl From<RawError> for Refusal {
    fn from(RawError { err_code, code }: RawError) -> Self {
        let kind = match err_code {
            10_037 => return Self::NoMessage,
            10_059 => return Self::NoBucket,
            10_058 => return Self::OtherBucket,
            10_071 | 10_164 => return Self::Changed,
            10_039 | 10_076 => {
                return Self::failed(StoreErrorKind::Setting, "JetStream is not enabled");
            }
            // More replicas than servers, or what is no bucket.
            10_052 | 10_065 | 10_074 => StoreErrorKind::Setting,
            // No more bytes, no more messages, or none of this length.
            10_002 | 10_023 | 10_028 | 10_047 | 10_053 | 10_054 | 10_077 => StoreErrorKind::Full,
            _ if code == 503 => StoreErrorKind::Unreachable,
            _ => StoreErrorKind::Answer,
        };
        Self::Failed(StoreError::new(kind).with_source(format!("JetStream {err_code}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(payload: &str) -> nats::Answer {
        nats::Answer { status: None, payload: Bytes::copy_from_slice(payload.as_bytes()) }
    }

    fn stored(message: &str) -> Option<Stored> {
        let answer = answer(&format!("{{\"type\":\"x\",\"message\":{message}}}"));
        Answer::read(&answer).ok()?.stored()
    }

    /// BY-42: a record comes as it was; what says that it was removed is none; what makes no sense is no answer.
    #[test]
    fn what_is_stored() {
        let time = r#""time":"1970-01-01T00:00:01Z""#;
        let found = stored(&format!(r#"{{"subject":"s","seq":2,"data":"AP8=",{time}}}"#)).unwrap();
        assert_eq!((found.sequence, found.since), (2, Duration::from_secs(1)));
        assert_eq!(found.value.as_deref(), Some(&[0, 255][..]));
        for (headers, is_gone) in [
            ("NATS/1.0\r\nKV-Operation: PURGE\r\n\r\n", true),
            ("NATS/1.0\r\nA: b\r\nkv-operation: DEL\r\n\r\n", true),
            ("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\n\r\n", true),
            ("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 1\r\n\r\n", false),
            ("", false),
        ] {
            let headers = STANDARD.encode(headers);
            let found = stored(&format!(r#"{{"seq":2,"hdrs":"{headers}",{time}}}"#)).unwrap();
            assert_eq!(found.value.is_none(), is_gone, "{headers}");
        }
        for wrong in [
            r#"{"seq":2,"time":"now"}"#.to_owned(),
            format!(r#"{{"seq":0,{time}}}"#),
            format!(r#"{{"seq":-1,{time}}}"#),
            format!(r#"{{"seq":2,"data":"?",{time}}}"#),
            format!(r#"{{"seq":2,"hdrs":"?",{time}}}"#),
            format!("{{{time}}}"),
        ] {
            assert!(stored(&wrong).is_none(), "{wrong}");
        }
    }

    /// BY-42: an error is of its kind, and its words are not told.
    #[test]
    fn errors_are_known_by_their_numbers() {
        let kind = |payload: &str| match Answer::read(&answer(payload)) {
            Err(Refusal::Failed(error)) => {
                assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
                Some(error.kind())
            }
            _ => None,
        };
        for (number, code, expected) in [
            (10_039, 503, Some(StoreErrorKind::Setting)),
            (10_074, 500, Some(StoreErrorKind::Setting)),
            (10_077, 503, Some(StoreErrorKind::Full)),
            (10_008, 503, Some(StoreErrorKind::Unreachable)),
            (10_025, 400, Some(StoreErrorKind::Answer)),
            (10_037, 404, None),
            (10_059, 404, None),
            (10_071, 400, None),
        ] {
            let error = format!(
                r#"{{"error":{{"code":{code},"err_code":{number},"description":"s3cret"}},"seq":0}}"#
            );
            assert_eq!(kind(&error), expected, "{number}");
        }
        assert_eq!(kind("s3cret"), Some(StoreErrorKind::Answer));
        assert_eq!(kind(r#"{"error":{}}"#), Some(StoreErrorKind::Answer));
        let nobody = nats::Answer { status: Some(503), payload: Bytes::new() };
        let refused = Answer::read(&nobody).err().map(Refusal::into_error);
        assert_eq!(refused.map(|error| error.kind()), Some(StoreErrorKind::Setting));
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(text in "\\PC*|\\{\"message\":\\{\"seq\":1,\"time\":\"[0-9TZ:-]*\"\\}\\}") {
            if let Ok(answer) = Answer::read(&answer(&text)) {
                answer.stored();
            }
        }
    }
}
