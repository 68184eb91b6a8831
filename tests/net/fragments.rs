//! MS-03: long messages leave in fragments, and what may pass between them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::{Frame, Opcode};
use sockeye::outbox::Run;
use sockeye::protocol::{Initiator, Overflow};
use sockeye::{
    Config, Connection, Handler, Message, MessageKind, MessageRef, PreparedMessage, Role, Sender,
    WebSocket,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use crate::support::io::RawPeer;
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::{Mode, narrow_tcp, noise, quiet_with, tcp_pair};

const KIB: usize = 1024;

/// Every way to send a message whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Send,
    Feed,
    FeedRef,
    Sink,
    Prepared,
    HandlerSend,
    HandlerOwned,
    TrySend,
    SenderSend,
    SenderFeed,
    /// Prepared, while another message is on its way.
    SenderPrepared,
    /// Two prepared ones in a row, the first empty.
    SenderRun,
    /// A row of one.
    SenderRunAlone,
}

const WAYS: [Way; 13] = [
    Way::SenderRun,
    Way::SenderRunAlone,
    Way::Send,
    Way::Feed,
    Way::FeedRef,
    Way::Sink,
    Way::Prepared,
    Way::HandlerSend,
    Way::HandlerOwned,
    Way::TrySend,
    Way::SenderSend,
    Way::SenderFeed,
    Way::SenderPrepared,
];

/// Sends its message when it opens.
struct AtOnce(Message, bool);

impl Handler for AtOnce {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        match self.1 {
            true => connection.send_owned(&self.0).unwrap(),
            false => connection.send(self.0.as_data().unwrap()).unwrap(),
        }
    }

    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// Sends it, and drives the connection until it ends.
async fn send_by<S>(way: Way, mut socket: WebSocket<S>, message: Message)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let data = message.as_data().unwrap();
    match way {
        Way::Send => socket.send(message).await.unwrap(),
        Way::Feed => socket.feed(message).unwrap(),
        Way::FeedRef => socket.feed_ref(data).unwrap(),
        Way::Sink => futures_util::SinkExt::send(&mut socket, message).await.unwrap(),
        Way::Prepared => socket.feed_prepared(&PreparedMessage::new(data)).unwrap(),
        Way::HandlerSend | Way::HandlerOwned => {
            return drop(socket.run(AtOnce(message, way == Way::HandlerOwned)).await);
        }
        Way::TrySend
        | Way::SenderSend
        | Way::SenderFeed
        | Way::SenderPrepared
        | Way::SenderRun
        | Way::SenderRunAlone => {
            let (sender, mut receiver) = socket.split();
            match way {
                Way::TrySend => assert!(sender.try_send(message).is_ok()),
                Way::SenderRun | Way::SenderRunAlone => {
                    let mut run = Run::default();
                    if way == Way::SenderRun {
                        run.push(PreparedMessage::new(MessageRef::Binary(&[])));
                    }
                    run.push(PreparedMessage::new(data));
                    sender.try_send_run(&run).unwrap();
                }
                Way::SenderSend => assert!(sender.send(message).await.is_ok()),
                Way::SenderFeed => {
                    sender.feed(data).unwrap();
                    // It leaves with the next flush: this one, or the driver's first.
                    let _ = sender.try_send("behind");
                }
                _ => {
                    let mut first = sender.send_stream(MessageKind::Text).await.unwrap();
                    sender.try_send_prepared(&PreparedMessage::new(data)).unwrap();
                    first.shutdown().await.unwrap();
                }
            }
            let _ = receiver.recv().await;
            return;
        }
    }
    socket.flush().await.unwrap();
    let _ = socket.recv().await;
}

/// The frames of the first data message that has a payload.
async fn frames_of<S: AsyncRead + AsyncWrite + Unpin>(peer: &mut RawPeer<S>) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let frame = within(peer.data()).await.expect("a frame");
        if frames.is_empty() && frame.payload.is_empty() {
            continue;
        }
        let is_last = frame.fin;
        frames.push(frame);
        if is_last {
            return frames;
        }
    }
}

fn assert_frames(frames: &[Frame], payload: &[u8], lens: &[usize], what: &str) {
    let came: Vec<_> = frames.iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(came, lens, "{what}");
    let joined: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.to_vec()).collect();
    assert!(joined == payload, "{what}");
    for (at, frame) in frames.iter().enumerate() {
        let opcode = if at == 0 { Opcode::Binary } else { Opcode::Continuation };
        assert_eq!((frame.opcode, frame.fin), (opcode, at + 1 == frames.len()), "{what}");
        assert!(!frame.rsv1);
    }
    let mut keys: Vec<_> = frames.iter().filter_map(|frame| frame.mask_key).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count, "{what}: each frame has a mask of its own");
}

/// How a message of so many bytes is cut.
fn cut(len: usize, fragment_bytes: Option<usize>) -> Vec<usize> {
    let bytes_max = fragment_bytes.unwrap_or(usize::MAX);
    let mut lens = vec![bytes_max; len.checked_div(bytes_max).unwrap_or(0)];
    lens.extend(Some(len % bytes_max).filter(|rest| *rest > 0));
    lens
}

async fn leaves_in_fragments<S>(ends: (S, S), way: Way, role: Role, mut config: Config, len: usize)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    config.outbox_bytes_max = 4 * 1024 * KIB;
    let fragment_bytes = config.fragment_bytes_max;
    let lens = cut(len, fragment_bytes);
    let what = format!("{way:?}, {role:?}, {fragment_bytes:?}, {len}");
    let socket = WebSocket::from_stream(ends.0, role, &Arc::new(config));
    let mut peer = match role {
        Role::Server => RawPeer::client(ends.1),
        Role::Client => RawPeer::server(ends.1),
    };
    let sending = tokio::spawn(send_by(way, socket, Message::binary(noise(len))));
    assert_frames(&frames_of(&mut peer).await, &noise(len), &lens, &what);
    drop(peer);
    within(sending).await.unwrap();
}

/// MS-03: messages longer than 64 KiB leave in fragments of that, by every way there is, masked each
/// by a client.
#[tokio::test]
async fn long_messages_leave_in_fragments() {
    for way in WAYS {
        for role in [Role::Server, Role::Client] {
            for len in [64 * KIB, 64 * KIB + 1, 200_000] {
                leaves_in_fragments(duplex(70_000), way, role, quiet(), len).await;
                leaves_in_fragments(tcp_pair().await, way, role, quiet(), len).await;
            }
        }
        // More than a kernel takes at once, and more slices than one write has.
        let ends = narrow_tcp().await;
        leaves_in_fragments(ends, way, Role::Server, quiet(), 1_500_000).await;
    }
}

/// MS-03: the length of a fragment is set, from one byte on; `None` cuts nothing.
#[tokio::test]
async fn fragments_have_the_length_that_was_set() {
    for way in WAYS {
        for role in [Role::Server, Role::Client] {
            for (bytes_max, len) in [(Some(1), 70), (Some(1000), 66_000), (None, 300_000)] {
                let config = quiet_with(|config| config.fragment_bytes_max = bytes_max);
                leaves_in_fragments(tcp_pair().await, way, role, config.clone(), len).await;
                leaves_in_fragments(duplex(1000), way, role, config, len).await;
            }
        }
    }
}

/// MS-03, RFC 7692 6.1: of a compressed message the first fragment alone says so.
#[tokio::test]
async fn compressed_fragments_say_so_once() {
    for mode in [Mode::Alone, Mode::Takeover] {
        for way in WAYS {
            say_so_once(duplex(10_000), mode, way).await;
            say_so_once(tcp_pair().await, mode, way).await;
        }
    }
}

async fn say_so_once<S>(ends: (S, S), mode: Mode, way: Way)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = mode.server(ends.0, quiet());
    let sending = tokio::spawn(send_by(way, socket, Message::text(words(150_000))));
    let mut peer = RawPeer::client(ends.1);
    let mut frames = frames_of(&mut peer).await;
    if frames[0].payload.len() == 1 {
        // An empty message, compressed.
        frames = frames_of(&mut peer).await;
    }
    let what = format!("{mode:?}, {way:?}");
    assert!(frames.len() > 1, "{what}");
    assert!(frames[0].rsv1 && frames[1..].iter().all(|frame| !frame.rsv1), "{what}");
    let mut inflater = sockeye::deflate::Inflater::new(15);
    let mut out = Vec::new();
    for frame in &frames {
        assert!(frame.payload.len() <= 64 * KIB, "{what}");
        inflater.push(&frame.payload, &mut out, 1 << 20).unwrap();
    }
    inflater.finish().unwrap();
    assert!(out == words(150_000).as_bytes(), "{what}");
    drop(peer);
    within(sending).await.unwrap();
}

/// Text that shrinks to more than a fragment.
fn words(len: usize) -> String {
    noise(len).into_iter().map(|byte| char::from(b' ' + byte % 90)).collect()
}

/// BY-05, MS-03: a ping passes into the middle of a long message that was fed or prepared as well.
#[tokio::test]
async fn a_ping_passes_into_any_long_message() {
    const LEN: usize = 1_500_000;
    type Send = fn(&Sender, &[u8]);
    let ways: [Send; 3] = [
        |sender, payload| assert!(sender.try_send(payload.to_vec()).is_ok()),
        |sender, payload| assert!(sender.feed(payload).is_ok()),
        |sender, payload| assert!(sender.try_send_prepared(&PreparedMessage::new(payload)).is_ok()),
    ];
    for (way, send) in ways.iter().enumerate() {
        let (stream, peer) = narrow_tcp().await;
        let mut peer = RawPeer::client(peer);
        let config = Arc::new(quiet_with(|config| config.outbox_bytes_max = 2 * LEN));
        let socket = WebSocket::from_stream(stream, Role::Server, &config);
        let (sender, mut receiver) = socket.split();
        send(&sender, &noise(LEN));
        sender.try_send(Message::Ping("ours".into())).unwrap();
        let driver = tokio::spawn(async move { receiver.recv().await.map(drop) });
        let mut bytes = 0;
        loop {
            let frame = within(peer.frame()).await.unwrap();
            if frame.opcode == Opcode::Ping {
                break;
            }
            bytes += frame.payload.len();
        }
        assert!(bytes < LEN / 2, "{way}: a ping after {bytes} bytes");
        driver.abort();
    }
}

/// Sends a long message by a sender; the peer pings when it has seen some of it. Which frame has the
/// pong, and of how many.
async fn pong_among<S>(ends: (S, S)) -> (usize, usize)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = WebSocket::from_stream(ends.0, Role::Server, &Arc::new(quiet()));
    let mut peer = RawPeer::client(ends.1);
    let (sender, mut receiver) = socket.split();
    sender.send(vec![7; 4 * 1024 * 1024]).await.unwrap();
    let mut frames = vec![within(peer.frame()).await.unwrap()];
    peer.send(Frame::ping("there?")).await;
    while !frames.iter().any(|frame| frame.fin && frame.opcode == Opcode::Continuation) {
        frames.push(within(peer.frame()).await.unwrap());
    }
    let at = frames.iter().position(|frame| frame.opcode == Opcode::Pong);
    drop(peer);
    assert!(within(receiver.recv()).await.is_err());
    (at.unwrap_or(usize::MAX), frames.len())
}

/// MS-03, CN-12: a ping that comes while a long message fills the socket is answered before its last
/// fragment. A server's own handler does not read while its output is blocked: it answers when the
/// kernel has the whole message.
#[tokio::test]
async fn ping_is_answered_between_fragments() {
    let (at, count) = pong_among(duplex(1000)).await;
    assert!(at < count, "frame {at} of {count}");
    let (at, count) = pong_among(narrow_tcp().await).await;
    assert!(at < count, "frame {at} of {count} over TCP");
}

/// MS-03, BY-07: so does our ping, whatever fills the socket.
#[tokio::test(start_paused = true)]
async fn keepalive_passes_between_fragments() {
    let (stream, peer) = duplex(1000);
    let config = quiet_with(|config| config.ping_interval = Some(Duration::from_secs(5)));
    let (sender, _receiver) = Mode::Plain.server(stream, config).split();
    sender.send(vec![7; 1024 * 1024]).await.unwrap();
    let mut peer = RawPeer::client(peer);
    let (mut pings, mut is_last) = (0, false);
    while !is_last {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let frame = within(peer.frame()).await.unwrap();
        pings += usize::from(frame.opcode == Opcode::Ping);
        is_last = frame.fin && frame.opcode == Opcode::Continuation;
        if frame.opcode == Opcode::Ping {
            peer.send(Frame::pong(frame.payload)).await;
        }
    }
    assert!(pings >= 1, "{pings} pings in 16 seconds");
}

/// MS-03, CN-14: a close that is asked for waits for the end of a long message.
#[tokio::test]
async fn close_waits_for_the_message() {
    let (stream, peer) = duplex(1000);
    let (sender, _receiver) = Mode::Plain.server(stream, quiet()).split();
    sender.send(noise(300_000)).await.unwrap();
    sender.close(4000, "").unwrap();
    let mut peer = RawPeer::client(peer);
    let frames = frames_of(&mut peer).await;
    assert_frames(&frames, &noise(300_000), &cut(300_000, Some(64 * KIB)), "before the close");
    assert_eq!(within(peer.close_code()).await, Some(4000));
}

/// MS-03, CN-03: so does a close message that is sent or fed behind a long one.
#[tokio::test]
async fn close_message_waits_for_the_message() {
    for is_tcp in [false, true] {
        for is_fed in [false, true] {
            if is_tcp {
                close_behind(narrow_tcp().await, is_fed).await;
            } else {
                close_behind(duplex(1000), is_fed).await;
            }
        }
    }
}

async fn close_behind<S>(ends: (S, S), is_fed: bool)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut socket = WebSocket::from_stream(ends.0, Role::Server, &Arc::new(quiet()));
    let mut peer = RawPeer::client(ends.1);
    let len = 8 * 1024 * 1024;
    let sending = tokio::spawn(async move {
        socket.feed("first").unwrap();
        socket.feed(noise(len)).unwrap();
        socket.feed("last").unwrap();
        if is_fed {
            socket.feed(Message::Close(None)).unwrap();
            socket.flush().await.unwrap();
        } else {
            socket.send(Message::Close(None)).await.unwrap();
        }
        assert!(socket.send("late").await.is_err());
        let _ = socket.recv().await;
    });
    assert_eq!(within(peer.frame()).await, Some(Frame::text("first")));
    let frames = frames_of(&mut peer).await;
    assert_frames(&frames, &noise(len), &cut(len, Some(64 * KIB)), "before the close");
    assert_eq!(within(peer.frame()).await, Some(Frame::text("last")));
    assert!(within(peer.close_code()).await.is_some());
    drop(peer);
    within(sending).await.unwrap();
}

/// MS-03, CN-14: the peer's close is answered between two fragments; the rest is not sent.
#[tokio::test]
async fn close_of_the_peer_is_answered_between_fragments() {
    let (stream, peer) = duplex(1000);
    let (sender, _receiver) = Mode::Plain.server(stream, quiet()).split();
    sender.send(noise(1_000_000)).await.unwrap();
    let mut peer = RawPeer::client(peer);
    assert!(!within(peer.frame()).await.unwrap().fin);
    peer.send(Frame::close(4001, "").unwrap()).await;
    let mut after = 0;
    loop {
        let frame = within(peer.frame()).await.expect("a close frame");
        if frame.opcode == Opcode::Close {
            break;
        }
        assert!(!frame.fin, "the message was not given up");
        after += 1;
    }
    assert!(after <= 4, "{after} fragments");
    assert_eq!(within(peer.frame()).await, None);
}

/// Answers, and then sends a long message past its own answer.
struct AnswerAndLong;

impl Handler for AnswerAndLong {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        connection.send(message).unwrap();
        connection.sender().try_send(noise(4_000_000)).unwrap();
    }
}

/// MS-03, row 44: an answer that may not leave any more, for a message is given up before it, does not
/// take the close frame behind it along.
#[tokio::test]
async fn violation_is_told_in_the_middle_of_a_message() {
    let (stream, peer) = narrow_tcp().await;
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(quiet()));
    let mut peer = RawPeer::client(peer);
    // Both in one read.
    let mut bytes = Frame::text("answer me").masked([1, 2, 3, 4]).encode();
    bytes.extend([0x83, 0x80, 0, 0, 0, 0]);
    peer.write(&bytes).await;
    let running = tokio::spawn(socket.run(AnswerAndLong));
    loop {
        let frame = within(peer.frame()).await.expect("a close frame");
        if frame.opcode == Opcode::Close {
            assert_eq!(frame.payload[..2], 1002u16.to_be_bytes());
            break;
        }
        assert!(!frame.fin, "{:?} of {} bytes", frame.opcode, frame.payload.len());
    }
    drop(peer);
    assert_eq!(within(running).await.unwrap().code.as_u16(), 1002);
}

/// Says who sent what: the sender's number, the message's, and its length as filling.
fn numbered(task: usize, number: usize) -> Message {
    let len = [3, 100, 70_000, 5, 140_000, 20_000][(task + number) % 6];
    Message::text(format!("{task} {number} {}", "x".repeat(len)))
}

async fn send_numbered(sender: Sender, task: usize, count: usize) {
    for number in 0..count {
        let message = numbered(task, number);
        match (task + 3 * number) % 4 {
            0 => {
                let mut writer = sender.send_stream(MessageKind::Text).await.unwrap();
                for piece in message.as_bytes().chunks(30_011) {
                    writer.write_all(piece).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            }
            1 => {
                let prepared = PreparedMessage::new(message.as_data().unwrap());
                while sender.try_send_prepared(&prepared).is_err() {
                    tokio::task::yield_now().await;
                }
            }
            // What is fed leaves with the next send, so the last is none.
            2 if number + 1 < count => {
                while sender.feed(message.as_data().unwrap()).is_err() {
                    tokio::task::yield_now().await;
                }
            }
            _ => assert!(sender.send(message).await.is_ok()),
        }
    }
}

/// Sends back what comes.
struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        connection.send(message).unwrap();
    }
}

/// MS-03, A53, BY-02: 64 tasks send long and short messages over one slow connection, whole and piece by
/// piece, while its handler sends back what comes: each message comes once, whole, in its sender's order.
async fn all_messages_are_whole<S>(ends: (S, S), mode: Mode)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    const TASKS: usize = 64;
    const COUNT: usize = 6;
    let config = quiet_with(|config| {
        config.overflow = Overflow::Block { timeout: Duration::from_secs(600) };
        config.write_timeout = Duration::from_secs(600);
    });
    let server = mode.server(ends.0, config.clone());
    let sender = server.sender();
    let driving = tokio::spawn(server.run(Echo));
    for task in 1..=TASKS {
        tokio::spawn(send_numbered(sender.clone(), task, COUNT));
    }
    // What is sent back has number 0.
    let (client, mut receiver) = mode.client(ends.1, config).split();
    let asking = tokio::spawn(async move { send_numbered(client, 0, 5 * COUNT).await });
    let mut seen: HashMap<usize, usize> = HashMap::new();
    for _ in 0..(TASKS + 5) * COUNT {
        let message = receiver.recv().await.unwrap().expect("a message");
        let mut words = message.as_text().unwrap().split(' ').map(str::parse::<usize>);
        let task = words.next().unwrap().unwrap();
        let number = seen.entry(task).or_default();
        assert_eq!(words.next().unwrap(), Ok(*number), "{task} in order");
        assert!(message == numbered(task, *number), "{task} {number} is whole");
        *number += 1;
    }
    asking.await.unwrap();
    let outcome = receiver.close(1000, "").await.unwrap();
    assert!(outcome.clean && outcome.initiator == Initiator::Local);
    driving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_of_many_senders_stay_whole() {
    for mode in crate::support::streams::MODES {
        let long = Duration::from_secs(100);
        let over_duplex = all_messages_are_whole(duplex(4096), mode);
        tokio::time::timeout(long, over_duplex).await.expect("it gets on over a duplex");
        let over_tcp = all_messages_are_whole(tcp_pair().await, mode);
        tokio::time::timeout(long, over_tcp).await.expect("it gets on over TCP");
    }
}

/// What a peer writes until nobody reads it any more, in bytes.
async fn written_until_held(mut stream: DuplexStream, message: &[u8]) -> usize {
    let mut written = 0;
    // Sixty-four times what an outbox holds.
    while written < 64 * 1024 * 1024 {
        let writing = stream.write_all(message);
        if tokio::time::timeout(Duration::from_secs(2), writing).await.is_err() {
            break;
        }
        written += message.len();
    }
    written
}

/// BY-02, BY-11: answers that wait behind a message that is being written hold the peer back.
#[tokio::test(start_paused = true)]
async fn answers_behind_an_open_message_are_bounded() {
    let (stream, peer) = duplex(64 * KIB);
    let socket = Mode::Plain.server(stream, quiet());
    let sender = socket.sender();
    tokio::spawn(socket.run(Echo));
    let mut writer = sender.send_stream(MessageKind::Binary).await.unwrap();
    writer.write_all(b"begun").await.unwrap();
    writer.flush().await.unwrap();
    let question = RawPeer::client(duplex(1).0).encode(Frame::binary(vec![0; 32 * KIB]));
    let written = written_until_held(peer, &question).await;
    assert!(written < 4 * 1024 * KIB, "{written} bytes were read, {:?} wait", sender.queued());
}

/// BY-02, BY-11: the same for a client, which reads on while it cannot write, behind a long answer.
#[tokio::test(start_paused = true)]
async fn answers_behind_a_long_message_are_bounded() {
    let (stream, peer) = duplex(64 * KIB);
    let config = quiet_with(|config| config.write_timeout = Duration::from_secs(3600));
    let socket = WebSocket::from_stream(stream, Role::Client, &Arc::new(config));
    let sender = socket.sender();
    tokio::spawn(socket.run(Echo));
    sender.send(vec![0; 512 * KIB]).await.unwrap();
    let question = Frame::binary(vec![0; 32 * KIB]).encode();
    let written = written_until_held(peer, &question).await;
    assert!(written < 4 * 1024 * KIB, "{written} bytes were read, {:?} wait", sender.queued());
}
