//! wtx. It writes each frame by itself and has no buffer to gather them in.

use std::io;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use versus::deflate::Deflate;
use versus::options::Options;
use versus::room::{Member, Room};
use versus::tokio_server::{self, Service};
use wtx::Error;
use wtx::collection::Vector;
use wtx::rng::Xorshift64;
use wtx::web_socket::compression::{Flate2, NegotiatedCompression, WindowBits};
use wtx::web_socket::{
    DeflateConfig, Frame, OpCode, WebSocketAcceptor, WebSocketOwned, WebSocketPayloadOrigin,
    WebSocketReaderOwned, WebSocketWriterOwned,
};

type Reader = WebSocketReaderOwned<(), Xorshift64, OwnedReadHalf, false>;
type Writer = WebSocketWriterOwned<(), Xorshift64, OwnedWriteHalf, false>;

/// A message of the room.
#[derive(Clone)]
struct Message {
    op_code: OpCode,
    payload: Bytes,
}

fn main() -> io::Result<()> {
    let options = Options::from_env();
    let room = Room::default();
    match Deflate::from_options(&options) {
        None => tokio_server::run(&options, |stream| serve(stream, room.clone())),
        Some(Deflate::NoContext) => tokio_server::run(&options, serve_deflated),
        Some(Deflate::Takeover) => Err(io::Error::other("it keeps no context")),
    }
}

/// Echo alone.
async fn serve_deflated(stream: TcpStream) -> Result<(), Error> {
    let terms = DeflateConfig {
        client_max_window_bits: WindowBits::Fifteen,
        server_max_window_bits: WindowBits::Fifteen,
        ..DeflateConfig::default()
    };
    echo(WebSocketAcceptor::default().compression(Flate2::from(terms)).accept(stream).await?).await
}

async fn serve(stream: TcpStream, room: Room<Message>) -> Result<(), Error> {
    let mut service = Service::Echo;
    let connection = WebSocketAcceptor::default()
        .req(|request: &httparse::Request<'_, '_>| {
            service = Service::of_path(request.path.unwrap_or_default()).unwrap_or(Service::Echo);
            Ok::<_, Error>(())
        })
        .accept(stream)
        .await?;
    if service == Service::Echo {
        return echo(connection).await;
    }
    let parts = connection.into_split(TcpStream::into_split)?;
    let member = room.join();
    tokio::select! {
        result = publish(parts.reader, &member) => result,
        result = deliver(parts.writer, &member) => result,
    }
}

async fn echo<C: NegotiatedCompression>(
    mut connection: WebSocketOwned<C, Xorshift64, TcpStream, false>,
) -> Result<(), Error> {
    let (mut common, mut reader, mut writer) = connection.split_mut();
    let mut buffer = Vector::new();
    loop {
        buffer.clear();
        let origin = WebSocketPayloadOrigin::Adaptive;
        let mut frame = reader.read_frame(&mut buffer, &mut common, origin).await?;
        match frame.op_code() {
            // It has answered the close frame by itself.
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => writer.write_frame(&mut common, &mut frame).await?,
            _ => {}
        }
    }
}

async fn publish(mut reader: Reader, member: &Member<Message>) -> Result<(), Error> {
    let mut buffer = Vector::new();
    loop {
        buffer.clear();
        let origin = WebSocketPayloadOrigin::Adaptive;
        let frame = reader.read_frame(&mut buffer, origin).await?;
        match frame.op_code() {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => member.publish(&Message {
                op_code: frame.op_code(),
                payload: Bytes::copy_from_slice(frame.payload()),
            }),
            _ => {}
        }
    }
}

async fn deliver(mut writer: Writer, member: &Member<Message>) -> Result<(), Error> {
    // Writing takes the payload mutably, to mask it where it is a client that writes.
    let mut payload = Vec::new();
    loop {
        member.queued().await;
        while let Some(message) = member.next() {
            payload.clear();
            payload.extend_from_slice(&message.payload);
            let mut frame = Frame::new_fin(message.op_code, payload.as_mut_slice());
            writer.write_frame(&mut frame).await?;
        }
    }
}
