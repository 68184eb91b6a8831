//! The handshake on a stream that is there.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::handshake::{BodyReader, ClientHandshake, HandshakeError, ResponseReader};
use crate::net::head::read_head;
use crate::net::{ByteStream, WebSocket};
use crate::protocol::Role;
use crate::trace::Trace;

use super::connector::Connector;

/// How much of the body of a refusal is read, in bytes: enough for a text that says why.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// How long the body of a refusal is waited for, within the handshake's time.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

impl Connector {
    pub(super) async fn finish<S: ByteStream>(
        &self,
        handshake: ClientHandshake,
        mut stream: S,
    ) -> Result<WebSocket<S>, Error> {
        let deadline = Instant::now() + self.handshake_timeout;
        let negotiating = self.negotiate(&handshake, &mut stream);
        let negotiated = timeout_at(deadline, negotiating).await;
        let (response, input) = negotiated.unwrap_or(Err(HandshakeError::Timeout.into()))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let deadline = deadline.min(Instant::now() + BODY_TIMEOUT);
            let body = read_body(&mut stream, &response, &input, deadline).await;
            let refused = handshake.finish(&response).map(|_| ());
            // Every other status is refused.
            let error = refused.err().unwrap_or(HandshakeError::ResponseUpgrade);
            return Err(error.with_body(body).into());
        }
        let trace = Trace::client(handshake.host(), handshake.port());
        let negotiated = handshake.finish(&response)?;
        let mut socket = WebSocket::with_input(stream, Role::Client, &self.config, input);
        if let Some(params) = negotiated.deflate() {
            socket = socket.with_deflate(params);
        }
        Ok(socket.with_trace(&trace).with_response(negotiated.response().clone()))
    }

    async fn negotiate<S: ByteStream>(
        &self,
        handshake: &ClientHandshake,
        stream: &mut S,
    ) -> Result<(Response<()>, Vec<u8>), Error> {
        stream.write_all(handshake.request_bytes()).await?;
        stream.flush().await?;
        let mut reader = ResponseReader::new(self.head_limits);
        let input = read_head::<S, Error>(stream, |bytes| reader.receive(bytes)).await?;
        Ok((reader.response()?, input))
    }
}

/// The beginning of the body, as much of it as comes in time and in good order.
async fn read_body<S: ByteStream>(
    stream: &mut S,
    response: &Response<()>,
    input: &[u8],
    deadline: Instant,
) -> Vec<u8> {
    let mut body = BodyReader::new(response.status(), response.headers(), BODY_BYTES_MAX);
    body.receive(input);
    let mut piece = [0; 1024];
    let reading = async {
        while !body.is_done() {
            let mut buf = ReadBuf::new(&mut piece);
            let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buf)).await;
            if read.is_err() || buf.filled().is_empty() {
                return;
            }
            body.receive(buf.filled());
        }
    };
    // What came until then is shown.
    let _ = timeout_at(deadline, reading).await;
    body.into_bytes()
}
