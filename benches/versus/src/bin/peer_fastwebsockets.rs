//! fastwebsockets. It writes each frame by itself; `--batch` puts a buffer between, which is
//! flushed where there is nothing more to read.

use std::io;
use std::pin::pin;

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, WebSocketWrite,
    after_handshake_split,
};
use tokio::io::{AsyncWrite, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use versus::options::Options;
use versus::polled::at_once;
use versus::room::{Member, Room};
use versus::tokio_server::{self, Service};

const BATCH_BYTES: usize = 16 * 1024;

type Reader = FragmentCollectorRead<OwnedReadHalf>;

/// A message of the room.
#[derive(Clone)]
struct Message {
    opcode: OpCode,
    payload: Bytes,
}

fn main() -> io::Result<()> {
    let options = Options::from_env();
    let is_batched = options.flag("batch");
    let room = Room::default();
    tokio_server::run(&options, |stream| serve(stream, is_batched, room.clone()))
}

async fn serve(
    stream: TcpStream,
    is_batched: bool,
    room: Room<Message>,
) -> Result<(), WebSocketError> {
    let service = tokio_server::upgrade(&stream).await?;
    let (reader, writer) = stream.into_split();
    if service == Service::Echo && !is_batched {
        let (reader, writer) = halves(reader, writer);
        return echo(reader, writer).await;
    }
    let (reader, writer) = halves(reader, BufWriter::with_capacity(BATCH_BYTES, writer));
    if service == Service::Echo {
        return echo(reader, writer).await;
    }
    let member = room.join();
    tokio::select! {
        result = publish(reader, &member) => result,
        result = deliver(writer, &member) => result,
    }
}

fn halves<W: AsyncWrite + Unpin>(read: OwnedReadHalf, write: W) -> (Reader, WebSocketWrite<W>) {
    let (mut reader, writer) = after_handshake_split(read, write, Role::Server);
    reader.set_auto_close(false);
    reader.set_auto_pong(false);
    (FragmentCollectorRead::new(reader), writer)
}

async fn echo<W>(mut reader: Reader, mut writer: WebSocketWrite<W>) -> Result<(), WebSocketError>
where
    W: AsyncWrite + Unpin,
{
    loop {
        let mut unanswered = |_| async { Ok::<_, WebSocketError>(()) };
        let mut read = pin!(reader.read_frame(&mut unanswered));
        let frame = match at_once(read.as_mut()).await {
            Some(frame) => frame?,
            None => {
                writer.flush().await?;
                read.await?
            }
        };
        let is_close = frame.opcode == OpCode::Close;
        let frame = match frame.opcode {
            OpCode::Ping => Frame::pong(frame.payload),
            OpCode::Close => Frame::close_raw(frame.payload),
            OpCode::Pong => continue,
            _ => frame,
        };
        writer.write_frame(frame).await?;
        if is_close {
            return writer.flush().await;
        }
    }
}

/// Queues what a member says. Its close frame ends it without an answer: no load asks for one.
async fn publish(mut reader: Reader, member: &Member<Message>) -> Result<(), WebSocketError> {
    loop {
        let mut unanswered = |_| async { Ok::<_, WebSocketError>(()) };
        let frame = reader.read_frame(&mut unanswered).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => member.publish(&Message {
                opcode: frame.opcode,
                payload: match frame.payload {
                    Payload::Bytes(bytes) => bytes.freeze(),
                    other => Bytes::copy_from_slice(&other),
                },
            }),
            _ => {}
        }
    }
}

async fn deliver<W: AsyncWrite + Unpin>(
    mut writer: WebSocketWrite<W>,
    member: &Member<Message>,
) -> Result<(), WebSocketError> {
    loop {
        member.queued().await;
        while let Some(Message { opcode, payload }) = member.next() {
            let frame = Frame::new(true, opcode, None, Payload::Borrowed(&payload));
            writer.write_frame(frame).await?;
        }
        writer.flush().await?;
    }
}
