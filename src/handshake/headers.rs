//! Rules about single headers that both sides and the head reader ask for.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::HandshakeError;

/// The version of RFC 6455, the only one we speak.
pub(super) const VERSION_13: HeaderValue = HeaderValue::from_static("13");

/// The value of a header that stands there exactly once.
pub(super) fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Headers that the handshake writes itself, or that would announce a body.
pub(super) fn is_owned(name: &HeaderName) -> bool {
    [UPGRADE, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

/// Refuses a message that announces a body: what follows a handshake is frames (RFC 9112 6.3).
pub(super) fn refuse_body(headers: &HeaderMap) -> Result<(), HandshakeError> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(HandshakeError::Body);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let is_zero = |value: &HeaderValue| {
        !value.is_empty() && value.as_bytes().iter().all(|&digit| digit == b'0')
    };
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if is_zero(length) => Ok(()),
        _ => Err(HandshakeError::Body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (CONTENT_LENGTH, HeaderValue::from_static(value))).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    #[test]
    fn only_a_single_length_of_zero_is_no_body() {
        assert_eq!(refuse_body(&lengths(&[])), Ok(()));
        assert_eq!(refuse_body(&lengths(&["0"])), Ok(()));
        for values in
            [&["1"][..], &["0", "0"], &["0", "1"], &["0, 0"], &[""], &["-0"], &["+0"], &["0x0"]]
        {
            assert_eq!(refuse_body(&lengths(values)), Err(HandshakeError::Body), "{values:?}");
        }
        let mut chunked = HeaderMap::new();
        chunked.insert(TRANSFER_ENCODING, HeaderValue::from_static("identity"));
        assert_eq!(refuse_body(&chunked), Err(HandshakeError::Body));
    }

    #[test]
    fn only_means_exactly_one() {
        assert_eq!(only(&lengths(&[]), CONTENT_LENGTH), None);
        assert_eq!(only(&lengths(&["1"]), CONTENT_LENGTH), Some(&HeaderValue::from_static("1")));
        assert_eq!(only(&lengths(&["1", "1"]), CONTENT_LENGTH), None);
    }
}
