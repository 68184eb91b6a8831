//! What happens on a hub's connections, as closures.

use std::sync::Arc;

use crate::error::Error;
use crate::net::{Connection, Driver, Handler, NetStream, WebSocket};
use crate::outbox::SendError;
use crate::protocol::{CloseOutcome, MessageRef};

use super::hub::Registration;
use super::peer::Peer;

type OnOpen = dyn Fn(&mut PeerConnection<'_, '_>) + Send + Sync;
type OnMessage = dyn Fn(&mut PeerConnection<'_, '_>, MessageRef<'_>) + Send + Sync;
type OnControl = dyn Fn(&mut PeerConnection<'_, '_>, &[u8]) + Send + Sync;
type OnError = dyn Fn(&Peer, &Error) + Send + Sync;
type OnClose = dyn Fn(&Peer, &CloseOutcome) + Send + Sync;

/// What to do on the connections of a hub: all optional, for all connections the same.
///
/// The callbacks are synchronous and must not block. From each of them the hub can be asked and told
/// anything, and a panic in one ends that connection (1011) and nothing else. A message for which
/// there is no callback is read and thrown away.
///
/// ```
/// use sockeye::hub::Handlers;
///
/// let handlers = Handlers::new()
///     .on_open(|connection| {
///         // A full room is a limit of one's own.
///         let _ = connection.peer().join("lobby");
///     })
///     .on_message(|connection, message| {
///         for room in connection.peer().rooms() {
///             let _ = room.broadcast_except(message, connection.peer().id());
///         }
///     })
///     .on_close(|peer, outcome| println!("{}: {:?}", peer.id(), outcome.code));
/// # drop(handlers);
/// ```
///
/// A handler with a state of its own for each connection is a [`Handler`] that holds a
/// [`Registration`].
#[derive(Clone, Default)]
pub struct Handlers {
    on_open: Option<Arc<OnOpen>>,
    on_message: Option<Arc<OnMessage>>,
    on_ping: Option<Arc<OnControl>>,
    on_pong: Option<Arc<OnControl>>,
    on_error: Option<Arc<OnError>>,
    on_close: Vec<Arc<OnClose>>,
}

impl Handlers {
    /// Nothing happens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection is open and registered.
    #[must_use]
    pub fn on_open<F>(mut self, call: F) -> Self
    where
        F: Fn(&mut PeerConnection<'_, '_>) + Send + Sync + 'static,
    {
        self.on_open = Some(Arc::new(call));
        self
    }

    /// A whole message came.
    #[must_use]
    pub fn on_message<F>(mut self, call: F) -> Self
    where
        F: Fn(&mut PeerConnection<'_, '_>, MessageRef<'_>) + Send + Sync + 'static,
    {
        self.on_message = Some(Arc::new(call));
        self
    }

    /// A ping came; it is answered already.
    #[must_use]
    pub fn on_ping<F>(mut self, call: F) -> Self
    where
        F: Fn(&mut PeerConnection<'_, '_>, &[u8]) + Send + Sync + 'static,
    {
        self.on_ping = Some(Arc::new(call));
        self
    }

    /// A pong came.
    #[must_use]
    pub fn on_pong<F>(mut self, call: F) -> Self
    where
        F: Fn(&mut PeerConnection<'_, '_>, &[u8]) + Send + Sync + 'static,
    {
        self.on_pong = Some(Arc::new(call));
        self
    }

    /// The connection ends by an error: a violation of the protocol, a deadline, a lost stream.
    /// [`on_close`](Self::on_close) comes after it.
    #[must_use]
    pub fn on_error<F>(mut self, call: F) -> Self
    where
        F: Fn(&Peer, &Error) + Send + Sync + 'static,
    {
        self.on_error = Some(Arc::new(call));
        self
    }

    /// The connection is over; it is still in its rooms, and leaves them afterwards. May be given
    /// several times: each is called, in that order.
    #[must_use]
    pub fn on_close<F>(mut self, call: F) -> Self
    where
        F: Fn(&Peer, &CloseOutcome) + Send + Sync + 'static,
    {
        self.on_close.push(Arc::new(call));
        self
    }

    /// Runs each connection of a server with these.
    pub(super) fn on_socket<R>(
        self,
    ) -> impl Fn(WebSocket<NetStream>, Registration, R) -> Driver<NetStream, HubHandler> {
        move |socket, registration, _| socket.run(self.handler(registration))
    }

    /// The handler of one registered connection, for [`WebSocket::run`](crate::WebSocket::run).
    pub fn handler(&self, registration: Registration) -> HubHandler {
        HubHandler { handlers: self.clone(), registration }
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

/// A registered connection, for the time of one callback.
#[derive(Debug)]
pub struct PeerConnection<'a, 'c> {
    peer: &'a Peer,
    connection: &'a mut Connection<'c>,
}

impl<'c> PeerConnection<'_, 'c> {
    /// Who it is.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        self.peer
    }

    /// The connection itself.
    #[must_use]
    pub const fn connection(&mut self) -> &mut Connection<'c> {
        self.connection
    }

    /// Sends a message: it leaves with all that is sent in this turn, as [`Connection::send`].
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        self.connection.send(message)
    }
}

/// The handler of one registered connection. Made by [`Handlers::handler`].
#[derive(Debug)]
pub struct HubHandler {
    handlers: Handlers,
    registration: Registration,
}

impl Handler for HubHandler {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        if let Some(call) = &self.handlers.on_open {
            call(&mut PeerConnection { peer: self.registration.peer(), connection });
        }
    }

    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        if let Some(call) = &self.handlers.on_message {
            call(&mut PeerConnection { peer: self.registration.peer(), connection }, message);
        }
    }

    fn on_ping(&mut self, connection: &mut Connection<'_>, payload: &[u8]) {
        if let Some(call) = &self.handlers.on_ping {
            call(&mut PeerConnection { peer: self.registration.peer(), connection }, payload);
        }
    }

    fn on_pong(&mut self, connection: &mut Connection<'_>, payload: &[u8]) {
        if let Some(call) = &self.handlers.on_pong {
            call(&mut PeerConnection { peer: self.registration.peer(), connection }, payload);
        }
    }

    fn on_close(&mut self, outcome: &CloseOutcome) {
        self.registration.ended_with(outcome.code);
        let peer = self.registration.peer();
        if let (Some(call), Some(error)) = (&self.handlers.on_error, Error::of_cause(outcome.cause))
        {
            call(peer, &error);
        }
        for call in &self.handlers.on_close {
            call(peer, outcome);
        }
    }
}
