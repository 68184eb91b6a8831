//! A client that connects again.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::error::{Error, SettingError};
use crate::frame::{CloseFrame, CloseFrameError};
use crate::outbox::{SendError, Sender, Sent};
use crate::protocol::Message;
use crate::sync::Arc;

use super::backoff::{Backoff, GOOD_AFTER};
use super::connector::Connector;
use super::keeper::Keeper;
use super::settings::{IntoTimeout, more_than_zero};
use super::target::Target;
use super::waiting::Waiting;

/// Where a reconnecting client is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// It connects.
    Connecting,
    /// It is connected.
    Open {
        /// How many connections there were with this one: from 2 on there is a gap before it.
        connections: u64,
        /// Messages of ours that died with the connections before, as far as it is known: what the operating
        /// system had taken may have been lost as well.
        lost: u64,
    },
    /// It waits before it connects again.
    Waiting {
        /// Attempts that have failed in a row, and connections that did not stand for 60 s.
        failures: u32,
        /// How long.
        delay: Duration,
        /// Why there is no connection.
        error: Arc<Error>,
    },
    /// It is over.
    Ended,
}

/// A client that connects again when its connection is lost. Made by [`Connector::reconnecting`].
///
/// It waits between attempts: any time up to 1 s, 2 s, 4 s and so on up to 60 s (exponential, full jitter),
/// from the beginning again after a connection that stood for 60 s. After a close with 1012 or 1013 it
/// waits 5 to 30 s at least, after a refusal with `Retry-After` as long as that says, up to an hour.
///
/// It ends where trying again cannot help: when the server closes with a code that says so
/// ([`CloseCode::is_retryable`](crate::CloseCode::is_retryable)), after an error that is not
/// [retryable](Error::retryable), and when it is closed here. The policy of the connector is asked each time.
///
/// What is sent while there is no connection waits, as much as
/// [`outbox_messages_max`](crate::Config::outbox_messages_max) and
/// [`outbox_bytes_max`](crate::Config::outbox_bytes_max) allow; then
/// [`overflow`](crate::Config::overflow) says what happens.
///
/// ```
/// use sockeye::{Config, Connector};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, mut receiver) = Connector::new(Config::default())
///     .reconnecting("ws://127.0.0.1:9001/prices")?
///     .on_open(|sender| {
///         // Each connection begins with this, before what waits.
///         let _ = sender.try_send(r#"{"action":"subscribe"}"#);
///     })
///     .start();
/// sender.send("hello").await?;
/// while let Some(message) = receiver.recv().await? {
///     println!("{message:?}");
/// }
/// # Ok(()) }
/// ```
#[must_use]
pub struct Reconnecting {
    connector: Connector,
    url: String,
    backoff: Backoff,
    failures_max: Option<u32>,
    on_open: Option<OnOpen>,
}

pub(super) type OnOpen = Box<dyn FnMut(&Sender) + Send>;

impl Connector {
    /// A client that connects to this URL, and again whenever it has to.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn reconnecting(&self, url: &str) -> Result<Reconnecting, Error> {
        Target::parse(url)?;
        Ok(Reconnecting {
            connector: self.clone(),
            url: url.to_owned(),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60), GOOD_AFTER),
            failures_max: None,
            on_open: None,
        })
    }
}

impl Reconnecting {
    /// The longest first wait, which doubles from one failure to the next, and the longest of all (default
    /// 1 s and 60 s).
    ///
    /// # Errors
    /// [`SettingError::Duration`].
    pub fn backoff(
        mut self,
        first: impl IntoTimeout,
        max: impl IntoTimeout,
    ) -> Result<Self, SettingError> {
        let first = more_than_zero("first wait", first)?;
        self.backoff = Backoff::new(first, more_than_zero("longest wait", max)?, GOOD_AFTER);
        Ok(self)
    }

    /// Gives up after so many failures in a row (default: never).
    pub fn failures_max(mut self, failures: u32) -> Self {
        self.failures_max = Some(failures);
        self
    }

    /// Called with each new connection before anything else is sent on it, the first included: to subscribe.
    /// What it sends goes with [`try_send`](Sender::try_send).
    pub fn on_open(mut self, on_open: impl FnMut(&Sender) + Send + 'static) -> Self {
        self.on_open = Some(Box::new(on_open));
        self
    }

    /// Begins to connect, in a task that the receiver owns.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(self) -> (ReconnectingSender, ReconnectingReceiver) {
        let waiting = Arc::new(Waiting::new(self.connector.config.clone()));
        let (status, watched) = watch::channel(Status::Connecting);
        // What is read ahead waits in the connection.
        let (messages, received) = mpsc::channel(1);
        let keeper = Keeper {
            connector: self.connector.for_reconnecting(),
            url: self.url,
            backoff: self.backoff,
            failures_max: self.failures_max,
            on_open: self.on_open,
            waiting: waiting.clone(),
            status,
            messages,
        };
        let sender = ReconnectingSender { waiting: waiting.clone(), status: watched };
        let task = Some(tokio::spawn(keeper.run()));
        (sender.clone(), ReconnectingReceiver { messages: received, task, sender })
    }
}

/// Sends through a reconnecting client, from any task: clonable.
#[derive(Clone)]
pub struct ReconnectingSender {
    waiting: Arc<Waiting>,
    status: watch::Receiver<Status>,
}

impl ReconnectingSender {
    /// Queues a message; where the queue is full and its policy is to wait, waits for room.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// Cancel safety: a future that is dropped while it waits has sent nothing.
    pub async fn send(&self, message: impl Into<Message>) -> Result<Sent, SendError> {
        self.waiting.push(message.into()).await
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// As [`Sender::try_send`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Sent, SendError> {
        self.waiting.try_push(message.into())
    }

    /// Pings over the connection there is and waits for the pong; returns the time there and back.
    ///
    /// # Errors
    /// [`Error::Io`] (`NotConnected`) where there is no connection, or it ends before the pong comes:
    /// [retryable](Error::retryable). [`Error::Closed`] when there will be none. Else as [`Sender::ping`].
    ///
    /// Cancel safety: dropping the future forgets the ping; it was sent if the future was polled.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let not_connected = || Error::Io(io::ErrorKind::NotConnected.into());
        let connection = self.waiting.connection().map_err(|_| Error::Closed)?;
        match connection.ok_or_else(not_connected)?.ping().await {
            Err(Error::Closed) if self.waiting.connection().is_ok() => Err(not_connected()),
            result => result,
        }
    }

    /// Closes for good: what waits is sent first if there is a connection. The receiver then comes to its end.
    ///
    /// What the server sends from then on is received as far as it is read or fits in what may be
    /// [read ahead](crate::Config::read_ahead_messages_max): more is dropped, for the closing handshake waits for nobody.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseFrameError> {
        self.waiting.close(CloseFrame::new(code, reason)?);
        Ok(())
    }

    /// Where the client is, to be looked at or waited for. Its last value is [`Status::Ended`].
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Messages and payload bytes that no connection has taken yet.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.waiting.queued()
    }

    /// Messages that the policy of a full queue has thrown out or refused.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.waiting.dropped_and_lost().0
    }

    /// Messages that died with a connection that had taken them, or waited at the end. What the operating
    /// system had taken may have been lost as well, which nobody can tell.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.waiting.dropped_and_lost().1
    }
}

/// Receives through all connections of a reconnecting client; it owns the task that keeps them.
///
/// Dropping it ends the client (1001).
pub struct ReconnectingReceiver {
    messages: mpsc::Receiver<Message>,
    /// `None` when its end was told.
    task: Option<JoinHandle<Result<(), Error>>>,
    sender: ReconnectingSender,
}

impl ReconnectingReceiver {
    /// The next message of this connection or a later one; `None` when it is over: closed here, or by the
    /// server with 1000.
    ///
    /// # Errors
    /// Why it ended otherwise; once, then `None`.
    ///
    /// Cancel safety: dropping the future loses nothing.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        if let Some(message) = self.messages.recv().await {
            return Ok(Some(message));
        }
        let Some(task) = &mut self.task else {
            return Ok(None);
        };
        // Only a hook that panics makes it fail.
        let ended = task.await.unwrap_or(Err(Error::Closed));
        self.task = None;
        ended.map(|()| None)
    }

    /// Closes for good and waits for the end, passing over what still comes.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long: then nothing happened. Else as
    /// [`recv`](Self::recv).
    ///
    /// Cancel safety: once polled the closing has begun; `recv` carries it on.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), Error> {
        self.sender.close(code, reason)?;
        while self.recv().await?.is_some() {}
        Ok(())
    }
}

impl futures_core::Stream for ReconnectingReceiver {
    type Item = Result<Message, Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let mut receiving = std::pin::pin!(self.recv());
        receiving.as_mut().poll(cx).map(Result::transpose)
    }
}

impl Drop for ReconnectingReceiver {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.sender.waiting.end();
    }
}

/// Neither URL nor messages.
impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReconnectingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingSender").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReconnectingReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingReceiver").field("sender", &self.sender).finish_non_exhaustive()
    }
}
