//! Floor 3: the opening handshake of both sides, without I/O and without a clock (RFC 6455 4, 9.1;
//! RFC 9112).
//!
//! It is an HTTP/1.1 head reader with limits, the checks of RFC 6455 as types that are consumed
//! ([`Upgrade`] or [`ClientHandshake`] becomes [`Negotiated`]), and the writing of requests and
//! responses. It is not an HTTP server: it knows no bodies, no second request on a connection, no
//! redirects to follow. What an extension means is for others; here is its grammar.
//!
//! ```text
//! server   bytes -> HeadReader -> http::Request -> Upgrade -> Negotiated -> bytes
//!                       |              |             |
//!                       +--------------+-------------+-> HandshakeError -> http::Response
//!
//! client   Uri, Offer -> ClientHandshake -> bytes
//!          bytes -> ResponseReader -> http::Response, ClientHandshake -> Negotiated
//! ```
//!
//! Behind proxies, [`TrustedProxies`] and [`ProxyHeaderReader`] tell who the client is; [`AddressKey`]
//! says what counts as one client. What a room may be called that a client asks for says
//! [`check_room_name`].
//!
//! A server with an HTTP library of its own begins at [`Upgrade::from_request`]. Whoever refuses a
//! request closes the connection: bytes behind a refused head are never parsed.

mod address;
mod body;
mod client;
mod credential;
mod error;
mod extended;
mod extensions;
mod fields;
mod forwarded;
mod head;
mod headers;
mod host;
mod key;
mod negotiated;
mod offered;
mod origin;
mod parse;
mod plain;
mod proxy_protocol;
mod query;
mod request_head;
mod response;
mod room_name;
mod server;
mod tokens;
mod trace_context;
mod trace_state;

pub use address::AddressKey;
pub(crate) use body::BodyReader;
pub use client::{ClientHandshake, Offer, ResponseReader, parse_uri};
pub use credential::is_credential;
#[cfg(feature = "auth")]
pub(crate) use credential::{BEARER_PREFIX, ROOM_PASSWORD_PREFIX};
pub use error::{HandshakeError, RefusedResponse};
pub use extended::ExtendedHandshake;
pub use extensions::Extension;
pub(crate) use forwarded::Network;
pub use forwarded::{ForwardedHeader, NetworkError, TrustedProxies};
pub use head::{HeadLimits, HeadReader};
pub use key::{ClientKey, accept_key};
pub use negotiated::Negotiated;
pub use origin::{Origin, Origins};
pub use proxy_protocol::{ProxyHeader, ProxyHeaderReader, ProxyProtocolError};
pub(crate) use query::decode as decode_query;
pub(crate) use request_head::RequestHead;
pub use response::encode_response;
pub use room_name::{ROOM_NAME_BYTES, ROOM_NAME_BYTES_MAX, RoomNameError, check_room_name};
pub use server::{Acceptance, Upgrade};
#[cfg(feature = "auth")]
pub(crate) use tokens::elements;
pub use trace_context::TraceContext;
pub(crate) use trace_context::{TRACEPARENT, TRACESTATE};
