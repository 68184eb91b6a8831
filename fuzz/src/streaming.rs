//! Messages to a connection, compressed or not, in fragments and cut reads, taken by every face that
//! takes one: whole, piece by piece, half, or by a future that is dropped.
//!
//! Oracles: what is taken whole is what was sent, what is taken in part its beginning, and no message is
//! missing; every ping is answered. Behind them any bytes may follow: then it ends.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use sockeye::deflate::{DeflateParams, Deflater};
use sockeye::frame::{Frame, Opcode};
use sockeye::{Config, Message, MessageKind, MessageReader, Role, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::source::{Source, pieces};
use super::wire::assert_lawful;

/// More would only repeat.
const MESSAGES_MAX: usize = 8;

/// No future here takes more.
const POLLS_MAX: usize = 1_000_000;

/// A byte of role, compression, and rubbish and how it is taken, a byte of cuts; then messages, and how each is taken.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let (choice, seed) = (source.byte(), source.byte());
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let mut author = Author::new(role, choice);
    let (mut sent, mut takes) = (Vec::new(), Vec::new());
    while !source.is_empty() && sent.len() < MESSAGES_MAX {
        takes.push((source.byte(), source.byte()));
        sent.push(author.write(&mut source));
    }
    if choice & 0x80 != 0 {
        author.bytes.extend_from_slice(source.rest());
    }
    let stream = Reads::new(&author.bytes, seed);
    let written = stream.written.clone();
    let mut config = Config::default();
    config.pings_per_second_max = u32::MAX;
    // None of these is too long; what follows may be.
    config.message_bytes_max =
        sent.iter().map(|(_, payload)| payload.len()).max().unwrap_or_default();
    let mut socket = WebSocket::from_stream(stream, role, &Arc::new(config));
    if let Some(params) = author.params {
        socket = socket.with_deflate(&params);
    }
    for (message, (way, how)) in sent.iter().zip(takes) {
        take(&mut socket, way, how.into(), message);
    }
    // What follows is nothing, or rubbish.
    while choice & 0x40 != 0 && stream_one(&mut socket) || recv_one(&mut socket) {
        assert!(choice & 0x80 != 0, "nobody has sent it");
    }
    drop(socket);
    let frames = assert_lawful(&written.lock().expect("whole"), role);
    let pongs = frames.iter().filter(|frame| frame.payload == "between").count();
    assert!(pongs >= author.pings, "{pongs} pongs for {} pings", author.pings);
}

/// A message as it was sent.
type Sent = (MessageKind, Vec<u8>);

/// The peer.
struct Author {
    role: Role,
    params: Option<DeflateParams>,
    deflater: Deflater,
    bytes: Vec<u8>,
    pings: usize,
}

impl Author {
    fn new(role: Role, choice: u8) -> Self {
        let (is_plain, is_alone) = (choice & 2 == 0, choice & 4 != 0);
        let bits = 9 + (choice >> 3 & 7).min(6);
        let params = DeflateParams {
            own_no_context: is_alone,
            peer_no_context: is_alone,
            own_window_bits: bits,
            peer_window_bits: bits,
        };
        Self {
            role,
            params: (!is_plain).then_some(params),
            deflater: Deflater::new(5, bits),
            bytes: Vec::new(),
            pings: 0,
        }
    }

    /// A byte of kind and fragments, one of length, one of repetition, then the payload.
    fn write(&mut self, source: &mut Source<'_>) -> Sent {
        let (shape, len, times) = (source.byte(), source.byte(), source.byte());
        let payload = source.take((len % 64).into()).repeat(1 + usize::from(times).pow(2) / 32);
        let text = std::str::from_utf8(&payload).is_ok() && shape & 1 == 0;
        let kind = if text { MessageKind::Text } else { MessageKind::Binary };
        let mut on_wire = payload.clone();
        let is_compressed = shape & 2 == 0 && self.params.is_some();
        if let Some(params) = self.params.filter(|_| is_compressed) {
            if params.peer_no_context {
                self.deflater.reset();
            }
            on_wire.clear();
            self.deflater.finish(&payload, &mut on_wire);
        }
        let mut parts = pieces(&on_wire, shape >> 3);
        // Of a long one only the beginning is in fragments.
        let cut = parts.iter().take(40).map(|part| part.len()).sum::<usize>();
        parts.truncate(40);
        parts.push(&on_wire[cut..]);
        let count = parts.len();
        for (at, part) in parts.into_iter().enumerate() {
            let opcode = if at == 0 { kind.opcode() } else { Opcode::Continuation };
            let mut frame = Frame::new(opcode, part.to_vec());
            (frame.fin, frame.rsv1) = (at + 1 == count, is_compressed && at == 0);
            self.push(frame);
            if shape & 4 != 0 {
                self.pings += 1;
                self.push(Frame::ping("between"));
            }
        }
        (kind, payload)
    }

    fn push(&mut self, frame: Frame) {
        let frame = match self.role {
            Role::Server => frame.masked([self.bytes.len() as u8, 7, 0, 0xa5]),
            Role::Client => frame,
        };
        self.bytes.extend(frame.encode());
    }
}

fn take(socket: &mut WebSocket<Reads>, way: u8, how: usize, sent: &Sent) {
    match way % 7 {
        0 => assert_whole(finish(socket.recv()).expect("lawful"), sent),
        1 => {
            let message = finish(socket.recv_ref()).expect("lawful").expect("a message");
            assert_whole(Some(message.to_message()), sent);
        }
        2 => match polls(socket.recv(), how) {
            Some(received) => assert_whole(received.expect("lawful"), sent),
            None => read(socket, usize::MAX, how + 1, sent),
        },
        3 => {
            if let Some(reader) = polls(socket.recv_stream(), how) {
                return read_from(reader.expect("lawful"), usize::MAX, 9, sent);
            }
            assert_whole(finish(socket.recv()).expect("lawful"), sent);
        }
        4 => read(socket, how, 1 + how / 2, sent),
        5 => read(socket, how * 128, 4096, sent),
        _ => read(socket, usize::MAX, 1 + how * 16, sent),
    }
}

fn assert_whole(message: Option<Message>, (kind, payload): &Sent) {
    let message = message.expect("a message");
    assert_eq!(message.as_text().is_some(), *kind == MessageKind::Text);
    assert_eq!(message.as_bytes(), payload);
}

fn read(socket: &mut WebSocket<Reads>, len_max: usize, by: usize, sent: &Sent) {
    read_from(finish(socket.recv_stream()).expect("lawful"), len_max, by, sent);
}

/// Reads up to `len_max` bytes, `by` at a time; then the reader is dropped.
fn read_from(
    reader: Option<MessageReader<'_, Reads>>,
    len_max: usize,
    by: usize,
    (kind, payload): &Sent,
) {
    let mut reader = reader.expect("a message");
    assert_eq!(reader.kind(), *kind);
    let (mut came, mut part) = (Vec::new(), vec![0; by]);
    while came.len() < len_max {
        let mut buf = ReadBuf::new(&mut part);
        let reading = std::future::poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut buf));
        finish(reading).expect("lawful");
        if buf.filled().is_empty() {
            assert_eq!(&came, payload);
            return;
        }
        came.extend_from_slice(buf.filled());
    }
    assert!(payload.starts_with(&came), "another beginning");
}

/// Whether there is a message more.
fn recv_one(socket: &mut WebSocket<Reads>) -> bool {
    matches!(finish(socket.recv()), Ok(Some(_)))
}

fn stream_one(socket: &mut WebSocket<Reads>) -> bool {
    let Ok(Some(mut reader)) = finish(socket.recv_stream()) else { return false };
    loop {
        let mut part = [0; 64];
        let mut buf = ReadBuf::new(&mut part);
        let reading = std::future::poll_fn(|cx| Pin::new(&mut reader).poll_read(cx, &mut buf));
        if finish(reading).is_err() || buf.filled().is_empty() {
            return true;
        }
    }
}

/// Polls a future to its end: nothing here waits for anything but the next poll.
fn finish<F: Future>(future: F) -> F::Output {
    polls(future, POLLS_MAX).expect("it comes to its end")
}

fn polls<F: Future>(future: F, count: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..count).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Gives just these reads, each pending once, and then ends.
#[derive(Debug)]
struct Reads {
    reads: VecDeque<Vec<u8>>,
    was_pending: bool,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Reads {
    fn new(bytes: &[u8], seed: u8) -> Self {
        // Byte by byte a long stream would take too long.
        let pieces_each = 1 + bytes.len() / 2048;
        let pieces = pieces(bytes, seed);
        let reads = pieces.chunks(pieces_each).map(<[&[u8]]>::concat).collect();
        Self { reads, was_pending: false, written: Arc::default() }
    }
}

impl AsyncRead for Reads {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.was_pending = !self.was_pending;
        if self.was_pending {
            return Poll::Pending;
        }
        if let Some(mut read) = self.reads.pop_front() {
            let rest = read.split_off(read.len().min(buf.remaining()));
            buf.put_slice(&read);
            if !rest.is_empty() {
                self.reads.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Reads {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.lock().expect("whole").extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
