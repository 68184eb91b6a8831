//! Why a request is no WebSocket: responses with the statuses of axum's.

use std::fmt;

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::handshake::HandshakeError;

/// One reason without a value: its status and its text.
macro_rules! rejection {
    ($name:ident, $status:ident, $text:literal) => {
        #[doc = concat!($text, ".")]
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct $name;

        impl $name {
            /// The text of the response.
            #[must_use]
            pub fn body_text(&self) -> String {
                $text.to_owned()
            }

            /// The status of the response.
            #[must_use]
            pub const fn status(&self) -> StatusCode {
                StatusCode::$status
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }
        }

        impl std::error::Error for $name {}

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                (self.status(), $text).into_response()
            }
        }

        impl From<$name> for WebSocketUpgradeRejection {
            fn from(reason: $name) -> Self {
                Self::$name(reason)
            }
        }
    };
}

rejection!(MethodNotGet, METHOD_NOT_ALLOWED, "a WebSocket over HTTP/1.1 is asked for by GET");
rejection!(MethodNotConnect, METHOD_NOT_ALLOWED, "a WebSocket over HTTP/2 is asked for by CONNECT");
rejection!(InvalidConnectionHeader, BAD_REQUEST, "Connection does not name Upgrade");
rejection!(InvalidUpgradeHeader, BAD_REQUEST, "not an upgrade to websocket");
rejection!(InvalidProtocolPseudoheader, BAD_REQUEST, "the :protocol is not websocket");
rejection!(InvalidWebSocketVersionHeader, BAD_REQUEST, "Sec-WebSocket-Version is not 13");
rejection!(WebSocketKeyHeaderMissing, BAD_REQUEST, "there is no valid Sec-WebSocket-Key");
rejection!(ConnectionNotUpgradable, UPGRADE_REQUIRED, "this connection cannot be upgraded");

/// Any other rule of the opening handshake that was broken, of which axum has none: `Host`, a body, malformed lists, two
/// origins (400), HTTP/1.0 (505), a server that stops (503).
#[derive(Debug)]
pub struct InvalidHandshake(pub HandshakeError);

impl InvalidHandshake {
    /// The text of the response.
    #[must_use]
    pub fn body_text(&self) -> String {
        self.0.to_string()
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }
}

impl fmt::Display for InvalidHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InvalidHandshake {}

impl IntoResponse for InvalidHandshake {
    fn into_response(self) -> Response {
        response_of(&self.0)
    }
}

/// Why [`WebSocketUpgrade`](super::WebSocketUpgrade) is not there.
#[derive(Debug)]
#[non_exhaustive]
pub enum WebSocketUpgradeRejection {
    /// 405.
    MethodNotGet(MethodNotGet),
    /// 405.
    MethodNotConnect(MethodNotConnect),
    /// 400.
    InvalidConnectionHeader(InvalidConnectionHeader),
    /// 400.
    InvalidUpgradeHeader(InvalidUpgradeHeader),
    /// 400.
    InvalidProtocolPseudoheader(InvalidProtocolPseudoheader),
    /// 400.
    InvalidWebSocketVersionHeader(InvalidWebSocketVersionHeader),
    /// 400.
    WebSocketKeyHeaderMissing(WebSocketKeyHeaderMissing),
    /// 426.
    ConnectionNotUpgradable(ConnectionNotUpgradable),
    /// A status of its own.
    InvalidHandshake(InvalidHandshake),
}

/// Does the same with whichever reason it is.
macro_rules! each {
    ($rejection:expr, $reason:ident => $do:expr) => {
        match $rejection {
            WebSocketUpgradeRejection::MethodNotGet($reason) => $do,
            WebSocketUpgradeRejection::MethodNotConnect($reason) => $do,
            WebSocketUpgradeRejection::InvalidConnectionHeader($reason) => $do,
            WebSocketUpgradeRejection::InvalidUpgradeHeader($reason) => $do,
            WebSocketUpgradeRejection::InvalidProtocolPseudoheader($reason) => $do,
            WebSocketUpgradeRejection::InvalidWebSocketVersionHeader($reason) => $do,
            WebSocketUpgradeRejection::WebSocketKeyHeaderMissing($reason) => $do,
            WebSocketUpgradeRejection::ConnectionNotUpgradable($reason) => $do,
            WebSocketUpgradeRejection::InvalidHandshake($reason) => $do,
        }
    };
}

impl WebSocketUpgradeRejection {
    /// The text of the response.
    #[must_use]
    pub fn body_text(&self) -> String {
        each!(self, reason => reason.body_text())
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        each!(self, reason => reason.status())
    }

    /// The reason for what broke a rule of the handshake, over HTTP/1.1 or HTTP/2.
    pub(super) fn of(error: HandshakeError, is_extended: bool) -> Self {
        match error {
            HandshakeError::Method if is_extended => MethodNotConnect.into(),
            HandshakeError::Method => MethodNotGet.into(),
            HandshakeError::ConnectionMissing => InvalidConnectionHeader.into(),
            HandshakeError::UpgradeMissing => InvalidUpgradeHeader.into(),
            HandshakeError::ExtendedProtocol => InvalidProtocolPseudoheader.into(),
            HandshakeError::WebSocketVersion => InvalidWebSocketVersionHeader.into(),
            HandshakeError::Key => WebSocketKeyHeaderMissing.into(),
            HandshakeError::NotUpgradable => ConnectionNotUpgradable.into(),
            other => Self::InvalidHandshake(InvalidHandshake(other)),
        }
    }
}

impl fmt::Display for WebSocketUpgradeRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, reason => reason.fmt(f))
    }
}

impl std::error::Error for WebSocketUpgradeRejection {}

impl IntoResponse for WebSocketUpgradeRejection {
    fn into_response(self) -> Response {
        each!(self, reason => reason.into_response())
    }
}

/// The refusal of a handshake. Connections are axum's business, so it says nothing of them.
pub(super) fn response_of(error: &HandshakeError) -> Response {
    let mut response = error.to_response().map(Body::from);
    response.headers_mut().remove(header::CONNECTION);
    response.headers_mut().remove(header::UPGRADE);
    response
}
