//! The connection's span, for those who add to it.

use tracing::Span;

use super::request::Request;

impl Request {
    /// The span of the connection that this request opens: with its path, peer, trace, and its number and user once they
    /// are known. What the application does on the connection is put into it by `Instrument::instrument`. It is none where
    /// nobody traces, and for a request that is no upgrade.
    #[must_use]
    pub fn span(&self) -> Span {
        self.trace().span()
    }
}
