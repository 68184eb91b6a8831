//! A WebSocket that is about to be there.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::handshake::HandshakeError;
use crate::net::{NetStream, Request, Upgrading, WebSocket};

use super::stream::stream_of;

/// The WebSocket, once the answer has gone out. Spawn what awaits it, or give it to
/// [`SocketTasks::run`](crate::net::SocketTasks::run): hyper sends the answer only when the handler has returned it.
///
/// # Errors
/// [`Error::Io`] when hyper gives no stream: the client has gone, the answer was not sent, or the connection is not served
/// `with_upgrades`. [`Error::Handshake`] with [`Timeout`](HandshakeError::Timeout) when that took longer than a handshake
/// may (10 s, or what the acceptor says, from the judging on).
///
/// Cancel safety: dropping it gives up the connection.
#[must_use = "the connection is given up when this is dropped"]
pub struct Opening {
    request: Request,
    future: Pin<Box<dyn Future<Output = Result<WebSocket<NetStream>, Error>> + Send>>,
}

impl Opening {
    /// What is agreed on, on the stream that hyper gives by then.
    pub(crate) fn new(upgrading: Upgrading, on_upgrade: OnUpgrade, deadline: Instant) -> Self {
        let request = upgrading.request().clone();
        let opening = async move {
            let opened = timeout_at(deadline, stream_of(on_upgrade)).await;
            let opened = opened.map_err(|_| HandshakeError::Timeout)?;
            let (stream, input) = opened.map_err(io::Error::other)?;
            Ok(upgrading.open_with_input(stream, input).0)
        };
        Self { request, future: Box::pin(opening) }
    }

    /// The request, with what it was admitted with.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }
}

impl Future for Opening {
    type Output = Result<WebSocket<NetStream>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(cx)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("request", &self.request).finish_non_exhaustive()
    }
}
