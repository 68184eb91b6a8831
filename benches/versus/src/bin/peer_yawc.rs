//! yawc, checking utf-8 as the others do.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::net::TcpStream;
use versus::batched;
use versus::deflate::Deflate;
use versus::frame::PAYLOAD_BYTES_MAX;
use versus::options::Options;
use versus::room::Room;
use versus::tokio_server;
use yawc::frame::{Frame, OpCode};
use yawc::{DeflateOptions, Result, Role, WebSocket, WebSocketError};

const FLUSH_BYTES: usize = 64 * 1024;

/// The connection as a stream that names its errors, as those of the other peers do.
struct Connection(WebSocket<TcpStream>);

fn main() -> io::Result<()> {
    let options = Options::from_env();
    let deflate = Deflate::from_options(&options);
    let room = Room::default();
    tokio_server::run(&options, |stream| serve(stream, deflate, room.clone()))
}

async fn serve(stream: TcpStream, deflate: Option<Deflate>, room: Room<Frame>) -> Result<()> {
    let extension = deflate.map(Deflate::extension);
    let service = tokio_server::upgrade_with(&stream, extension).await?;
    let mut options = yawc::Options::default()
        .with_utf8()
        .with_limits(PAYLOAD_BYTES_MAX + 1, 2 * PAYLOAD_BYTES_MAX)
        .with_backpressure_boundary(FLUSH_BYTES);
    // Its terms are in the header; the level is its default.
    options.compression = deflate.map(|_| DeflateOptions::default());
    let role = Role::Server;
    let socket = WebSocket::from_stream_with_extensions(stream, role, extension, options)?;
    let connection = Connection(socket);
    let is_data = |frame: &Frame| matches!(frame.opcode(), OpCode::Text | OpCode::Binary);
    batched::serve(connection, service, &room, is_data).await
}

impl Stream for Connection {
    type Item = Result<Frame>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_frame(cx).map(Some)
    }
}

impl Sink<Frame> for Connection {
    type Error = WebSocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<()> {
        Pin::new(&mut self.0).start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
