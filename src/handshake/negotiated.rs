//! What both sides agreed on.

use std::fmt;
use std::sync::OnceLock;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use crate::deflate::DeflateParams;

use super::error::HeaderNames;
use super::response::{self, encode_header};
use super::{ClientKey, Extension};

/// The result of a handshake, on either side: the 101 and what it settles.
///
/// Its `Debug` shows the names of the headers, not their values. Source: RFC 6455 4.1, 4.2.2.
#[derive(Clone)]
pub struct Negotiated {
    /// Of a server it is made when it is asked for: on the wire goes what it is made of.
    response: OnceLock<Response<()>>,
    answer: Answer,
    subprotocol: Option<String>,
    extensions: Vec<Extension>,
    deflate: Option<DeflateParams>,
}

/// What a server's 101 is made of. Empty on the client, who has the response itself.
#[derive(Clone, Default)]
pub(super) struct Answer {
    /// `None` over HTTP/2 and above.
    pub(super) key: Option<ClientKey>,
    pub(super) subprotocol: Option<HeaderValue>,
    pub(super) extensions: Option<HeaderValue>,
    /// The application's own.
    pub(super) headers: HeaderMap,
}

impl Answer {
    /// A 101, or the 200 of an HTTP version that has no key.
    fn to_response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.version_mut() = Version::HTTP_2;
        let headers = response.headers_mut();
        if let Some(key) = self.key {
            let accept = HeaderValue::from_bytes(&key.accept()).expect("base64 is visible ASCII");
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(subprotocol) = &self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol.clone());
        }
        if let Some(extensions) = &self.extensions {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, extensions.clone());
        }
        headers.extend(self.headers.clone());
        if self.key.is_some() {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.version_mut() = Version::HTTP_11;
        }
        response
    }

    /// The 101 without a map between.
    fn encode(&self, key: ClientKey, out: &mut Vec<u8>) {
        out.reserve(256);
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(&key.accept());
        out.extend_from_slice(b"\r\n");
        if let Some(subprotocol) = &self.subprotocol {
            encode_header(&SEC_WEBSOCKET_PROTOCOL, subprotocol.as_bytes(), out);
        }
        if let Some(extensions) = &self.extensions {
            encode_header(&SEC_WEBSOCKET_EXTENSIONS, extensions.as_bytes(), out);
        }
        for (name, value) in &self.headers {
            encode_header(name, value.as_bytes(), out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Negotiated {
    /// The client's: the response came.
    pub(super) fn new(
        response: Response<()>,
        subprotocol: Option<String>,
        extensions: Vec<Extension>,
    ) -> Self {
        let answer = Answer::default();
        Self { response: response.into(), answer, subprotocol, extensions, deflate: None }
    }

    /// The server's: this is to be answered.
    pub(super) fn with_answer(
        answer: Answer,
        subprotocol: Option<String>,
        extensions: Vec<Extension>,
    ) -> Self {
        Self { response: OnceLock::new(), answer, subprotocol, extensions, deflate: None }
    }

    pub(super) fn with_deflate(mut self, deflate: Option<DeflateParams>) -> Self {
        self.deflate = deflate;
        self
    }

    /// What both ends agreed on about compression: for
    /// [`Endpoint::with_deflate`](crate::protocol::Endpoint::with_deflate). `None`: nothing, or it was
    /// negotiated as an extension of one's own.
    pub fn deflate(&self) -> Option<&DeflateParams> {
        self.deflate.as_ref()
    }

    /// The 101: the one to send on the server, the one that came on the client.
    pub fn response(&self) -> &Response<()> {
        self.response.get_or_init(|| self.answer.to_response())
    }

    /// Appends the 101 as it goes onto the wire to `out`. Source: RFC 9112 4.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.answer.key {
            Some(key) => self.answer.encode(key, out),
            None => response::encode(self.response().status(), self.response().headers(), &[], out),
        }
    }

    /// The subprotocol both sides speak, if they agreed on one.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The extensions in use, in the order they apply to what is sent.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }
}

impl fmt::Debug for Negotiated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Negotiated")
            .field("status", &self.response().status())
            .field("header_names", &HeaderNames(self.response().headers()))
            .field("subprotocol", &self.subprotocol)
            .field("extensions", &self.extensions)
            .field("deflate", &self.deflate)
            .finish()
    }
}
