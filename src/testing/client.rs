//! A client for tests.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use tokio::time::timeout;

use crate::client::Connector;
use crate::error::Error;
use crate::net::{ByteStream, NetStream, WebSocket};
use crate::protocol::{CloseOutcome, Config, Message};

use super::speech;

/// How long anything is waited for, unless it is set otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// A client that panics where what it expects does not come: with the place in the test, what was expected, and what came
/// instead. Nothing it does waits longer than its [deadline](Self::deadline), 10 s at first.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use sockeye::Acceptor;
/// use sockeye::testing::TestServer;
///
/// let server = TestServer::new(Acceptor::default(), |mut socket, _request| async move {
///     while let Ok(Some(message)) = socket.recv().await {
///         if socket.send(message).await.is_err() {
///             break;
///         }
///     }
/// });
/// let mut client = server.connect("/echo").await;
/// client.send_text("hello").await;
/// client.expect_text("hello").await;
/// client.close(1000, "bye").await;
/// # }
/// ```
pub struct TestClient<S: ByteStream = NetStream> {
    pub(super) socket: WebSocket<S>,
    /// What messages of failures begin with.
    pub(super) name: String,
    pub(super) deadline: Duration,
    /// Came before the answer that was waited for.
    pub(super) kept: VecDeque<Message>,
    /// What only says that messages arrived, where there is such.
    pub(super) is_passed_over: fn(&Message) -> bool,
    #[allow(dead_code, reason = "for the client of an application")]
    pub(super) events: Events,
}

/// Where it speaks in events.
#[allow(dead_code, reason = "for the client of an application")]
#[derive(Debug, Default)]
pub(super) struct Events {
    /// They are those of `Codec::Tagged`.
    pub(super) is_tagged: bool,
    /// How many requests it has made.
    pub(super) requests: u64,
}

impl TestClient {
    /// A client of a server on a port, as any other would be.
    ///
    /// # Panics
    /// When it is not let in.
    #[track_caller]
    pub fn connect(url: &str) -> impl Future<Output = Self> + use<> {
        Self::connect_with(&Connector::new(Config::default()), url)
    }

    /// The same with a connector of one's own.
    ///
    /// # Panics
    /// When it is not let in.
    #[track_caller]
    pub fn connect_with(connector: &Connector, url: &str) -> impl Future<Output = Self> + use<> {
        let (place, connector, url) = (Location::caller(), connector.clone(), url.to_owned());
        async move {
            // User and password, or a token, may stand in it.
            let name = url.split(['?', '#']).next().and_then(|url| url.rsplit('@').next());
            let name = name.unwrap_or_default().to_owned();
            match timeout(DEADLINE, connector.connect(&url)).await {
                Ok(Ok(socket)) => Self::new(socket).named(name),
                Ok(Err(error)) => panic!("{place}: {name}: not connected: {error}"),
                Err(_) => panic!("{place}: {name}: not connected in {DEADLINE:?}"),
            }
        }
    }
}

impl<S: ByteStream> TestClient<S> {
    /// A client with a connection of one's own.
    pub fn new(socket: WebSocket<S>) -> Self {
        Self {
            socket,
            name: "client".to_owned(),
            deadline: DEADLINE,
            kept: VecDeque::new(),
            is_passed_over: |_| false,
            events: Events::default(),
        }
    }

    /// What its failures begin with.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long it waits for anything, in tokio's time.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    // Sending.

    /// Sends a text.
    ///
    /// # Panics
    /// When the connection is over, or the text cannot be written within the deadline.
    #[track_caller]
    pub fn send_text(&mut self, text: impl Into<String>) -> impl Future<Output = ()> {
        self.send_at(Location::caller(), Message::text(text.into()))
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// As [`send_text`](Self::send_text).
    #[track_caller]
    pub fn send_binary(&mut self, bytes: impl Into<bytes::Bytes>) -> impl Future<Output = ()> {
        self.send_at(Location::caller(), Message::Binary(bytes.into()))
    }

    /// Sends a message.
    ///
    /// # Panics
    /// As [`send_text`](Self::send_text).
    #[track_caller]
    pub fn send(&mut self, message: impl Into<Message>) -> impl Future<Output = ()> {
        self.send_at(Location::caller(), message.into())
    }

    /// Closes, and waits for the answer.
    ///
    /// # Panics
    /// When the server does not answer within the deadline, and for a code that may not be sent.
    #[track_caller]
    pub fn close(&mut self, code: u16, reason: &str) -> impl Future<Output = CloseOutcome> {
        let place = Location::caller();
        async move {
            match timeout(self.deadline, self.socket.close(code, reason)).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(error)) => self.fail(place, &format!("cannot close: {error}")),
                Err(_) => self.fail(place, &format!("not closed in {:?}", self.deadline)),
            }
        }
    }

    /// The WebSocket.
    pub const fn socket(&mut self) -> &mut WebSocket<S> {
        &mut self.socket
    }

    /// The WebSocket, for good.
    pub fn into_socket(self) -> WebSocket<S> {
        self.socket
    }

    pub(super) async fn send_at(&mut self, place: &Location<'_>, message: Message) {
        match timeout(self.deadline, self.socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(place, &format!("cannot send: {error}")),
            Err(_) => self.fail(place, &format!("not sent in {:?}", self.deadline)),
        }
    }

    /// The next message, whatever it is; `None` when the connection is over.
    pub(super) async fn receive(&mut self) -> Result<Option<Message>, Error> {
        if let Some(message) = self.kept.pop_front() {
            return Ok(Some(message));
        }
        self.receive_new().await
    }

    /// The same, but none of those that were kept.
    pub(super) async fn receive_new(&mut self) -> Result<Option<Message>, Error> {
        loop {
            match self.socket.recv().await {
                Ok(Some(message)) if (self.is_passed_over)(&message) => {}
                result => return result,
            }
        }
    }

    /// The next message, which must come in time.
    pub(super) async fn wanted(&mut self, place: &Location<'_>, what: &str) -> Message {
        match timeout(self.deadline, self.receive()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => self.fail_ended(place, what, None),
            Ok(Err(error)) => self.fail_ended(place, what, Some(&error)),
            Err(_) => self
                .fail(place, &format!("expected {what}, but nothing came in {:?}", self.deadline)),
        }
    }

    pub(super) fn fail_ended(&self, place: &Location<'_>, what: &str, error: Option<&Error>) -> ! {
        let end = speech::end(self.socket.outcome(), error);
        self.fail(place, &format!("expected {what}, but {end}"))
    }

    pub(super) fn fail(&self, place: &Location<'_>, what: &str) -> ! {
        panic!("{place}: {}: {what}", self.name)
    }
}

impl<S: ByteStream> fmt::Debug for TestClient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.len();
        f.debug_struct("TestClient").field("name", &self.name).field("kept", &kept).finish()
    }
}
