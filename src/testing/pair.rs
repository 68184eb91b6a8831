//! A client and a server without a network between them.

use tokio::io::{DuplexStream, duplex};

use crate::client::Connector;
use crate::deflate::Deflate;
use crate::net::{Acceptor, WebSocket};
use crate::protocol::{Config, Role};
use crate::sync::Arc;

use super::faults::Faults;
use super::faulty_stream::FaultyStream;

/// What is beneath connections in memory.
pub type TestStream = FaultyStream<DuplexStream>;

/// Makes two ends of one connection in memory.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sockeye::Error> {
/// use sockeye::testing::Pair;
///
/// let (mut client, mut server) = Pair::new().connect().await;
/// client.send("hello").await?;
/// assert_eq!(server.recv().await?, Some("hello".into()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Pair {
    client: Config,
    server: Config,
    capacity: usize,
    client_faults: Faults,
    server_faults: Faults,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// Two ends with the default [`Config`], 64 KiB between them each way, and nothing wrong.
    pub fn new() -> Self {
        Self {
            client: Config::default(),
            server: Config::default(),
            capacity: 64 * 1024,
            client_faults: Faults::new(0),
            server_faults: Faults::new(0),
        }
    }

    /// The limits and deadlines of both ends.
    pub fn config(mut self, config: Config) -> Self {
        self.client = config.clone();
        self.server = config;
        self
    }

    /// Those of the server.
    pub fn server_config(mut self, config: Config) -> Self {
        self.server = config;
        self
    }

    /// Compression at both ends; they agree on it by [`connect`](Self::connect) only.
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.client.deflate = deflate;
        self.server.deflate = deflate;
        self
    }

    /// How many bytes may be under way each way; who writes more waits until some are read. At least 1.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes.max(1);
        self
    }

    /// What is wrong with both ends' streams.
    pub fn faults(self, faults: Faults) -> Self {
        self.client_faults(faults.clone()).server_faults(faults)
    }

    /// What is wrong with the client's stream.
    pub fn client_faults(mut self, faults: Faults) -> Self {
        self.client_faults = faults;
        self
    }

    /// What is wrong with the server's stream.
    pub fn server_faults(mut self, faults: Faults) -> Self {
        self.server_faults = faults;
        self
    }

    /// The seed of what is wrong with the client's stream.
    pub(super) const fn seed(&self) -> u64 {
        self.client_faults.seed()
    }

    /// The two ends as byte streams: the client's, the server's.
    #[must_use]
    pub fn streams(&self) -> (TestStream, TestStream) {
        let (client, server) = duplex(self.capacity);
        let client = FaultyStream::new(client, self.client_faults.clone());
        (client, FaultyStream::new(server, self.server_faults.clone()))
    }

    /// The two ends without a handshake, and without compression.
    #[must_use]
    pub fn open(&self) -> (WebSocket<TestStream>, WebSocket<TestStream>) {
        let (client, server) = self.streams();
        let client = WebSocket::from_stream(client, Role::Client, &Arc::new(self.client.clone()));
        let server = WebSocket::from_stream(server, Role::Server, &Arc::new(self.server.clone()));
        (client, server)
    }

    /// The two ends behind a real handshake.
    ///
    /// # Panics
    /// When the handshake fails, with the reason: a fault, or a config that makes no sense.
    ///
    /// Cancel safety: dropping the future drops both ends.
    pub async fn connect(&self) -> (WebSocket<TestStream>, WebSocket<TestStream>) {
        let (client, server) = self.streams();
        let (acceptor, connector) =
            (Acceptor::new(self.server.clone()), Connector::new(self.client.clone()));
        let connecting = connector.connect_on("ws://localhost/", client);
        match tokio::join!(connecting, acceptor.accept(server, None)) {
            (Ok(client), Ok((server, _))) => (client, server),
            (Err(error), _) | (_, Err(error)) => panic!("the handshake failed: {error}"),
        }
    }
}
