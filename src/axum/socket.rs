//! The WebSocket as axum has it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_core::Error;
use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use http::HeaderValue;

use super::message::Message;
use crate::net::{self, NetStream};

/// A WebSocket with the methods of axum's: [`recv`](Self::recv) and [`send`](Self::send), and a `Stream` and `Sink` of
/// [`Message`], which `futures-util` splits.
///
/// Pings, pongs and the close frame come as messages, too; they were answered already. Nothing moves unless it is polled.
#[derive(Debug)]
pub struct WebSocket {
    inner: net::WebSocket<NetStream>,
    protocol: Option<HeaderValue>,
    is_ended: bool,
}

impl WebSocket {
    pub(super) const fn new(
        inner: net::WebSocket<NetStream>,
        protocol: Option<HeaderValue>,
    ) -> Self {
        Self { inner, protocol, is_ended: false }
    }

    /// The next message; `None` when the connection is over.
    ///
    /// # Errors
    /// Those of [`crate::WebSocket::recv`], inside of axum's error, once.
    ///
    /// Cancel safety: dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        let message = self.inner.recv().await.transpose();
        self.is_ended = message.is_none();
        Some(message?.map(Message::from).map_err(Error::new))
    }

    /// Sends a message and writes it out. A close message begins the closing handshake.
    ///
    /// # Errors
    /// Those of [`crate::WebSocket::send`], and for a close frame that may not be sent, inside of axum's error.
    ///
    /// Cancel safety: that of [`crate::WebSocket::send`].
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        let message = crate::protocol::Message::try_from(message).map_err(Error::new)?;
        self.inner.send(message).await.map_err(Error::new)
    }

    /// The subprotocol that was chosen.
    #[must_use]
    pub const fn protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_ref()
    }

    /// The crate's own WebSocket, with `recv_ref`, `run` and `split`. Also before the end of a connection that was used
    /// here.
    #[must_use]
    pub fn into_native(self) -> net::WebSocket<NetStream> {
        self.inner
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = ready!(Pin::new(&mut self.inner).poll_next(cx));
        self.is_ended = message.is_none();
        Poll::Ready(message.map(|message| message.map(Message::from).map_err(Error::new)))
    }
}

impl FusedStream for WebSocket {
    fn is_terminated(&self) -> bool {
        self.is_ended
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_ready(cx).map_err(Error::new)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        let message = crate::protocol::Message::try_from(message).map_err(Error::new)?;
        Pin::new(&mut self.inner).start_send(message).map_err(Error::new)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Sink::poll_flush(Pin::new(&mut self.inner), cx).map_err(Error::new)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.inner).poll_close(cx).map_err(Error::new)
    }
}
