//! What an HTTP/2 server says it can.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Body;
use hyper::client::conn::http2::Connection;
use hyper::rt::bounds::Http2ClientConnExec;
use hyper::rt::{Read, Write};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

/// How long a new connection may take to say what its server can: its settings are the first that a server sends.
pub(super) const SETTINGS_TIMEOUT: Duration = Duration::from_secs(2);

/// How long between two looks, first and at most.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(32));

/// Whether the server of a connection takes WebSockets over it. Made by [`watch_settings`]. Cloning counts a reference.
#[derive(Clone, Debug)]
pub struct ServerSettings(watch::Receiver<bool>);

/// Watches a client's connection for the server's settings. Drive the future in the place of the connection: it is the same
/// otherwise. Until it is known that the server takes WebSockets, and for 2 s at most, it looks again every 1 to 32 ms.
///
/// Source: RFC 8441 3 (`SETTINGS_ENABLE_CONNECT_PROTOCOL`).
pub fn watch_settings<T, B, E>(
    mut connection: Connection<T, B, E>,
) -> (impl Future<Output = hyper::Result<()>>, ServerSettings)
where
    T: Read + Write + Unpin + 'static,
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Http2ClientConnExec<B, T> + Unpin,
{
    let (told, settings) = watch::channel(false);
    let watched = async move {
        let mut look = Look::new();
        poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            while !*told.borrow() {
                if connection.is_extended_connect_protocol_enabled() {
                    told.send_replace(true);
                } else if look.poll_again(cx).is_pending() {
                    break;
                }
            }
            polled
        })
        .await
    };
    (watched, ServerSettings(settings))
}

/// When to look again: hyper reads the settings in a task of its own, which wakes nobody for them.
struct Look {
    sleep: Pin<Box<Sleep>>,
    every: Duration,
    last: Instant,
}

impl Look {
    fn new() -> Self {
        let every = LOOK_EVERY.0;
        Self { sleep: Box::pin(sleep(every)), every, last: Instant::now() + SETTINGS_TIMEOUT }
    }

    /// Ready: now. After the last look there is none but those that come with other work.
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() > self.last {
            return Poll::Pending;
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.every = LOOK_EVERY.1.min(self.every * 2);
        self.sleep.as_mut().reset(Instant::now() + self.every);
        Poll::Ready(())
    }
}

impl ServerSettings {
    /// Whether the server has said so by now.
    #[must_use]
    pub fn takes_websockets(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the server has said so. The caller has the deadline.
    pub(super) async fn enabled(&self) -> io::Result<()> {
        let mut settings = self.0.clone();
        let enabled = settings.wait_for(|enabled| *enabled).await;
        enabled.map(drop).map_err(|_| io::ErrorKind::NotConnected.into())
    }
}
