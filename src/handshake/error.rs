//! What can go wrong in an opening handshake, and what is answered.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::deflate::DeflateAnswerError;

use super::headers::VERSION_13;
use super::proxy_protocol::ProxyProtocolError;

/// Why an opening handshake failed.
///
/// The variants stand in four groups, by blame: the head on the wire (either side), the client's
/// request, the server's response, the code that called us; the last group is the world (time, the
/// connection, load). No variant and no text holds bytes of a request, so an error may be logged as
/// it is.
///
/// Source: RFC 6455 4.1, 4.2, 4.4; RFC 9110 15; RFC 9112.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    // The head on the wire.
    /// The request line or status line is longer than the limit: 414. Source: RFC 9112 3.
    #[error("start line of more than {limit_bytes} bytes")]
    StartLineTooLong {
        /// The limit that was crossed, in bytes without the line end.
        limit_bytes: usize,
    },
    /// One header line is longer than the limit: 431. Source: RFC 6585 5.
    #[error("header line of more than {limit_bytes} bytes")]
    HeaderLineTooLong {
        /// The limit that was crossed, in bytes without the line end.
        limit_bytes: usize,
    },
    /// The whole head is longer than the limit: 431. Source: RFC 6585 5.
    #[error("head of more than {limit_bytes} bytes")]
    HeadTooLong {
        /// The limit that was crossed, in bytes with every line end.
        limit_bytes: usize,
    },
    /// More header lines than the limit: 431. Source: RFC 6585 5.
    #[error("more than {limit} header lines")]
    TooManyHeaders {
        /// The limit that was crossed.
        limit: usize,
    },
    /// The head is not HTTP/1.1 as RFC 9112 writes it; the text names the rule: 400. Source: RFC
    /// 9112 2.2, 3, 4, 5.
    #[error("malformed HTTP head: {0}")]
    Malformed(&'static str),
    /// The peer speaks HTTP/1.0, or another major version: 505. Source: RFC 6455 4.2.1 item 1.
    #[error("HTTP/1.1 is required")]
    HttpVersion,
    /// `Sec-WebSocket-Extensions` breaks its grammar, or lists too much: 400. Source: RFC 6455 9.1.
    #[error("malformed Sec-WebSocket-Extensions")]
    Extensions,
    /// `Sec-WebSocket-Protocol` is no list of different tokens, or lists too much: 400. Source: RFC
    /// 6455 4.1 item 10.
    #[error("malformed Sec-WebSocket-Protocol")]
    Subprotocols,

    // The client's request.
    /// A trusted proxy wrote no lawful PROXY header: the connection is closed without an answer.
    #[error(transparent)]
    ProxyProtocol(#[from] ProxyProtocolError),
    /// A method other than GET: 405 with `Allow: GET`. Source: RFC 6455 4.2.1 item 1.
    #[error("method other than GET")]
    Method,
    /// The request target is neither a path nor a ws/http URI, or has a fragment: 400. Source: RFC
    /// 9112 3.2, RFC 6455 3.
    #[error("bad request target")]
    Target,
    /// `Host` is absent, there twice, or no `host[:port]`: 400. Source: RFC 9112 3.2, RFC 6455
    /// 4.2.1 item 2.
    #[error("exactly one valid Host header is required")]
    Host,
    /// A body is announced, or `Content-Length` is malformed or there twice: 400. Source: RFC 9112
    /// 6.3.
    #[error("a handshake has no body")]
    Body,
    /// `Upgrade` does not list `websocket`: 426. Source: RFC 6455 4.2.1 item 3, RFC 9110 15.5.22.
    #[error("not an upgrade to websocket")]
    UpgradeMissing,
    /// The `:protocol` of an extended CONNECT is not `websocket`: 501. Source: RFC 8441 4, RFC 9220 3.
    #[error("the :protocol of an extended CONNECT is not websocket")]
    ExtendedProtocol,
    /// `Connection` does not list `Upgrade`: 400. Source: RFC 6455 4.2.1 item 4.
    #[error("Connection does not name Upgrade")]
    ConnectionMissing,
    /// `Sec-WebSocket-Version` is not exactly one `13`: 426. Source: RFC 6455 4.2.1 item 6, 4.4.
    #[error("exactly one Sec-WebSocket-Version of 13 is required")]
    WebSocketVersion,
    /// `Sec-WebSocket-Key` is not exactly one base64 text of 16 bytes: 400. Source: RFC 6455 4.2.1
    /// item 5.
    #[error("exactly one Sec-WebSocket-Key of 16 bytes in base64 is required")]
    Key,
    /// More than one `Origin` header: 400. Source: RFC 6454 7.3.
    #[error("more than one Origin header")]
    TwoOrigins,
    /// The origin is not allowed here: 403. Source: RFC 6455 4.2.2 item 4, 10.2.
    #[error("origin not allowed")]
    OriginRefused,

    // The server's response. Where a gateway has to answer for it, that is 502.
    /// A final status other than 101, or over HTTP/2 other than 200. Source: RFC 6455 4.1, RFC 8441 5.
    #[error("the server answered {} instead of {}", .0.status(), .0.yes.as_str())]
    UnexpectedStatus(Box<RefusedResponse>),
    /// A redirect with a `Location`; following it is the caller's decision. Source: RFC 6455 4.1,
    /// RFC 9110 15.4.
    #[error("the server redirects with {}", .0.status())]
    Redirect(Box<RefusedResponse>),
    /// More interim (1xx) responses than a client waits through. Source: RFC 9110 15.2.
    #[error("more than {limit} interim responses")]
    TooManyInterim {
        /// The limit that was crossed.
        limit: usize,
    },
    /// The 101 lacks `Upgrade: websocket`. Source: RFC 6455 4.1 response item 2.
    #[error("the response does not upgrade to websocket")]
    ResponseUpgrade,
    /// The 101 lacks `Connection: Upgrade`. Source: RFC 6455 4.1 response item 3.
    #[error("the response's Connection does not name Upgrade")]
    ResponseConnection,
    /// `Sec-WebSocket-Accept` is absent, there twice, or not the answer to our key. Source: RFC
    /// 6455 4.1 response item 4.
    #[error("wrong or missing Sec-WebSocket-Accept")]
    Accept,
    /// The response has an extension we did not offer, or one twice. Source: RFC 6455 4.1 response
    /// item 5.
    #[error("the server chose an extension that was not offered")]
    ExtensionNotOffered,
    /// The response's parameters of permessage-deflate are not what we can agree to. Source: RFC 7692
    /// 5.1, 7.1.
    #[error("permessage-deflate: {0}")]
    Deflate(#[from] DeflateAnswerError),
    /// The response has a subprotocol we did not offer, or two. Source: RFC 6455 4.1 response item
    /// 6.
    #[error("the server chose a subprotocol that was not offered")]
    SubprotocolNotOffered,

    /// An HTTP/2 server whose settings do not say that it takes extended CONNECT: nothing was sent. Source: RFC 8441 3.
    #[error("the server takes no WebSockets over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL)")]
    ExtendedConnectDisabled,

    // The code that called us: nothing went onto the wire.
    /// The stream behind a request cannot be had: the HTTP server does not upgrade its connections, or somebody else has
    /// taken it: 500.
    #[error("the HTTP server does not give the stream of this request")]
    NotUpgradable,
    /// The URI cannot be connected to; the text says why. Source: RFC 6455 3.
    #[error("bad WebSocket URI: {0}")]
    Uri(&'static str),
    /// A header that the handshake writes itself was given. Source: RFC 6455 4.1, 4.2.2.
    #[error("the header {0} belongs to the handshake")]
    HeaderOwned(HeaderName),
    /// A subprotocol to offer is no token, or stands there twice. Source: RFC 6455 4.1 item 10.
    #[error("subprotocols to offer must be different tokens")]
    OfferedSubprotocol,
    /// The subprotocol chosen is none the client offered. Source: RFC 6455 4.2.2 item 5.
    #[error("the chosen subprotocol was not offered")]
    ChosenSubprotocol,
    /// An extension to send has a name or parameter that is no token. Source: RFC 6455 9.1.
    #[error("extension names and parameters must be tokens")]
    InvalidExtension,
    /// The extension chosen is none the client offered, or was chosen twice. Source: RFC 6455 4.2.2
    /// item 5.
    #[error("the chosen extension was not offered")]
    ChosenExtension,
    /// A text that should name an allowed origin is not `scheme://host[:port]` or `null`. Source:
    /// RFC 6454 6.2.
    #[error("an origin is written scheme://host[:port]")]
    InvalidOrigin,

    // The world.
    /// The head was not complete in time: 408. Source: RFC 9110 15.5.9.
    #[error("the handshake took too long")]
    Timeout,
    /// The peer closed before the head was complete, or the head was asked for too early. Source:
    /// RFC 9112 8.
    #[error("closed before the head was complete")]
    Closed,
    /// This server takes no more connections for now: 503. Source: RFC 9110 15.6.4.
    #[error("too busy")]
    Busy {
        /// When to come back; sent as whole seconds, rounded up.
        retry_after: Duration,
    },
    /// This peer asks too often or holds too much: 429. Source: RFC 6585 4.
    #[error("too many requests")]
    RateLimited {
        /// When to come back; sent as whole seconds, rounded up.
        retry_after: Duration,
    },
}

impl HandshakeError {
    /// The HTTP status that answers this error.
    ///
    /// A response the server got wrong is 502 (what a gateway would answer), a mistake of the
    /// calling code 500.
    ///
    /// Source: RFC 9110 15, RFC 6585.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::StartLineTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::HeaderLineTooLong { .. }
            | Self::HeadTooLong { .. }
            | Self::TooManyHeaders { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::UpgradeMissing | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::ExtendedProtocol => StatusCode::NOT_IMPLEMENTED,
            Self::OriginRefused => StatusCode::FORBIDDEN,
            Self::Malformed(_)
            | Self::Extensions
            | Self::Subprotocols
            | Self::Target
            | Self::Host
            | Self::Body
            | Self::ProxyProtocol(_)
            | Self::ConnectionMissing
            | Self::Key
            | Self::TwoOrigins
            | Self::Closed => StatusCode::BAD_REQUEST,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::UnexpectedStatus(_)
            | Self::Redirect(_)
            | Self::TooManyInterim { .. }
            | Self::ResponseUpgrade
            | Self::ResponseConnection
            | Self::Accept
            | Self::ExtensionNotOffered
            | Self::Deflate(_)
            | Self::SubprotocolNotOffered
            | Self::ExtendedConnectDisabled => StatusCode::BAD_GATEWAY,
            Self::NotUpgradable
            | Self::Uri(_)
            | Self::HeaderOwned(_)
            | Self::OfferedSubprotocol
            | Self::ChosenSubprotocol
            | Self::InvalidExtension
            | Self::ChosenExtension
            | Self::InvalidOrigin => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The refusal as a response: status, `Connection: close`, the headers the status asks for, one
    /// line of plain text.
    ///
    /// The text never repeats anything of the request, and for a 5xx that is our own mistake it
    /// says no more than the status. Cost: one header map and one short text.
    ///
    /// Source: RFC 6455 4.2.2, 4.4; RFC 9110 10.2.1 (`Allow`), 10.2.3 (`Retry-After`), 7.8 and
    /// 15.5.22 (`Upgrade`).
    pub fn to_response(&self) -> Response<Bytes> {
        let status = self.status();
        let text = match status {
            StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY => format!("{status}\n"),
            _ => format!("{self}\n"),
        };
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, close"));
            headers.insert(http::header::SEC_WEBSOCKET_VERSION, VERSION_13);
        }
        if let Self::Busy { retry_after } | Self::RateLimited { retry_after } = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds_up(*retry_after)));
        }
        response
    }

    /// Whether the same handshake may succeed later, without any change.
    ///
    /// True for time, load and a lost connection, and for the statuses 408, 425, 429, 502, 503 and
    /// 504 of a server.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Timeout | Self::Closed | Self::Busy { .. } | Self::RateLimited { .. } => true,
            Self::UnexpectedStatus(refused) => {
                matches!(refused.status().as_u16(), 408 | 425 | 429 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// How long the server asked us to wait, if it did: see [`RefusedResponse::retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::RateLimited { retry_after } => Some(*retry_after),
            Self::UnexpectedStatus(refused) | Self::Redirect(refused) => refused.retry_after(),
            _ => None,
        }
    }

    /// Adds the body of a response that was no yes.
    pub(crate) fn with_body(mut self, body: Vec<u8>) -> Self {
        if let Self::UnexpectedStatus(refused) | Self::Redirect(refused) = &mut self {
            refused.body = body;
        }
        self
    }
}

/// A response that was not a 101: its head, as large as the head limits allow, and the beginning of its
/// body where that was read.
///
/// Its `Debug` shows header names only: the values may hold cookies.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// What would have been a yes.
    yes: StatusCode,
}

impl RefusedResponse {
    pub(super) fn new(status: StatusCode, headers: HeaderMap, yes: StatusCode) -> Self {
        Self { status, headers, body: Vec::new(), yes }
    }

    /// The status the server sent.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers the server sent.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The beginning of the body, without its framing: what a client read of it, at most 8 KiB. Empty
    /// where there was none, and without I/O.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The value of a single `Location`, if it is visible ASCII. Source: RFC 9110 10.2.2.
    pub fn location(&self) -> Option<&str> {
        let mut values = self.headers.get_all(LOCATION).iter();
        let location = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(location)
    }

    /// `Retry-After` where it counts seconds; a date is not read, since that takes a wall clock.
    ///
    /// Source: RFC 9110 10.2.3.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().map(Duration::from_secs)
    }
}

impl fmt::Debug for RefusedResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RefusedResponse")
            .field("status", &self.status)
            .field("header_names", &HeaderNames(&self.headers))
            .finish_non_exhaustive()
    }
}

/// Shows a header map without its values, which may be secrets.
pub(super) struct HeaderNames<'a>(pub(super) &'a HeaderMap);

impl fmt::Debug for HeaderNames<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, header: (HeaderName, &'static str)) -> RefusedResponse {
        let headers = [(header.0, HeaderValue::from_static(header.1))].into_iter().collect();
        let yes = StatusCode::SWITCHING_PROTOCOLS;
        RefusedResponse::new(StatusCode::from_u16(status).unwrap(), headers, yes)
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds_up(Duration::ZERO), 0);
        assert_eq!(seconds_up(Duration::from_millis(1)), 1);
        assert_eq!(seconds_up(Duration::from_secs(2)), 2);
        assert_eq!(seconds_up(Duration::MAX), u64::MAX);
    }

    #[test]
    fn retry_after_is_read_in_seconds_only() {
        let of = |text| refused(503, (RETRY_AFTER, text)).retry_after();
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        for text in ["", "-1", "+1", "1.5", "99999999999999999999", "Fri, 31 Dec 1999 23:59:59 GMT"]
        {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_lost_or_busy_server_may_be_tried_again_a_wrong_one_not() {
        let of = |status| {
            HandshakeError::UnexpectedStatus(Box::new(refused(status, (RETRY_AFTER, "1"))))
        };
        for status in [408, 425, 429, 502, 503, 504] {
            assert!(of(status).retryable(), "{status}");
        }
        for status in [200, 400, 401, 403, 404, 426, 500, 501] {
            assert!(!of(status).retryable(), "{status}");
        }
        assert!(HandshakeError::Closed.retryable() && HandshakeError::Timeout.retryable());
        assert!(!HandshakeError::Accept.retryable() && !HandshakeError::OriginRefused.retryable());
        assert_eq!(of(503).retry_after(), Some(Duration::from_secs(1)));
        assert_eq!(HandshakeError::Timeout.retry_after(), None);
    }

    #[test]
    fn values_of_a_refusal_are_not_shown() {
        let refused = refused(302, (LOCATION, "https://a/?marker"));
        assert_eq!(refused.location(), Some("https://a/?marker"));
        assert!(!format!("{refused:?}").contains("marker"));
        let error = HandshakeError::Redirect(Box::new(refused));
        assert!(!format!("{error} {error:?}").contains("marker"));
    }

    #[test]
    fn our_own_mistakes_are_told_to_nobody() {
        let error = HandshakeError::HeaderOwned(UPGRADE);
        let response = error.to_response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.body(), "500 Internal Server Error\n");
    }
}
