//! What a client asked for, and what it is answered.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::handshake::{Acceptance, RequestHead, TraceContext, Upgrade, decode_query};
use crate::sync::{Arc, Mutex};
use crate::trace::Trace;

use super::admission::Pass;

/// The request that opened a connection, or that is no upgrade and wants a page. Cloning counts a
/// reference.
#[derive(Clone)]
pub struct Request(Arc<Inner>);

struct Inner {
    head: RequestHead,
    subprotocols: Vec<String>,
    is_upgrade: bool,
    peer_addr: Option<SocketAddr>,
    pass: Mutex<Pass>,
    trace: Trace,
}

impl Request {
    pub(super) fn new(
        head: RequestHead,
        upgrade: Option<&Upgrade>,
        peer_addr: Option<SocketAddr>,
    ) -> Self {
        let subprotocols =
            upgrade.map(|upgrade| upgrade.subprotocols().to_vec()).unwrap_or_default();
        let (is_upgrade, pass) = (upgrade.is_some(), Mutex::default());
        // Who wants a page is no connection.
        let trace = match is_upgrade {
            true => Trace::server(&head, peer_addr),
            false => Trace::default(),
        };
        Self(Arc::new(Inner { head, subprotocols, is_upgrade, peer_addr, pass, trace }))
    }

    /// Whether it is a valid WebSocket upgrade.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.0.is_upgrade
    }

    /// The path, percent-encoded as it came.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.head.path()
    }

    /// The first query parameter of this name, decoded (`%XX` and `+`). `None` when it is absent or
    /// not utf-8.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.0.head.query()?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_query(key)? == name).then(|| decode_query(value).map(Cow::into_owned))?
        })
    }

    /// The first header of this name, when it is visible ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.http().headers().get(name)?.to_str().ok()
    }

    /// The token of `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer_token(&self) -> Option<&str> {
        let (scheme, token) = self.header(header::AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
    }

    /// The subprotocols the client offers, in its order.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        &self.0.subprotocols
    }

    /// Where the connection comes from; `None` on streams without addresses.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.peer_addr
    }

    /// Which trace it belongs to, where it says so properly (`traceparent`, `tracestate`). It is read anew each time.
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::from_headers(self.http().headers())
    }

    /// What its [admission](super::Admission) gave for it, when it is of this type; once.
    #[must_use]
    pub fn take_pass<T: std::any::Any + Send>(&self) -> Option<T> {
        self.0.pass.lock().take()
    }

    /// Where it is told what becomes of it.
    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    pub(super) fn set_pass(&self, pass: Pass) {
        *self.0.pass.lock() = pass;
    }

    /// The request with all its headers. Cost: they are parsed into a map when somebody asks first, for this or for a
    /// header.
    #[must_use]
    pub fn http(&self) -> &http::Request<()> {
        self.0.head.request()
    }
}

/// Neither headers nor the query: they may hold tokens and passwords.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("path", &self.path())
            .field("is_upgrade", &self.is_upgrade())
            .field("peer_addr", &self.peer_addr())
            .finish_non_exhaustive()
    }
}

/// What an accept hook decides.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// Become a WebSocket.
    Upgrade(Acceptance),
    /// Answer with this response and close: a refusal, or a page.
    Respond(Response<Bytes>),
}

impl Answer {
    /// Accept as it is.
    #[must_use]
    pub fn accept() -> Self {
        Self::Upgrade(Acceptance::default())
    }

    /// Refuse with a status and a line of text.
    #[must_use]
    pub fn refuse(status: StatusCode, text: &'static str) -> Self {
        Self::respond(status, "text/plain; charset=utf-8", text)
    }

    /// Answer with a body of a content type.
    pub fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        Self::Respond(response)
    }

    /// The same with one more header, whichever answer it is. The same name may be added again.
    #[must_use]
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        match self {
            Self::Upgrade(acceptance) => Self::Upgrade(acceptance.header(name, value)),
            Self::Respond(mut response) => {
                response.headers_mut().append(name, value);
                Self::Respond(response)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HS-10, A43: parameters are decoded; broken escapes give nothing, never a panic.
    #[test]
    fn query_parameters_are_decoded() {
        let head = http::Request::builder().uri("/c?room=a%20b+c&name=%C3%A9&bad=%zz&cut=%4&flag");
        let request = Request::new(head.body(()).unwrap().into(), None, None);
        assert_eq!(request.query("room").as_deref(), Some("a b c"));
        assert_eq!(request.query("name").as_deref(), Some("é"));
        assert_eq!(request.query("bad"), None);
        assert_eq!(request.query("cut"), None);
        assert_eq!(request.query("flag").as_deref(), Some(""));
        assert_eq!(request.query("none"), None);
    }
}
