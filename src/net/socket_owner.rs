//! Who owns the connections that handlers of another framework open.

use std::time::Duration;

use crate::error::Error;
use crate::sync::Arc;

use super::stream::NetStream;
use super::tasks::{Owner, Served, Tasks};
use super::websocket::WebSocket;

/// Owns WebSockets that are opened one by one, as in the handlers of a framework: what an
/// [`AttachedServer`](super::AttachedServer) is where each connection has a function of its own. Dropping it ends them.
///
/// ```
/// use std::time::Duration;
/// use sockeye::net::SocketOwner;
///
/// # async fn example() {
/// let owner = SocketOwner::new(Duration::from_secs(5));
/// let tasks = owner.tasks(); // for the handlers
/// # drop(tasks);
/// owner.stop().await; // 1001 to all of them
/// # }
/// ```
#[derive(Debug)]
#[must_use = "its connections end when this is dropped"]
pub struct SocketOwner {
    tasks: Owner,
    close_timeout: Duration,
}

/// Where sockets are brought to their [owner](SocketOwner). Cloning counts a reference.
#[derive(Clone, Debug)]
pub struct SocketTasks(Arc<Tasks>);

impl SocketOwner {
    /// An owner of nothing yet. `close_timeout` is how long [`stop`](Self::stop) waits for closing handshakes: that of the
    /// connections ([`Config::close_timeout`](crate::Config::close_timeout), 5 s unless set) is a good one.
    pub fn new(close_timeout: Duration) -> Self {
        Self { tasks: Owner::default(), close_timeout }
    }

    /// For those who open connections.
    #[must_use]
    pub fn tasks(&self) -> SocketTasks {
        SocketTasks(self.tasks.tasks().clone())
    }

    /// Takes no connection any more, closes every one with 1001, and returns when all have ended or the close timeout and a
    /// second have passed.
    ///
    /// Cancel safety: dropping the future ends what is left at once.
    pub async fn stop(self) {
        self.tasks.end(self.close_timeout).await;
    }
}

impl SocketTasks {
    /// Whether the owner has stopped or is gone: nothing is taken any more, and 503 is a good answer.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// Runs this on a socket as a task of the owner, as soon as it is open. `opening` has to have a deadline of its own;
    /// nothing runs when it fails, or when the owner has stopped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run<F, Fut>(
        &self,
        opening: impl Future<Output = Result<WebSocket<NetStream>, Error>> + Send + 'static,
        on_socket: F,
    ) where
        F: FnOnce(WebSocket<NetStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let opening = async move {
            let socket = opening.await.ok()?;
            let outbox = Arc::downgrade(socket.outbox());
            Some(Served { future: on_socket(socket), outbox })
        };
        Tasks::spawn(&self.0, Box::pin(opening));
    }
}
