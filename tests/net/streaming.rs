//! MS-06: one incoming message, read as it comes.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use sockeye::frame::{Frame, Opcode, Violation};
use sockeye::{
    Connection, Error, Handler, Message, MessageKind, MessageReader, MessageRef, State, WebSocket,
};
use tokio::io::{AsyncReadExt, duplex};

use crate::support::io::RawPeer;
use crate::support::pair::{fragment, last, quiet};
use crate::support::server::within;
use sockeye::testing::Pair;

use crate::support::streams::{Author, MODES, Mode, Reads, masked, noise, polls, quiet_with};

/// How the application takes the next message.
#[derive(Clone, Copy, Debug)]
enum Take {
    Recv,
    RecvRef,
    /// To its end, so many bytes a read.
    Reader(usize),
    Chunks,
    /// So many bytes, and no more.
    Part(usize),
    Unread,
    /// A `recv_stream` that is dropped after so many polls, then a `recv`.
    RecvAfterStream(usize),
    /// The other way round.
    StreamAfterRecv(usize),
}

/// What came of a message, and whether that is all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Taken {
    kind: MessageKind,
    bytes: Vec<u8>,
    is_whole: bool,
}

impl Taken {
    fn whole(message: MessageRef<'_>) -> Self {
        let is_text = message.as_text().is_some();
        let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
        Self { kind, bytes: message.as_bytes().to_vec(), is_whole: true }
    }

    fn of(message: Option<Message>) -> Option<Self> {
        message.map(|message| Self::whole(message.as_data().expect("data")))
    }
}

type Socket = WebSocket<Reads>;

async fn read_by(mut reader: MessageReader<'_, Reads>, len: usize) -> Result<Taken, Error> {
    let (kind, mut bytes, mut part) = (reader.kind(), Vec::new(), vec![0; len]);
    assert_eq!(reader.opcode(), kind.opcode());
    loop {
        let read = reader.read(&mut part).await?;
        if read == 0 {
            assert_eq!(reader.read(&mut part).await?, 0, "the end stays the end");
            return Ok(Taken { kind, bytes, is_whole: true });
        }
        bytes.extend_from_slice(&part[..read]);
    }
}

async fn take(socket: &mut Socket, take: Take) -> Result<Option<Taken>, Error> {
    match take {
        Take::Recv => return Ok(Taken::of(socket.recv().await?)),
        Take::RecvRef => return Ok(socket.recv_ref().await?.map(Taken::whole)),
        Take::RecvAfterStream(count) => match polls(socket.recv_stream(), count).await {
            Some(reader) => return take_all(reader?, 9).await,
            None => return Ok(Taken::of(socket.recv().await?)),
        },
        Take::StreamAfterRecv(count) => {
            if let Some(received) = polls(socket.recv(), count).await {
                return Ok(Taken::of(received?));
            }
        }
        _ => {}
    }
    let Some(mut reader) = socket.recv_stream().await? else { return Ok(None) };
    let (kind, mut bytes) = (reader.kind(), Vec::new());
    match take {
        Take::Reader(len) => return take_all(Some(reader), len).await,
        Take::Chunks => {
            while let Some(chunk) = reader.chunk().await? {
                assert!(!chunk.is_empty(), "a chunk without a byte");
                bytes.extend_from_slice(chunk);
            }
            return Ok(Some(Taken { kind, bytes, is_whole: true }));
        }
        Take::Part(len) => {
            (&mut reader).take(len as u64).read_to_end(&mut bytes).await?;
        }
        Take::Unread => {}
        _ => return take_all(Some(reader), 33).await,
    }
    Ok(Some(Taken { kind, bytes, is_whole: false }))
}

async fn take_all(
    reader: Option<MessageReader<'_, Reads>>,
    len: usize,
) -> Result<Option<Taken>, Error> {
    match reader {
        Some(reader) => read_by(reader, len).await.map(Some),
        None => Ok(None),
    }
}

/// Keeps what comes.
#[derive(Default)]
struct Keep(Arc<Mutex<Vec<Taken>>>);

impl Handler for Keep {
    fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
        self.0.lock().unwrap().push(Taken::whole(message));
    }
}

/// Who takes the rest.
#[derive(Clone, Copy, Debug)]
enum Rest {
    Recv,
    Run,
    Split,
}

async fn take_rest(mut socket: Socket, rest: Rest) -> Vec<Taken> {
    let mut all = Vec::new();
    match rest {
        Rest::Recv => {
            while let Ok(Some(message)) = socket.recv().await {
                all.extend(Taken::of(Some(message)));
            }
        }
        Rest::Run => {
            let handler = Keep::default();
            let kept = handler.0.clone();
            socket.run(handler).await;
            all.append(&mut kept.lock().unwrap());
        }
        Rest::Split => {
            let (_, mut receiver) = socket.split();
            while let Ok(Some(message)) = receiver.recv().await {
                all.extend(Taken::of(Some(message)));
            }
        }
    }
    all
}

/// Each message is what was sent, whole or its beginning, and none is missing.
async fn check(stream: Reads, mode: Mode, takes: &[Take], rest: Rest, sent: &[Taken]) {
    let mut socket = mode.server(stream, quiet());
    for (at, how) in takes.iter().enumerate().take(sent.len()) {
        let taken = take(&mut socket, *how).await.unwrap().expect("a message");
        assert_eq!(taken.kind, sent[at].kind, "{mode:?}: message {at} by {how:?}");
        if taken.is_whole {
            assert_eq!(taken.bytes, sent[at].bytes, "{mode:?}: message {at} by {how:?}");
        } else {
            assert!(sent[at].bytes.starts_with(&taken.bytes), "{mode:?}: message {at} by {how:?}");
            let Take::Part(len) = how else { continue };
            assert_eq!(taken.bytes.len(), sent[at].bytes.len().min(*len));
        }
    }
    let first = takes.len().min(sent.len());
    assert_eq!(take_rest(socket, rest).await, sent[first..], "{mode:?}: the rest by {rest:?}");
}

fn on_paused_time<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(within(future))
}

/// Messages of every shape, whole and in fragments, with pings between.
fn sample(mode: Mode) -> (Vec<Taken>, Vec<u8>) {
    let text = |text: &str| (MessageKind::Text, text.as_bytes().to_vec());
    let binary = |bytes: Vec<u8>| (MessageKind::Binary, bytes);
    let shapes = [
        (text("one"), vec![]),
        (text(""), vec![]),
        (binary(vec![]), vec![0, 0]),
        // Every character is cut by some fragment.
        (text(&"é🐟".repeat(3)), (0..18).collect()),
        (binary(noise(130)), vec![0, 0, 64, 64]),
        (text("last"), vec![2]),
    ];
    let mut author = Author::new(mode);
    let (mut sent, mut frames) = (Vec::new(), Vec::new());
    for ((kind, bytes), cuts) in shapes {
        for frame in author.frames(kind.opcode(), &bytes, &cuts) {
            frames.extend([frame, Frame::ping("?")]);
        }
        sent.push(Taken { kind, bytes, is_whole: true });
    }
    (sent, masked(&frames))
}

/// MS-06: cut once at every byte, and at all of them, however it is read.
#[test]
fn any_cut_gives_the_same() {
    let ways = [
        Take::Reader(1),
        Take::Reader(7),
        Take::Reader(4096),
        Take::Chunks,
        Take::Part(2),
        Take::Unread,
        Take::StreamAfterRecv(3),
    ];
    for mode in MODES {
        let (sent, bytes) = sample(mode);
        for (number, way) in ways.into_iter().enumerate() {
            let takes = vec![way; sent.len() - number % 2];
            for cut in 0..bytes.len() {
                let stream = Reads::new(&bytes, &[cut]);
                on_paused_time(check(stream, mode, &takes, Rest::Recv, &sent));
            }
            on_paused_time(check(Reads::by(&bytes, 1), mode, &takes, Rest::Run, &sent));
        }
    }
}

fn takes() -> impl Strategy<Value = Take> {
    prop_oneof![
        Just(Take::Recv),
        Just(Take::RecvRef),
        (1..70_000_usize).prop_map(Take::Reader),
        (1..20_usize).prop_map(Take::Reader),
        Just(Take::Chunks),
        (0..40_000_usize).prop_map(Take::Part),
        (0..20_usize).prop_map(Take::Part),
        Just(Take::Unread),
        (0..12_usize).prop_map(Take::RecvAfterStream),
        (0..12_usize).prop_map(Take::StreamAfterRecv),
    ]
}

fn payloads() -> impl Strategy<Value = (MessageKind, Vec<u8>)> {
    prop_oneof![
        "[a-cé🐟]{0,60}".prop_map(|text| (MessageKind::Text, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (MessageKind::Binary, bytes)),
        // Inflates to several pieces, to just one, and to what lies between.
        (0..5_usize, 0..3_usize).prop_map(|(times, more)| {
            (MessageKind::Text, "abcdefgh".repeat(times * 2048 + more).into_bytes())
        }),
        (1..200_000_usize).prop_map(|len| (MessageKind::Binary, vec![7; len])),
        (1..100_000_usize).prop_map(|len| (MessageKind::Binary, noise(len))),
    ]
}

type Sent = ((MessageKind, Vec<u8>), Vec<usize>, bool);

fn messages() -> impl Strategy<Value = Vec<Sent>> {
    let cuts = prop::collection::vec(any::<usize>(), 0..6);
    prop::collection::vec((payloads(), cuts, any::<bool>()), 1..7)
}

fn written(mode: Mode, messages: &[Sent]) -> (Vec<Taken>, Vec<u8>) {
    let mut author = Author::new(mode);
    let (mut sent, mut frames) = (Vec::new(), Vec::new());
    for ((kind, bytes), cuts, has_pings) in messages {
        for frame in author.frames(kind.opcode(), bytes, cuts) {
            frames.push(frame);
            frames.extend(has_pings.then(|| Frame::ping("between")));
        }
        sent.push(Taken { kind: *kind, bytes: bytes.clone(), is_whole: true });
    }
    (sent, masked(&frames))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// MS-06, BY-03, A51: whatever is read, half read, left or dropped, the next message is the next.
    #[test]
    fn every_way_of_reading_gives_what_was_sent(
        mode in prop::sample::select(&MODES[..]),
        messages in messages(),
        takes in prop::collection::vec(takes(), 0..7),
        rest in prop::sample::select(&[Rest::Recv, Rest::Run, Rest::Split][..]),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let (sent, bytes) = written(mode, &messages);
        on_paused_time(check(Reads::new(&bytes, &cuts), mode, &takes, rest, &sent));
    }
}

/// MS-06: what two ends of this crate have agreed on, both ways.
#[tokio::test(start_paused = true)]
async fn agreed_compression_is_read_as_it_comes() {
    for mode in MODES {
        let (mut client, mut server) = Pair::new()
            .config(quiet())
            .deflate(mode.deflate())
            .capacity(4 * 1024 * 1024)
            .connect()
            .await;
        for round in 0..8_usize {
            let payload = format!("round {round} ").repeat(20_000);
            client.send(payload.clone()).await.unwrap();
            server.send(payload.clone()).await.unwrap();
            for socket in [&mut server, &mut client] {
                let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
                assert_eq!((reader.kind(), reader.opcode()), (MessageKind::Text, Opcode::Text));
                let mut text = String::new();
                if round % 3 == 1 {
                    reader.read_exact(&mut [0; 100]).await.unwrap();
                } else {
                    reader.read_to_string(&mut text).await.unwrap();
                    assert!(text == payload, "{mode:?}, round {round}");
                }
            }
        }
        let (closed, received) = tokio::join!(client.close(1000, ""), server.recv_stream());
        assert!(received.unwrap().is_none() && closed.unwrap().clean);
    }
}

/// MS-06, CN-12: a ping between two fragments is answered while the reader waits for the next.
#[tokio::test(start_paused = true)]
async fn pings_between_fragments_are_answered() {
    for mode in MODES {
        let (stream, peer) = duplex(64 * 1024);
        let mut socket = mode.server(stream, quiet());
        let mut peer = RawPeer::client(peer);
        let frames = Author::new(mode).frames(Opcode::Binary, &noise(3000), &[1000, 2000]);
        let reading = tokio::spawn(async move {
            let mut reader = socket.recv_stream().await.unwrap().unwrap();
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.unwrap();
            bytes
        });
        for frame in frames {
            assert!(!reading.is_finished());
            let is_last = frame.fin;
            peer.send(frame).await;
            if !is_last {
                peer.send(Frame::ping("there?")).await;
                assert_eq!(within(peer.frame()).await, Some(Frame::pong("there?")));
            }
        }
        assert_eq!(within(reading).await.unwrap(), noise(3000), "{mode:?}");
    }
}

/// The error of a reader at the end of its patience, and the close code the peer sees.
async fn fails(mode: Mode, change: fn(&mut sockeye::Config), frames: &[Frame]) -> (Violation, u16) {
    let stream = Reads::by(&masked(frames), 1000);
    let written = stream.written.clone();
    let mut socket = mode.server(stream, quiet_with(change));
    let error = match within(socket.recv_stream()).await {
        Err(Error::Violation(violation)) => violation,
        Err(error) => panic!("{error}"),
        Ok(reader) => {
            let error = reader.unwrap().read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
            match error.downcast::<Error>().unwrap() {
                Error::Violation(violation) => violation,
                error => panic!("{error}"),
            }
        }
    };
    assert!(within(socket.recv()).await.unwrap().is_none(), "the error comes once");
    assert_eq!(socket.state(), State::Closed);
    let written = written.lock().unwrap().clone();
    let (close, len) = Frame::decode(&written).unwrap().unwrap();
    assert_eq!((close.opcode, len), (Opcode::Close, written.len()), "one close frame");
    (error, u16::from_be_bytes(*close.payload.first_chunk().unwrap()))
}

/// MS-06, A52: text that is not utf-8 fails with 1007, wherever the wrong byte lies, and at the end
/// when a character is not whole.
#[tokio::test(start_paused = true)]
async fn invalid_text_is_refused() {
    for mode in MODES {
        for (wrong, cuts) in [
            (&b"\xff"[..], vec![]),
            (b"fine\xc3(", vec![5]),
            (b"\xed\xa0\x80", vec![1, 2]),
            (b"cut \xf0\x9f\x90", vec![4, 6]),
        ] {
            let mut text = vec![b'x'; 3000];
            text.extend_from_slice(wrong);
            for text in [&text[..], wrong] {
                let frames = Author::new(mode).frames(Opcode::Text, text, &cuts);
                let failed = fails(mode, |_| {}, &frames).await;
                assert_eq!(failed, (Violation::InvalidUtf8, 1007), "{mode:?}: {wrong:?}");
            }
        }
    }
}

/// BY-09, A52: the limit on a message holds while it is read, on the wire and behind the inflater.
#[tokio::test(start_paused = true)]
async fn message_limit_holds_while_reading() {
    let limit: fn(&mut sockeye::Config) = |config| config.message_bytes_max = 50_000;
    for mode in MODES {
        for cuts in [vec![], vec![100, 10_000, 20_000]] {
            for payload in [noise(50_001), vec![0; 50_001], vec![0; 4 * 1024 * 1024]] {
                let frames = Author::new(mode).frames(Opcode::Binary, &payload, &cuts);
                let (violation, code) = fails(mode, limit, &frames).await;
                assert!(matches!(violation, Violation::MessageTooBig { bytes_max: 50_000, .. }));
                assert_eq!(code, 1009);
            }
            let frames = Author::new(mode).frames(Opcode::Binary, &noise(50_000), &cuts);
            let mut socket = mode.server(Reads::by(&masked(&frames), 999), quiet_with(limit));
            let mut bytes = Vec::new();
            let mut reader = socket.recv_stream().await.unwrap().unwrap();
            reader.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes.len(), 50_000, "{mode:?}");
        }
    }
}

/// MS-06: damaged compressed data fails the reader.
#[tokio::test(start_paused = true)]
async fn damaged_compression_is_refused() {
    let mut frames = Author::new(Mode::Takeover).frames(Opcode::Binary, &noise(500), &[100]);
    frames[1].payload = vec![0xff; 300].into();
    let (violation, _) = fails(Mode::Takeover, |_| {}, &frames).await;
    assert_eq!(violation, Violation::InvalidDeflate);
}

/// BY-10, A52: a peer that stalls inside a message runs into its timeout.
#[tokio::test(start_paused = true)]
async fn stalled_message_times_out() {
    for mode in MODES {
        let (stream, peer) = duplex(64 * 1024);
        let config = quiet_with(|config| config.message_timeout = Duration::from_secs(5));
        let mut socket = mode.server(stream, config);
        let mut peer = RawPeer::client(peer);
        let frames = Author::new(mode).frames(Opcode::Binary, &noise(900), &[500]);
        peer.send(frames[0].clone()).await;
        let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
        let error = within(reader.read_to_end(&mut Vec::new())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(within(peer.close_code()).await, Some(1008), "{mode:?}");
    }
}

/// BY-10: while the application does not read, the clock of the message stands still.
#[tokio::test(start_paused = true)]
async fn slow_application_is_not_the_peers_fault() {
    for mode in MODES {
        let (stream, peer) = duplex(1024);
        let config = quiet_with(|config| {
            config.message_timeout = Duration::from_secs(5);
            config.idle_timeout = Some(Duration::from_secs(20));
        });
        let mut socket = mode.server(stream, config);
        let frames = Author::new(mode).frames(Opcode::Binary, &noise(40_000), &[500, 20_000]);
        let writing = tokio::spawn(async move {
            let mut peer = RawPeer::client(peer);
            peer.write(&masked(&frames)).await;
            peer
        });
        let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.chunk().await.unwrap() {
            bytes.extend_from_slice(chunk);
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(bytes, noise(40_000), "{mode:?}");
        drop(writing.await.unwrap());
    }
}

/// A51: a connection that is lost inside a message is no end of the message.
#[tokio::test(start_paused = true)]
async fn lost_connection_is_an_unexpected_end() {
    for mode in MODES {
        let frames = Author::new(mode).frames(Opcode::Binary, &noise(2000), &[500]);
        let bytes = masked(&frames);
        for len in [510, 1000, bytes.len() - 1] {
            let mut socket = mode.server(Reads::by(&bytes[..len], 300), quiet());
            let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
            let mut read = Vec::new();
            let error = within(reader.read_to_end(&mut read)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{mode:?}, {len}: {error}");
            assert!(noise(2000).starts_with(&read));
            let again = within(reader.read(&mut [0; 9])).await.unwrap_err();
            assert_eq!(again.kind(), ErrorKind::UnexpectedEof);
            assert!(within(socket.recv()).await.unwrap().is_none());
        }
    }
}

/// A51: nor is a close in the middle, which is clean else.
#[tokio::test(start_paused = true)]
async fn close_inside_a_message_is_an_unexpected_end() {
    let frames = [fragment(Opcode::Text, b"half"), Frame::close(1000, "").unwrap(), last(b"!")];
    let mut socket = Mode::Plain.server(Reads::by(&masked(&frames), 5), quiet());
    let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
    let error = within(reader.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(socket.outcome().unwrap().clean);
}

/// MS-06, BY-10: a message that came whole and whose reader was dropped is over for the next face, too:
/// it does not run into the message's timeout while the peer is silent.
#[tokio::test(start_paused = true)]
async fn dropped_reader_leaves_nothing_to_wait_for() {
    // Around 16 KiB all compressed bytes are taken before all has come out of them.
    for len in [16_384, 16_385, 16_500, 16_600, 17_000, 300_000] {
        for mode in MODES {
            for rest in [Rest::Run, Rest::Split, Rest::Recv] {
                let (stream, peer) = duplex(1024 * 1024);
                let config = quiet_with(|config| config.message_timeout = Duration::from_secs(5));
                let mut socket = mode.server(stream, config);
                let mut peer = RawPeer::client(peer);
                let frames = Author::new(mode).frames(Opcode::Text, &vec![b'x'; len], &[]);
                peer.write(&masked(&frames)).await;
                within(socket.recv_stream()).await.unwrap().expect("a message");
                let taking = tokio::spawn(answer_next(socket, rest));
                tokio::time::sleep(Duration::from_secs(12)).await;
                peer.send(Frame::text("next")).await;
                let answer = within(peer.data()).await;
                assert_eq!(answer, Some(Frame::text("next")), "{len}, {mode:?}, {rest:?}");
                drop(peer);
                within(taking).await.unwrap();
            }
        }
    }
}

/// MS-06, BY-08: after a message was read as it comes, the next face has its deadlines again.
#[tokio::test(start_paused = true)]
async fn deadlines_go_on_after_a_reader() {
    for rest in [Rest::Run, Rest::Split, Rest::Recv] {
        let (stream, peer) = duplex(64 * 1024);
        let config = quiet_with(|config| config.idle_timeout = Some(Duration::from_secs(15)));
        let mut socket = Mode::Plain.server(stream, config);
        let mut peer = RawPeer::client(peer);
        peer.write(&masked(&[fragment(Opcode::Text, b"o"), last(b"ne")])).await;
        let mut reader = within(socket.recv_stream()).await.unwrap().unwrap();
        reader.read_to_end(&mut Vec::new()).await.unwrap();
        let taking = tokio::spawn(answer_next(socket, rest));
        assert_eq!(within(peer.close_code()).await, Some(1001), "{rest:?}");
        drop(peer);
        within(taking).await.unwrap();
    }
}

/// Sends back what comes.
struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        assert!(message.as_bytes().len() < 100, "of a message that nobody wanted");
        let _ = connection.send(message);
    }
}

async fn answer_next(mut socket: WebSocket<tokio::io::DuplexStream>, rest: Rest) {
    match rest {
        Rest::Recv => {
            while let Ok(Some(message)) = socket.recv().await {
                socket.send(message).await.unwrap();
            }
        }
        Rest::Run => drop(socket.run(Echo).await),
        Rest::Split => {
            let (sender, mut receiver) = socket.split();
            while let Ok(Some(message)) = receiver.recv().await {
                sender.send(message).await.unwrap();
            }
        }
    }
}
