//! The head of a request, as a map when somebody asks for one.

use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use http::Request;

use super::head::split;
use super::host::Host;
use super::parse::parse_request;
use super::plain::Plain;
use super::tokens::line_bytes;
use super::{HandshakeError, Origins, Upgrade};

/// Either way it was good, by all rules of a request.
pub(crate) struct RequestHead(Kind);

enum Kind {
    Whole(Box<Request<()>>),
    Read(Text),
}

/// As it was read, at most `head_bytes_max`.
struct Text {
    bytes: Vec<u8>,
    parts: Plain,
    request: OnceLock<Box<Request<()>>>,
}

impl RequestHead {
    pub(super) const fn plain(parts: Plain, bytes: Vec<u8>) -> Self {
        Self(Kind::Read(Text { bytes, parts, request: OnceLock::new() }))
    }

    /// The whole of it. Cost: once what [`HeadReader::request`](super::HeadReader::request) costs.
    pub(crate) fn request(&self) -> &Request<()> {
        match &self.0 {
            Kind::Whole(request) => request,
            Kind::Read(text) => text.request.get_or_init(|| Box::new(text.parse())),
        }
    }

    /// The path, as it came.
    pub(crate) fn path(&self) -> &str {
        match &self.0 {
            Kind::Whole(request) => request.uri().path(),
            Kind::Read(text) => text.at(&text.parts.path),
        }
    }

    /// What is behind the `?`, as it came.
    pub(crate) fn query(&self) -> Option<&str> {
        match &self.0 {
            Kind::Whole(request) => request.uri().query(),
            Kind::Read(text) => text.parts.query.as_ref().map(|query| text.at(query)),
        }
    }

    /// Checks its origin: see [`Origins::check`].
    pub(crate) fn check_origin(
        &self,
        upgrade: &Upgrade,
        origins: &Origins,
    ) -> Result<(), HandshakeError> {
        match &self.0 {
            Kind::Whole(request) => origins.check(request),
            Kind::Read(text) => upgrade.origin().map_or(Ok(()), |origin| {
                let host = || {
                    Host::parse(text.at(&text.parts.host).as_bytes()).ok_or(HandshakeError::Host)
                };
                origins.judge(origin.as_bytes(), host)
            }),
        }
    }
}

impl Text {
    fn at(&self, range: &Range<u32>) -> &str {
        let bytes = self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
        // Only ASCII was taken.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    fn parse(&self) -> Request<()> {
        let (line, block) = split(&self.bytes, line_bytes(&self.bytes));
        let request = parse_request(line, block, self.parts.header_lines as usize);
        // What was read plainly is good for the parser, which a test sees to.
        request.unwrap_or_default()
    }
}

impl From<Request<()>> for RequestHead {
    fn from(request: Request<()>) -> Self {
        Self(Kind::Whole(Box::new(request)))
    }
}

/// Shows the path, not the query and no header: they may hold tokens and passwords.
impl fmt::Debug for RequestHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RequestHead").field("path", &self.path()).finish_non_exhaustive()
    }
}
