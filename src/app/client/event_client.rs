//! The sending side of a client.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::app::event::EventError;
use crate::client::Connector;
use crate::error::Error;
use crate::sync::Arc;

use super::error::{QueueError, RequestError};
use super::happening::Question;
use super::incoming::Incoming;
use super::keeper::Keeper;
use super::options::ClientOptions;
use super::servers::Servers;
use super::shared::{self, Shared};
use super::state::{ClientSession, ClientState};

/// A session with a server, whatever happens to its connections: clonable, usable from any task.
///
/// What is sent is kept, bounded, until the server has acknowledged it; after a reconnect what the server has not had
/// goes again. When the last clone is dropped the client ends as by [`close`](Self::close).
#[derive(Clone)]
pub struct EventClient {
    owner: Arc<Owner>,
}

/// Owns the task: it ends soon after this.
struct Owner {
    shared: Arc<Shared>,
    /// Every wait of it has a deadline once the end is wanted, so nobody needs to stop it.
    _task: JoinHandle<()>,
}

/// A question of ours. It is forgotten when this is dropped.
struct Asked<'a> {
    shared: &'a Shared,
    number: u64,
}

impl EventClient {
    /// Begins to connect to a URL, and stays connected until [`close`](Self::close) or until the server says that
    /// there is no way back. Credentials are the connector's headers, or come from [`ClientOptions::token`].
    ///
    /// It waits between attempts: any time up to 1 s, 2 s, 4 s and so on up to 30 s, from the beginning again after a
    /// connection that had its session for 5 s. After a close with 1012 or 1013 it waits 5 to 30 s at least, after a second
    /// 1011 in a row it ends, after 4401 it goes on with a new token or ends where there is no source of them. After a
    /// refusal with `Retry-After` as long as that says, up to an hour. Where trying again
    /// cannot help ([`Disconnect::advice`](crate::app::Disconnect::advice), [`Error::retryable`]) it ends.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::NoRuntime`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "settings are given away, as the connector is"
    )]
    pub fn connect(
        connector: Connector,
        url: &str,
        options: ClientOptions,
    ) -> Result<(Self, Incoming), Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let servers = Servers::new(url, &options.other_urls);
        servers.check(&connector)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared::new(&options, u64::from_ne_bytes(random)));
        let (happenings, incoming) = mpsc::channel(options.incoming_max.max(1));
        let keeper = Keeper::new(connector, servers, &options, shared.clone(), happenings);
        let task = runtime.spawn(keeper.run());
        let owner = Arc::new(Owner { shared, _task: task });
        Ok((Self { owner }, Incoming::new(incoming)))
    }

    /// Queues an event; without a connection it waits for one. The payload is what serialises to an object, or to
    /// nothing (`&()`).
    ///
    /// # Errors
    /// [`QueueError`]: it cannot be written, as much as may be waits, or the client is closed.
    ///
    /// Cost: one pass over the payload, one allocation, one short lock.
    pub fn send<P: Serialize + ?Sized>(&self, name: &str, payload: &P) -> Result<(), QueueError> {
        self.owner.shared.send(name, payload)
    }

    /// Asks and waits for the answer. Question and answer survive a reconnect.
    ///
    /// While nobody takes from [`Incoming`] and that is full, no answer comes: ask from another task than the one that
    /// reads, or drop what is not read.
    ///
    /// # Errors
    /// [`RequestError`]: the server's own error is [`Refused`](RequestError::Refused).
    ///
    /// Cancel safety: dropping the future forgets the question. If it was never sent it is not sent any more; else its
    /// answer is passed over.
    pub async fn request<R: DeserializeOwned>(
        &self,
        name: &str,
        payload: &(impl Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<R, RequestError> {
        let shared = &*self.owner.shared;
        let (number, answer) = shared.ask(name, payload)?;
        let _asked = Asked { shared, number };
        let answer = tokio::time::timeout(timeout, answer).await;
        let answer = answer.map_err(|_| RequestError::Timeout { timeout })?;
        shared::read(answer.unwrap_or(Err(RequestError::Closed)))
    }

    /// Answers a question of the server: an event with its name and `.ack` behind.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`QueueError::SessionLost`] when the session that asked is over.
    pub fn answer<P: Serialize + ?Sized>(
        &self,
        question: &Question,
        payload: &P,
    ) -> Result<(), QueueError> {
        let name = format!("{}.ack", question.event().name());
        self.owner.shared.answer(question, &name, payload)
    }

    /// Answers a question of the server with an error.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn refuse(&self, question: &Question, error: EventError) -> Result<(), QueueError> {
        self.owner.shared.refuse(question, error)
    }

    /// Waits until everything that was sent is acknowledged. The server acknowledges within about a second.
    ///
    /// # Errors
    /// [`QueueError::Closed`] when the client is closed before.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn flushed(&self) -> Result<(), QueueError> {
        self.owner.shared.flushed().await
    }

    /// Closes for good, with 1000: the session ends on the server, too. What waits is sent before if there is a
    /// connection; to know that it has arrived, wait for [`flushed`](Self::flushed) first. Takes 20 s at the
    /// most, where the server does not answer.
    ///
    /// Cancel safety: once polled the closing has begun, and goes on.
    pub async fn close(&self) {
        self.owner.shared.close();
        // The sender is in `shared`, so it does not fail.
        let _ = self.state().wait_for(ClientState::is_closed).await;
    }

    /// The session there is; `None` before the first, between a lost one and the next, and after the end.
    #[must_use]
    pub fn session(&self) -> Option<ClientSession> {
        self.owner.shared.session()
    }

    /// Where the client is, to be looked at or waited for. Its last value is [`ClientState::Closed`].
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClientState> {
        self.owner.shared.state()
    }

    /// Events of ours that are not acknowledged, sent or not, and their bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.owner.shared.queued()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.shared.forget(self.number);
    }
}

/// No token and no payload.
impl std::fmt::Debug for EventClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.owner.shared.fmt(f)
    }
}
