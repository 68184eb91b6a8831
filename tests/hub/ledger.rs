//! Where each message that an outbox took has ended, to the message: on a pipe and on a socket to which
//! senders write themselves, whatever was sent, however much the peer reads, and however it ends.

#![cfg(all(feature = "hub", unix))]

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use socket2::SockRef;
use sockeye::frame::{Frame, FrameHeader};
use sockeye::hub::metrics::{DropPolicy, Snapshot};
use sockeye::hub::{Handlers, Hub, PeerConnection, Profile};
use sockeye::outbox::{Run, Sent};
use sockeye::protocol::{GapNotice, Overflow};
use sockeye::{CloseOutcome, Message, MessageKind, MessageRef, PreparedMessage, SendError, Sender};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::support::server::within;
use crate::support::streams::{MODES, Mode, quiet_with};

const POLICIES: [Overflow; 4] = [
    Overflow::Block { timeout: Duration::ZERO },
    Overflow::DropNewest,
    Overflow::DropOldest,
    Overflow::Close,
];

#[derive(Clone, Debug)]
enum Op {
    Send(usize),
    Prepared(usize),
    Feed(usize),
    Latest(u64, usize),
    Run(Vec<usize>),
    /// Piece by piece, to its end or given up.
    Stream(Vec<usize>, bool),
    /// The peer sends messages, and the handler sends them back.
    Answer(Vec<usize>),
    /// The peer reads so many bytes.
    Read(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection is dropped in the middle of things.
    Drop,
    /// It closes after what waits.
    Close,
    /// The peer goes without a word.
    PeerGone,
}

#[derive(Clone, Debug)]
struct Case {
    policy: Overflow,
    has_notice: bool,
    mode: Mode,
    is_socket: bool,
    ops: Vec<Op>,
    end: End,
}

fn len() -> impl Strategy<Value = usize> {
    // With the longest that is one fragment.
    let long = prop_oneof![60_000..140_000_usize, Just(65_536)];
    prop_oneof![0..200_usize, 0..200_usize, 15_000..18_000_usize, long]
}

fn case() -> impl Strategy<Value = Case> {
    let op = prop_oneof![
        3 => len().prop_map(Op::Send),
        1 => len().prop_map(Op::Prepared),
        1 => len().prop_map(Op::Feed),
        3 => (0..2_u64, len()).prop_map(|(key, len)| Op::Latest(key, len)),
        2 => prop::collection::vec(len(), 0..6).prop_map(Op::Run),
        1 => (prop::collection::vec(len(), 0..4), any::<bool>())
            .prop_map(|(pieces, ends)| Op::Stream(pieces, ends)),
        3 => prop::collection::vec(len(), 1..4).prop_map(Op::Answer),
        3 => prop_oneof![0..300_usize, 1000..100_000_usize].prop_map(Op::Read),
    ];
    let end = prop_oneof![Just(End::Drop), Just(End::Close), Just(End::PeerGone)];
    (
        prop::sample::select(&POLICIES),
        any::<bool>(),
        prop::sample::select(&MODES),
        any::<bool>(),
        prop::collection::vec(op, 0..24),
        end,
    )
        .prop_map(|(policy, has_notice, mode, is_socket, ops, end)| Case {
            policy,
            has_notice,
            mode,
            is_socket,
            ops,
            end,
        })
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A peer that reads when it is told to, and never waits.
struct Peer {
    stream: Box<dyn Stream>,
    to_say: VecDeque<u8>,
    heard: Vec<u8>,
}

impl Peer {
    fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), to_say: VecDeque::new(), heard: Vec::new() }
    }

    fn say(&mut self, len: usize) {
        self.to_say.extend(Frame::binary(vec![b'x'; len]).masked([1, 2, 3, 4]).encode());
    }

    /// What was to be said, as far as it goes.
    fn flush(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.to_say.is_empty() {
            let (bytes, _) = self.to_say.as_slices();
            match Pin::new(&mut self.stream).poll_write(&mut cx, bytes) {
                Poll::Ready(Ok(written)) => drop(self.to_say.drain(..written)),
                _ => return,
            }
        }
    }

    /// Reads up to so many bytes; false: there are none now, or never again.
    fn read(&mut self, len: usize) -> bool {
        let mut block = vec![0; len];
        let mut buf = ReadBuf::new(&mut block);
        let mut cx = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut self.stream).poll_read(&mut cx, &mut buf);
        self.heard.extend_from_slice(buf.filled());
        matches!(polled, Poll::Ready(Ok(()))) && !buf.filled().is_empty()
    }

    /// Messages that came to their last byte.
    fn messages(&self) -> u64 {
        let (mut rest, mut messages) = (&self.heard[..], 0);
        while let Ok(Some((header, header_len))) = FrameHeader::parse(rest) {
            let len = header_len + usize::try_from(header.payload_len).unwrap();
            if rest.len() < len {
                break;
            }
            rest = &rest[len..];
            messages += u64::from(header.fin && !header.opcode.is_control());
        }
        messages
    }
}

/// Messages in the numbers: `Ok` when each has one.
fn check(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let thrown_out = snapshot.dropped[&DropPolicy::DropOldest];
    let lost = snapshot.dropped[&DropPolicy::Ended];
    let queued = snapshot.gauges.queued_messages;
    let ended = snapshot.messages_delivered + thrown_out + lost + queued;
    prop_assert_eq!(snapshot.messages_sent, ended, "{:?}", snapshot);
    Ok(())
}

/// A way to a handler that sends back what comes, and whoever is at its other end.
struct Site {
    hub: Hub,
    sender: Sender,
    peer: Peer,
    driver: JoinHandle<CloseOutcome>,
    has_notice: bool,
}

impl Site {
    fn new(case: &Case) -> Self {
        let config = quiet_with(|config| {
            config.overflow = case.policy;
            config.outbox_messages_max = 4;
            config.outbox_bytes_max = 100_000;
            let notice = || GapNotice::new(|missed| Message::text(format!("missed {missed}")));
            config.gap_notice = case.has_notice.then(notice);
        });
        let hub = Hub::builder().config(config).build().unwrap();
        if case.is_socket {
            let (ours, theirs) = UnixStream::pair().unwrap();
            SockRef::from(&ours).set_send_buffer_size(16 * 1024).unwrap();
            Self::on(case, hub, ours, Peer::new(theirs))
        } else {
            let (ours, theirs) = duplex(4 * 1024);
            Self::on(case, hub, ours, Peer::new(theirs))
        }
    }

    fn on(case: &Case, hub: Hub, stream: impl Stream + 'static, peer: Peer) -> Self {
        let socket = case.mode.server(stream, (**hub.config()).clone());
        let sender = socket.sender();
        let registration = hub.register(&sender, Profile::new()).unwrap();
        let handler = Handlers::new().on_message(answer).handler(registration);
        let driver = tokio::spawn(socket.run(handler));
        Self { hub, sender, peer, driver, has_notice: case.has_notice }
    }

    /// Lets the connection do what it can.
    async fn settle(&mut self) {
        for _ in 0..4 {
            self.peer.flush();
            tokio::task::yield_now().await;
        }
    }

    async fn perform(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let payload = |len: usize| vec![b'x'; len];
        let prepared = |len: &usize| PreparedMessage::new(MessageRef::Binary(&payload(*len)));
        let before = self.hub.metrics();
        let (given, result) = match op {
            Op::Send(len) => (1, self.sender.try_send(Message::binary(payload(*len)))),
            Op::Prepared(len) => (1, self.sender.try_send_prepared(&prepared(len))),
            Op::Feed(len) => (1, self.sender.feed(&payload(*len)[..])),
            Op::Latest(key, len) => {
                (1, self.sender.try_send_latest(*key, Message::binary(payload(*len))))
            }
            Op::Run(lens) => {
                let mut run = Run::default();
                lens.iter().for_each(|len| run.push(prepared(len)));
                (lens.len(), self.sender.try_send_run(&run))
            }
            Op::Stream(pieces, ends) => {
                self.stream(pieces, *ends).await;
                return Ok(());
            }
            Op::Answer(lens) => {
                lens.iter().for_each(|len| self.peer.say(*len));
                return Ok(());
            }
            Op::Read(len) => {
                self.peer.read(*len);
                return Ok(());
            }
        };
        if self.has_notice {
            // Notices leave at the same time.
            return Ok(());
        }
        let since = self.hub.metrics().since(&before);
        let refused = since.dropped[&DropPolicy::DropNewest];
        let expected = match result {
            Ok(Sent::Replaced) | Err(SendError::Closed) => (0, 0),
            Ok(Sent::Partly { refused, .. }) => (given - refused, refused),
            Ok(_) => (given, 0),
            Err(_) if refused > 0 => (0, given),
            // Given back, or the connection was closed for it.
            Err(_) => return Ok(()),
        };
        prop_assert_eq!((since.messages_sent as usize, refused as usize), expected, "{:?}", op);
        Ok(())
    }

    async fn stream(&mut self, pieces: &[usize], ends: bool) {
        let sender = self.sender.clone();
        let opening = sender.send_stream(MessageKind::Binary);
        let Some(Ok(mut writer)) = self.patiently(opening).await else { return };
        for len in pieces {
            let piece = vec![b'x'; *len];
            let writing = async {
                writer.write_all(&piece).await?;
                writer.flush().await
            };
            if self.patiently(writing).await.is_none() {
                return;
            }
        }
        if ends {
            let _ = self.patiently(writer.shutdown()).await;
        }
    }

    /// What becomes of it while the peer reads a little.
    async fn patiently<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        for _ in 0..4 {
            let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(output) = polled {
                return Some(output);
            }
            self.peer.read(100_000);
            self.settle().await;
        }
        None
    }

    /// The numbers at the end.
    async fn end(mut self, end: End) -> Result<(), TestCaseError> {
        match end {
            End::Drop => self.driver.abort(),
            End::Close => {
                self.sender.close(1000, "").unwrap();
                self.peer.to_say.extend(Frame::close(1000, "").unwrap().masked([9; 4]).encode());
            }
            End::PeerGone => self.peer.stream = Box::new(tokio::io::empty()),
        }
        while !self.driver.is_finished() {
            self.peer.read(100_000);
            self.settle().await;
        }
        while self.peer.read(100_000) {
            self.settle().await;
        }
        let snapshot = self.hub.metrics();
        check(&snapshot)?;
        prop_assert_eq!(snapshot.gauges.queued_messages, 0);
        if end != End::PeerGone {
            prop_assert_eq!(snapshot.messages_delivered, self.peer.messages());
        }
        let lost = snapshot.dropped.values().sum::<u64>();
        prop_assert_eq!(self.sender.dropped(), lost, "the sender's own number");
        Ok(())
    }
}

/// By the length of the message: each way in which a handler can send.
fn answer(peer: &mut PeerConnection<'_, '_>, message: MessageRef<'_>) {
    let connection = peer.connection();
    let _ = match message.as_bytes().len() % 8 {
        0..4 => connection.send(message),
        4 => connection.send_owned(&message.to_message()),
        5 => connection.send_prepared(&PreparedMessage::new(message)),
        others => {
            // Between what is encoded and its flush others have their say.
            let _ = connection.send(message);
            for _ in 5..others {
                let _ = connection.sender().try_send(Message::binary(vec![b'y'; 90_000]));
            }
            Ok(())
        }
    };
}

/// MT-01, MT-05, BY-05, BY-26, CN-05, A49.
fn each_message_ends_in_one_number(case: &Case) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(within(async {
        let mut site = Site::new(case);
        for op in &case.ops {
            site.perform(op).await?;
            check(&site.hub.metrics())?;
            site.settle().await;
            check(&site.hub.metrics())?;
        }
        site.end(case.end).await
    }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// MT-01, MT-05, BY-05, BY-26, CN-05, A49: at any rest, and after any end, messages sent = delivered
    /// + thrown out + lost with the connection + queued; and delivered is what the peer can read.
    #[test]
    fn any_life_adds_up(case in case()) {
        each_message_ends_in_one_number(&case)?;
    }
}

/// The same for what is rare: an answer that an overload in its own turn makes impossible, and one whose
/// only fragment is on its way at the end.
#[test]
fn rare_lives_add_up() {
    for (policy, answers) in [(Overflow::Close, vec![7]), (Overflow::DropNewest, vec![65_536])] {
        for end in [End::Drop, End::Close, End::PeerGone] {
            let (has_notice, mode, is_socket) = (false, Mode::Plain, true);
            let ops = vec![Op::Answer(answers.clone())];
            let case = Case { policy, has_notice, mode, is_socket, ops, end };
            each_message_ends_in_one_number(&case).unwrap();
        }
    }
}
