//! The task of a client.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::app::disconnect::{Disconnect, Reconnect};
use crate::client::{Backoff, Connector};
use crate::error::Error;
use crate::frame::CloseCode;
use crate::sync::Arc;

use super::first::FirstEvents;
use super::happening::Happening;
use super::line::{End, Line};
use super::opening::Unopened;
use super::options::ClientOptions;
use super::servers::Servers;
use super::shared::Shared;
use super::state::ClientState;
use super::token::TokenSource;

/// A connection that had its session for so long was a good one: the next wait is a short one again.
const STEADY_AFTER: Duration = Duration::from_secs(5);

/// From the client: the counts do not fit.
const BROKEN: u16 = 4400;

/// Keeps a session, and a connection as long as it may.
///
/// ```text
///   Connecting ──► Open ──lost──► Reconnecting ──► Open …
///        └──error──────────────────▲    │ closed here, or trying again cannot help
///                                       └──► Closed
/// ```
pub(super) struct Keeper {
    pub(super) connector: Connector,
    pub(super) token: Option<TokenSource>,
    pub(super) first: Option<FirstEvents>,
    pub(super) servers: Servers,
    pub(super) shared: Arc<Shared>,
    /// What is to be heard before all that comes. A connection adds two at the most, and the next is made when they
    /// have been heard.
    pub(super) told: VecDeque<Happening>,
    /// A request to go on was sent and never answered.
    pub(super) is_awaited: bool,
    /// The same, before this connection: what takes the session from it may be that request.
    pub(super) is_doubtful: bool,
    /// The last connection ended with 1011.
    has_failed_internally: bool,
    incoming: mpsc::Sender<Happening>,
    open_timeout: Duration,
    backoff: Backoff,
}

/// Why it is all over.
struct Over(Disconnect, Option<Error>);

/// Whatever becomes of the task, the handles are told.
struct Ending(Arc<Shared>);

impl Keeper {
    pub(super) fn new(
        connector: Connector,
        servers: Servers,
        options: &ClientOptions,
        shared: Arc<Shared>,
        incoming: mpsc::Sender<Happening>,
    ) -> Self {
        let backoff = Backoff::new(options.backoff_first, options.backoff_max, STEADY_AFTER)
            .among(servers.count());
        Self {
            connector: connector.for_reconnecting(),
            token: options.token.clone(),
            first: options.first.clone(),
            servers,
            shared,
            told: VecDeque::new(),
            is_awaited: false,
            is_doubtful: false,
            has_failed_internally: false,
            incoming,
            open_timeout: options.open_timeout,
            backoff,
        }
    }

    pub(super) async fn run(mut self) {
        let ending = Ending(self.shared.clone());
        let Over(why, error) = self.keep().await;
        ending.0.finish(why, error.map(Arc::new));
    }

    async fn keep(&mut self) -> Over {
        let shared = self.shared.clone();
        loop {
            let open_timeout = self.open_timeout;
            let opened = tokio::select! {
                opened = timeout(open_timeout, self.open()) => opened,
                () = shared.closing() => return Over(Disconnect::Done, None),
            };
            let is_open = matches!(opened, Ok(Ok(_)));
            let ended = match opened {
                Ok(Ok(line)) => self.serve(line).await,
                Ok(Err(Unopened::Refused(error))) if error.retryable() => Ok(error),
                Ok(Err(Unopened::Refused(error))) => Err(Over(Disconnect::Lost, Some(error))),
                Ok(Err(Unopened::Lost(error))) => self.judge(error),
                Ok(Err(Unopened::Broken(line))) => Ok(self.give_up(line).await),
                Err(_) => Ok(Error::Connect(io::ErrorKind::TimedOut.into())),
            };
            let error = match ended {
                Ok(error) => error,
                Err(over) => return over,
            };
            if !is_open || is_leaving(&error) {
                self.servers.turn_to_next();
            }
            tokio::select! {
                () = self.wait(error) => {}
                () = shared.closing() => return Over(Disconnect::Done, None),
            }
        }
    }

    /// A connection with a session, up to its end; gives why another is to be made.
    async fn serve(&mut self, mut line: Line) -> Result<Error, Over> {
        self.shared.set_state(ClientState::Open);
        let since = Instant::now();
        let end = line.hold(&self.shared, &mut self.told, &self.incoming).await;
        self.backoff.note_up(since.elapsed());
        if since.elapsed() >= STEADY_AFTER {
            self.has_failed_internally = false;
        }
        match end {
            End::Wanted => {
                line.close(Disconnect::Done.code(), "").await;
                Err(Over(Disconnect::Done, None))
            }
            End::Lost(_) if self.shared.is_closing() => Err(Over(Disconnect::Done, None)),
            End::Lost(error) => self.judge(error),
            End::Broken => Ok(self.give_up(line).await),
        }
    }

    /// Whether a connection that ended so is followed by another.
    fn judge(&mut self, error: Error) -> Result<Error, Over> {
        let code = error.close_code().map_or(Disconnect::Lost.code(), u16::from);
        let why = Disconnect::from_code(code);
        let comes_back = match why.advice() {
            Reconnect::WithBackoff | Reconnect::Later => true,
            Reconnect::Once => !std::mem::replace(&mut self.has_failed_internally, true),
            // Without a source the credentials are the connector's, and those are not good any more.
            Reconnect::AfterLogin => self.token.is_some(),
            Reconnect::Never => why == Disconnect::TakenOver && self.is_doubtful,
        };
        match comes_back {
            true => Ok(error),
            false => Err(Over(why, Some(error))),
        }
    }

    /// The counts do not fit: nothing can be said about this session any more.
    async fn give_up(&mut self, line: Line) -> Error {
        self.told.extend(self.shared.lose("protocol_error"));
        line.close(BROKEN, "counts or order of the event protocol").await;
        let text = "the server does not keep to the event protocol";
        Error::Io(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// Waits until it is time to connect again, and until what is to be told first has been heard.
    async fn wait(&mut self, error: Error) {
        let mut random = [0; 8];
        // Without chance it waits as long as it may.
        let random = match getrandom::fill(&mut random) {
            Ok(()) => u64::from_ne_bytes(random),
            Err(_) => u64::MAX,
        };
        let delay = self.backoff.next(&error, random);
        let (failures, error) = (self.backoff.failures(), Arc::new(error));
        self.shared.set_state(ClientState::Reconnecting { failures, delay, error });
        while !self.told.is_empty() {
            let place = self.incoming.reserve().await.ok();
            let happening = self.told.pop_front();
            if let (Some(place), Some(happening)) = (place, happening) {
                place.send(happening);
            }
        }
        sleep(delay).await;
    }
}

/// Whether the server is not to be asked again now.
fn is_leaving(error: &Error) -> bool {
    use CloseCode::{GoingAway, ServiceRestart, TryAgainLater};
    matches!(error.close_code(), Some(GoingAway | ServiceRestart | TryAgainLater))
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.finish(Disconnect::Lost, None);
    }
}
