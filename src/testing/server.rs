//! A server without a port.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::handshake::{HeadLimits, HeadReader, encode_response};
use crate::net::{Acceptor, AttachedServer, Door, NetStream, Request, WebSocket};

use super::client::TestClient;
use super::opening::Opening;
use super::pair::TestStream;

/// A server in memory: handshakes are real, and beneath them are no sockets, so everything works with tokio's clock paused.
/// Dropping it ends its connections.
///
/// `O` is who owns the connections: a server that was made [here](TestServer::new), the `Running` application of
/// `TestServer::app`, or nobody, where somebody else keeps what the [door](TestServer::at) belongs to.
pub struct TestServer<O = AttachedServer> {
    pub(super) door: Door,
    pub(super) owner: O,
}

impl TestServer {
    /// A server that judges by this acceptor and runs this on each connection.
    pub fn new<F, Fut>(acceptor: Acceptor, on_socket: F) -> Self
    where
        F: Fn(WebSocket<NetStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let owner = AttachedServer::new(acceptor, on_socket);
        Self { door: owner.door(), owner }
    }

    /// Takes nobody in any more, closes every connection with 1001 and waits for their ends, for the close timeout and a
    /// second at most.
    pub async fn stop(self) {
        self.owner.stop().await;
    }
}

impl TestServer<()> {
    /// Whatever is behind this door.
    #[must_use]
    pub const fn at(door: Door) -> Self {
        Self { door, owner: () }
    }
}

impl<O> TestServer<O> {
    /// A handshake for this target, path and query, that can be changed before it is made.
    pub fn open(&self, target: &str) -> Opening {
        Opening::new(self.door.clone(), target)
    }

    /// A client that was let in.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn connect(&self, target: &str) -> impl Future<Output = TestClient<TestStream>> {
        self.open(target).connect()
    }

    /// What a plain `GET` is answered: a page, or a refusal. Status 426: there is a WebSocket.
    ///
    /// # Panics
    /// For a target that is none.
    pub async fn get(&self, target: &str) -> Response<Bytes> {
        self.get_with(target, HeaderMap::new()).await
    }

    /// The same with headers, beside `Host`.
    ///
    /// # Panics
    /// For a target that is none.
    pub async fn get_with(&self, target: &str, headers: HeaderMap) -> Response<Bytes> {
        let request = http::Request::builder().method(Method::GET).uri(target);
        let mut request = request.header(http::header::HOST, "localhost").body(());
        if let Ok(request) = &mut request {
            request.headers_mut().extend(headers);
        }
        let request = request.unwrap_or_else(|error| panic!("{target}: {error}"));
        match self.door.upgrade(&request, None).await {
            Err(answer) => answer,
            Ok(upgrading) => upgrading.response().map(|()| Bytes::new()),
        }
    }
}

/// Plays the HTTP server that brings one request to a door.
pub(super) async fn serve(door: Door, mut stream: TestStream, peer: Option<SocketAddr>) {
    let Some(request) = read_request(&mut stream).await else { return };
    let upgrading = match door.upgrade(&request, peer).await {
        Ok(upgrading) => upgrading,
        Err(answer) => {
            // Whoever asked may have gone.
            let _ = stream.write_all(&encoded(&answer)).await;
            return;
        }
    };
    let head = encoded(&upgrading.response().map(|()| Bytes::new()));
    let answered = async move {
        stream.write_all(&head).await?;
        Ok::<_, std::io::Error>(NetStream::boxed(stream))
    };
    let _ = door.serve(upgrading, answered);
}

/// `None`: what came is no request.
async fn read_request(stream: &mut TestStream) -> Option<http::Request<()>> {
    let mut reader = HeadReader::new(HeadLimits::default());
    loop {
        // Byte by byte, so that nothing behind the head is taken.
        let byte = stream.read_u8().await.ok()?;
        if reader.receive(&[byte]).ok()?.is_some() {
            return reader.request().ok();
        }
    }
}

fn encoded(response: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_response(response, &mut bytes);
    bytes
}

impl<O> fmt::Debug for TestServer<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("door", &self.door).finish_non_exhaustive()
    }
}
