//! A hub without a port.

use crate::hub::{Handlers, Hub};

use super::server::TestServer;

impl TestServer {
    /// A server of this hub, with the hub's own acceptor.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use sockeye::hub::{Handlers, Hub};
    /// use sockeye::testing::TestServer;
    ///
    /// let hub = Hub::builder().default_room("lobby").build().expect("limits above zero");
    /// let handlers = Handlers::new().on_message(|connection, message| {
    ///     for room in connection.peer().rooms() {
    ///         let _ = room.broadcast(message);
    ///     }
    /// });
    /// let server = TestServer::hub(&hub, &handlers);
    /// let (mut ann, mut bob) = (server.connect("/").await, server.connect("/").await);
    /// ann.send_text("hello").await;
    /// bob.expect_text("hello").await;
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn hub(hub: &Hub, handlers: &Handlers) -> Self {
        let (acceptor, hub, handlers) = (hub.acceptor(), hub.clone(), handlers.clone());
        Self::new(acceptor, move |mut socket, request| {
            let registered = hub.register_admitted(&socket, &request);
            let handlers = handlers.clone();
            async move {
                match registered {
                    Ok(registration) => {
                        socket.run(handlers.handler(registration)).await;
                    }
                    Err(error) => {
                        // It ends either way.
                        let _ = socket.close(error.close_code().into(), &error.to_string()).await;
                    }
                }
            }
        })
    }
}
