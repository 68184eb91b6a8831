//! What both sides agreed on.

use std::fmt;

use http::Response;

use crate::deflate::DeflateParams;

use super::error::HeaderNames;
use super::{Extension, response};

/// The result of a handshake, on either side: the 101 and what it settles.
///
/// Its `Debug` shows the names of the headers, not their values. Source: RFC 6455 4.1, 4.2.2.
#[derive(Clone)]
pub struct Negotiated {
    response: Response<()>,
    subprotocol: Option<String>,
    extensions: Vec<Extension>,
    deflate: Option<DeflateParams>,
}

impl Negotiated {
    pub(super) fn new(
        response: Response<()>,
        subprotocol: Option<String>,
        extensions: Vec<Extension>,
    ) -> Self {
        Self { response, subprotocol, extensions, deflate: None }
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
        &self.response
    }

    /// Appends the 101 as it goes onto the wire to `out`. Source: RFC 9112 4.
    pub fn encode(&self, out: &mut Vec<u8>) {
        response::encode(self.response.status(), self.response.headers(), &[], out);
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
            .field("status", &self.response.status())
            .field("header_names", &HeaderNames(self.response.headers()))
            .field("subprotocol", &self.subprotocol)
            .field("extensions", &self.extensions)
            .field("deflate", &self.deflate)
            .finish()
    }
}
