//! What a client may be told.

use std::time::Duration;

use crate::app::event::Codec;

use super::first::FirstEvents;
use super::token::TokenSource;

/// Bounds and deadlines of an [`EventClient`](super::EventClient). Everything that can grow has a maximum here.
///
/// ```
/// let mut options = sockeye::app::client::ClientOptions::default();
/// options.queued_events_max = 1000;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// URLs of other servers of the same application, as the nodes of a cluster (default: none), which are tried in turn:
    /// a session is looked for where it was, and where that cannot be reached, or goes away, at the next. The waits
    /// double when all have been tried. Shuffle them where many clients have them alike.
    pub other_urls: Vec<String>,
    /// Asked for a token before each connection (default: nobody is, and the connector's headers are all there is).
    pub token: Option<TokenSource>,
    /// What is sent first in each new session (default: what waits).
    pub first: Option<FirstEvents>,
    /// How the route of the server writes its events (default: the envelope).
    pub codec: Codec,
    /// Most events of ours that are not acknowledged, sent or not (default 256).
    pub queued_events_max: usize,
    /// Most bytes of them, as they are written (default 1 MiB).
    pub queued_bytes_max: usize,
    /// Most [happenings](super::Happening) that wait for [`Incoming::next`](super::Incoming::next) (default 64, at
    /// least 1). Then nothing is read any more, and the server is held back.
    pub incoming_max: usize,
    /// How long a connection may take until it has a session (default 15 s).
    pub open_timeout: Duration,
    /// The longest first wait before connecting again, which doubles from one failure to the next (default 1 s).
    pub backoff_first: Duration,
    /// The longest wait of all (default 30 s).
    pub backoff_max: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            other_urls: Vec::new(),
            token: None,
            first: None,
            codec: Codec::Envelope,
            queued_events_max: 256,
            queued_bytes_max: 1024 * 1024,
            incoming_max: 64,
            open_timeout: Duration::from_secs(15),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
        }
    }
}
