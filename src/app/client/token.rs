//! Where a client has its token from.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;

use http::{HeaderValue, header};

use crate::client::Connector;
use crate::handshake::HandshakeError;
use crate::sync::Arc;

use super::opening::Unopened;

type Asked = Pin<Box<dyn Future<Output = Result<String, Box<dyn Error + Send + Sync>>> + Send>>;

/// Asked for a token before each connection, which goes as `Authorization: Bearer TOKEN`. So there is a new one after a
/// close with 4401; without a source that is the end. Its `Debug` shows nothing.
///
/// A token that cannot be had now is asked for again later. The time that asking takes belongs to
/// [`open_timeout`](super::ClientOptions::open_timeout).
///
/// ```
/// use sockeye::app::client::{ClientOptions, TokenSource};
///
/// let mut options = ClientOptions::default();
/// options.token = Some(TokenSource::new(|| async { std::fs::read_to_string("/run/token") }));
/// ```
#[derive(Clone)]
pub struct TokenSource(Arc<dyn Fn() -> Asked + Send + Sync>);

impl TokenSource {
    /// A source that calls this.
    pub fn new<F, Fut, E>(ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let asked = ask();
            Box::pin(async move { asked.await.map_err(Into::into) })
        }))
    }

    /// A connector with a token of now.
    pub(super) async fn fill(&self, connector: &Connector) -> Result<Connector, Unopened> {
        let lost = |error| Unopened::Lost(io::Error::other(error).into());
        let token = (self.0)().await.map_err(lost)?;
        // What is no header will never be one.
        let never = |_| Unopened::Refused(HandshakeError::Malformed("token").into());
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(never)?;
        value.set_sensitive(true);
        Ok(connector.clone().header(header::AUTHORIZATION, value))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").finish_non_exhaustive()
    }
}
