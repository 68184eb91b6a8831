//! An application without a port.

use std::panic::Location;

use crate::app::{App, Running};
use crate::hub::{Shutdown, ShutdownReport};

use super::client::TestClient;
use super::opening::Opening;
use super::pair::TestStream;
use super::server::TestServer;

impl TestServer<Running> {
    /// An application, which listens nowhere but where it was told to.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use serde_json::{Value, json};
    /// use sockeye::app::{App, Context};
    /// use sockeye::testing::TestServer;
    ///
    /// async fn greet(_: Context, payload: Value) -> Value {
    ///     json!({"hello": payload["name"]})
    /// }
    ///
    /// let server = TestServer::app(App::new().path("/ws").on("greet", greet)).await;
    /// let mut client = server.join("/ws").await;
    /// let answer = client.request("greet", &json!({"name": "Ann"})).await;
    /// assert_eq!(answer, json!({"hello": "Ann"}));
    /// # }
    /// ```
    ///
    /// # Panics
    /// When it cannot start.
    #[track_caller]
    pub fn app(app: App) -> impl Future<Output = Self> {
        let place = Location::caller();
        async move {
            match app.attach().await {
                Ok(running) => Self { door: running.door(), owner: running },
                Err(error) => panic!("{place}: the application does not start: {error}"),
            }
        }
    }

    /// The application.
    pub const fn running(&self) -> &Running {
        &self.owner
    }

    /// A client that was let in and has a new session.
    ///
    /// # Panics
    /// When it is refused, or its session is not told.
    #[track_caller]
    pub fn join(&self, target: &str) -> impl Future<Output = TestClient<TestStream>> {
        self.open(target).join()
    }

    /// Stops it.
    ///
    /// # Panics
    /// When it cannot be stopped in order.
    #[track_caller]
    pub fn stop(self, shutdown: Shutdown) -> impl Future<Output = ShutdownReport> {
        let place = Location::caller();
        async move {
            match self.owner.stop(shutdown).await {
                Ok(report) => report,
                Err(error) => panic!("{place}: not stopped: {error}"),
            }
        }
    }
}

impl Opening {
    /// The client, which was let in and has a new session: [`connect`](Self::connect) and
    /// [`expect_session`](TestClient::expect_session).
    ///
    /// # Panics
    /// When it is refused, or its session is not told.
    #[track_caller]
    pub fn join(self) -> impl Future<Output = TestClient<TestStream>> {
        let place = Location::caller();
        async move {
            let mut client = self.connect_at(place).await;
            client.expect_session().await;
            client
        }
    }
}
