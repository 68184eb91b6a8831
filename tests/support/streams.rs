//! Messages as bytes on the wire, compressed and cut as a test wants them, and sockets that read them
//! in reads of any length.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};

use sockeye::deflate::{DeflateParams, Deflater};
use sockeye::frame::{Frame, Opcode};
use sockeye::testing::{Faults, FaultyStream, Pieces};
use sockeye::{Config, Connection, Deflate, Handler, MessageRef, Role, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::pair::{fragment, quiet};
use super::server::within;

/// How messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    Alone,
    Takeover,
}

pub(crate) const MODES: [Mode; 3] = [Mode::Plain, Mode::Alone, Mode::Takeover];

impl Mode {
    /// The settings of an end that wants it, for messages of any length.
    pub(crate) fn deflate(self) -> Deflate {
        let deflate = match self {
            Self::Plain => return Deflate::disabled(),
            Self::Alone => Deflate::no_context(),
            Self::Takeover => Deflate::context_takeover(),
        };
        deflate.threshold(0).unwrap()
    }

    fn params(self) -> Option<DeflateParams> {
        let is_alone = self == Self::Alone;
        (self != Self::Plain).then_some(DeflateParams {
            own_no_context: is_alone,
            peer_no_context: is_alone,
            own_window_bits: 15,
            peer_window_bits: 15,
        })
    }

    /// A server on a stream, as if this had been agreed on.
    pub(crate) fn server<S>(self, stream: S, config: Config) -> WebSocket<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.end(stream, Role::Server, config)
    }

    /// The same for a client.
    pub(crate) fn client<S>(self, stream: S, config: Config) -> WebSocket<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.end(stream, Role::Client, config)
    }

    fn end<S>(self, stream: S, role: Role, mut config: Config) -> WebSocket<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        config.deflate = self.deflate();
        let socket = WebSocket::from_stream(stream, role, &Arc::new(config));
        match self.params() {
            Some(params) => socket.with_deflate(&params),
            None => socket,
        }
    }
}

/// Moves so few bytes in a read and in a write, and is pending before each of its operations, once.
pub(crate) fn choppy<S>(stream: S, read_bytes: usize, write_bytes: usize) -> FaultyStream<S> {
    let faults = Faults::new(0).reads(Pieces::Of(read_bytes)).writes(Pieces::Of(write_bytes));
    FaultyStream::new(stream, faults.stalls(1000))
}

/// What an honest client writes.
#[derive(Debug)]
pub(crate) struct Author {
    mode: Mode,
    deflater: Deflater,
}

impl Author {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, deflater: Deflater::new(6, 15) }
    }

    /// The payload as it is on the wire.
    pub(crate) fn payload(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.mode == Mode::Plain {
            return payload.to_vec();
        }
        if self.mode == Mode::Alone {
            self.deflater.reset();
        }
        let mut out = Vec::new();
        self.deflater.finish(payload, &mut out);
        out
    }

    /// The frames of a message, in fragments that end at `cuts` of what is on the wire, each counted
    /// modulo its length.
    pub(crate) fn frames(&mut self, opcode: Opcode, payload: &[u8], cuts: &[usize]) -> Vec<Frame> {
        let payload = self.payload(payload);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
        ends.sort_unstable();
        let (mut start, mut next, mut frames) = (0, opcode, Vec::new());
        for end in ends {
            frames.push(fragment(next, &payload[start..end]));
            (start, next) = (end, Opcode::Continuation);
        }
        frames.push(Frame::new(next, payload[start..].to_vec()));
        frames[0].rsv1 = self.mode != Mode::Plain;
        frames
    }
}

/// As a client writes them.
pub(crate) fn masked(frames: &[Frame]) -> Vec<u8> {
    let encode = |frame: &Frame| frame.clone().masked([0xa5, 0x3c, 0x5a, 0x99]).encode();
    frames.iter().flat_map(encode).collect()
}

/// A stream that gives what it was told to in just these reads, each of them pending once, and then
/// ends. What is written to it is kept.
#[derive(Debug)]
pub(crate) struct Reads {
    reads: VecDeque<Vec<u8>>,
    was_pending: bool,
    pub(crate) written: Arc<Mutex<Vec<u8>>>,
}

impl Reads {
    /// Cut at these places.
    pub(crate) fn new(bytes: &[u8], cuts: &[usize]) -> Self {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let (mut start, mut reads) = (0, VecDeque::new());
        for end in ends {
            reads.push_back(bytes[start..end].to_vec());
            start = end;
        }
        reads.retain(|read| !read.is_empty());
        Self { reads, was_pending: false, written: Arc::default() }
    }

    /// So many bytes a read.
    pub(crate) fn by(bytes: &[u8], len: usize) -> Self {
        let reads = bytes.chunks(len).map(<[u8]>::to_vec).collect();
        Self { reads, was_pending: false, written: Arc::default() }
    }
}

impl AsyncRead for Reads {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.was_pending = !self.was_pending;
        if self.was_pending {
            cx.waker().wake_by_ref();
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
        self.written.lock().unwrap().extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Drives a future for so many polls, then drops it: `None`.
pub(crate) async fn polls<F: Future>(future: F, count: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = count;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// More polls than any future in a test takes.
const POLLS_MAX: usize = 100_000;

/// Runs a round for every number of polls until one says that nothing was dropped in it: with `least` or more.
pub(crate) async fn every_poll(least: usize, mut round: impl AsyncFnMut(usize) -> bool) {
    for count in 0..POLLS_MAX {
        if !within(round(count)).await {
            assert!(count >= least, "{count} polls are enough");
            return;
        }
    }
    panic!("it never comes to its end");
}

/// Bytes that neither repeat soon nor compress well.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A test's config, with one thing changed.
pub(crate) fn quiet_with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = quiet();
    change(&mut config);
    config
}

/// A TCP connection whose kernel buffers are small.
pub(crate) async fn narrow_tcp() -> (TcpStream, TcpStream) {
    let narrow = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(8 * 1024).unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        socket
    };
    let listening = narrow();
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listening.listen(1).unwrap();
    let connecting = narrow().connect(listener.local_addr().unwrap());
    let (ours, accepted) = tokio::join!(connecting, listener.accept());
    (ours.unwrap(), accepted.unwrap().0)
}

/// Two ends of a connection on this machine.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// Takes what comes and says nothing.
pub(crate) struct Ignore;

impl Handler for Ignore {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// Counts how often it was woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
