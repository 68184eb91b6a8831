//! BY-11: bytes over binary messages, both ways at once, with ends of their own.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::{Frame, Opcode};
use sockeye::net::{BinaryStream, ByteStream};
use sockeye::protocol::CloseCause;
use sockeye::{Acceptor, CloseCode, Config, Connector, Deflate, Role, WebSocket};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex,
    split,
};
use tokio::net::{TcpListener, TcpStream};

use crate::support::io::RawPeer;
use crate::support::pair::{ROLES, fragment, last, quiet};
use crate::support::server::within;
use crate::support::streams::choppy;

const MIB: usize = 1024 * 1024;

/// Bytes that repeat themselves from run to run; every other KiB can be compressed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let is_dull = bytes.len() / 1024 % 2 == 0;
        bytes.extend(if is_dull { *b"sockeye " } else { state.to_be_bytes() });
    }
    bytes.truncate(len);
    bytes
}

/// A client and a server on a pair of streams, after a handshake.
async fn on<S: ByteStream>(a: S, b: S, config: &Config) -> (BinaryStream<S>, BinaryStream<S>) {
    let (connector, acceptor) = (Connector::new(config.clone()), Acceptor::new(config.clone()));
    let connecting = connector.connect_on("ws://localhost/", a);
    let (client, server) =
        within(async { tokio::join!(connecting, acceptor.accept(b, None)) }).await;
    (client.unwrap().into_byte_stream(), server.unwrap().0.into_byte_stream())
}

async fn in_memory(config: &Config) -> (BinaryStream<DuplexStream>, BinaryStream<DuplexStream>) {
    let (a, b) = duplex(64 * 1024);
    on(a, b, config).await
}

async fn over_tcp(config: &Config) -> (BinaryStream<TcpStream>, BinaryStream<TcpStream>) {
    let (a, b) = tcp().await;
    on(a, b, config).await
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (a, b) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (a.unwrap(), b.unwrap().0)
}

fn configs() -> [Config; 3] {
    [Deflate::disabled(), Deflate::no_context(), Deflate::context_takeover()].map(|deflate| {
        let mut config = quiet();
        config.deflate = deflate;
        config
    })
}

/// Several MiB; fewer where a compressor without optimisation is in the way.
fn much(config: &Config) -> usize {
    if config.deflate.is_enabled() { MIB } else { 4 * MIB }
}

/// A stream of this role, and its peer by hand.
fn against_raw(role: Role, config: Config) -> (BinaryStream<DuplexStream>, RawPeer<DuplexStream>) {
    let (a, b) = duplex(4 * MIB);
    raw_on(role, config, a, b)
}

fn raw_on<S: ByteStream>(role: Role, config: Config, a: S, b: S) -> (BinaryStream<S>, RawPeer<S>) {
    let peer = if role == Role::Server { RawPeer::client(b) } else { RawPeer::server(b) };
    (WebSocket::from_stream(a, role, &Arc::new(config)).into_byte_stream(), peer)
}

/// Writes in pieces of many lengths, nothing and more than a message among them, then shuts down.
async fn write_all(mut to: impl AsyncWrite + Unpin, bytes: &[u8]) {
    let lens = [1, 700, 0, 16_000, 65_536, 3, 65_535, 200_000];
    let mut rest = bytes;
    for (count, len) in lens.into_iter().cycle().enumerate() {
        let (piece, left) = rest.split_at(len.min(rest.len()));
        to.write_all(piece).await.unwrap();
        if count % 5 == 0 {
            to.flush().await.unwrap();
        }
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    to.shutdown().await.unwrap();
}

async fn read_all(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Both halves of a stream, each in a task of its own: sends one, gives what came.
async fn in_two_tasks<S: ByteStream>(stream: BinaryStream<S>, bytes: Vec<u8>) -> Vec<u8> {
    let (reader, writer) = split(stream);
    let writing = tokio::spawn(async move { write_all(writer, &bytes).await });
    let reading = tokio::spawn(read_all(reader));
    writing.await.unwrap();
    reading.await.unwrap()
}

/// Different bytes go both ways at the same time, each way in two tasks.
async fn both_ways<S: ByteStream>(
    (client, server): (BinaryStream<S>, BinaryStream<S>),
    len: usize,
) {
    let (up, down) = (noise(1, len), noise(2, len + 12_345));
    let ends = async {
        tokio::join!(in_two_tasks(client, up.clone()), in_two_tasks(server, down.clone()))
    };
    let (came_down, came_up) = within(ends).await;
    assert!(came_down == down, "{} of {} bytes came down", came_down.len(), down.len());
    assert!(came_up == up, "{} of {} bytes came up", came_up.len(), up.len());
}

/// BY-11: several MiB both ways at once are what was sent, in memory and compressed, too.
#[tokio::test]
async fn bytes_both_ways_in_memory() {
    for config in configs() {
        both_ways(in_memory(&config).await, much(&config)).await;
    }
}

/// BY-11: the same over TCP, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_both_ways_over_tcp() {
    for config in configs() {
        both_ways(over_tcp(&config).await, much(&config)).await;
    }
}

/// BY-11: the same when the streams below move a few bytes at a time, and with small fragments and a
/// small outbox.
#[tokio::test]
async fn bytes_both_ways_in_shreds() {
    for mut config in configs() {
        config.fragment_bytes_max = Some(1000);
        config.outbox_bytes_max = 1000;
        let (a, b) = duplex(2000);
        let ends = on(choppy(a, 1111, 777), choppy(b, 555, 333), &config).await;
        both_ways(ends, 300_000).await;
    }
}

/// BY-11: one task carries both directions: a pending read does not hold up writing, nor the other way
/// round.
#[tokio::test]
async fn one_task_carries_both_directions() {
    for config in configs() {
        let (mut client, mut server) = over_tcp(&config).await;
        let (near, mut near_end) = duplex(10_000);
        let (far, mut far_end) = duplex(10_000);
        let carrying = tokio::spawn(async move {
            tokio::join!(
                copy_bidirectional(&mut client, &mut near_end),
                copy_bidirectional(&mut server, &mut far_end)
            )
        });
        let (up, down) = (noise(3, much(&config)), noise(4, MIB));
        let (up_len, down_len) = (up.len() as u64, down.len() as u64);
        let carried =
            within(async { tokio::join!(in_both(near, up.clone()), in_both(far, down.clone())) });
        let (came_down, came_up) = carried.await;
        assert!(came_down == down && came_up == up);
        let (client, server) = within(carrying).await.unwrap();
        assert_eq!(client.unwrap(), (down_len, up_len));
        assert_eq!(server.unwrap(), (up_len, down_len));
    }
}

async fn in_both(stream: DuplexStream, bytes: Vec<u8>) -> Vec<u8> {
    let (reader, writer) = split(stream);
    tokio::join!(read_all(reader), write_all(writer, &bytes)).0
}

/// BY-11: what one end has shut down the other reads to its end, and goes on; then both are closed with
/// 1000, cleanly.
#[tokio::test]
async fn half_close_in_both_orders() {
    for (config, is_client_first) in
        configs().into_iter().flat_map(|c| [(c.clone(), true), (c, false)])
    {
        let (client, server) = over_tcp(&config).await;
        let (mut first, mut second) =
            if is_client_first { (client, server) } else { (server, client) };
        let long = noise(5, MIB);
        let rounds = async {
            first.write_all(b"all I have").await.unwrap();
            first.shutdown().await.unwrap();
            first.shutdown().await.unwrap();
            assert_eq!(read_all(&mut second).await, b"all I have");
            assert_eq!(second.read(&mut [0; 9]).await.unwrap(), 0, "an end stays");
            assert_eq!(first.write(b"?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            let writing = async {
                second.write_all(&long).await.unwrap();
                second.shutdown().await.unwrap();
                assert_eq!(second.read(&mut [0; 9]).await.unwrap(), 0);
            };
            let (came, ()) = tokio::join!(read_all(&mut first), writing);
            assert!(came == long);
        };
        within(rounds).await;
        for end in [&first, &second] {
            let outcome = end.get_ref().outcome().unwrap();
            assert!(outcome.clean && outcome.cause == CloseCause::Handshake, "{outcome:?}");
            assert_eq!(outcome.code, CloseCode::Normal);
        }
    }
}

/// BY-11: both shut down before either has read.
#[tokio::test]
async fn both_shut_down_at_once() {
    let (mut client, mut server) = in_memory(&quiet()).await;
    let ends = async {
        client.write_all(b"up").await.unwrap();
        server.write_all(b"down").await.unwrap();
        client.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
        tokio::join!(read_all(&mut client), read_all(&mut server))
    };
    assert_eq!(within(ends).await, (b"down".to_vec(), b"up".to_vec()));
    assert!(client.get_ref().outcome().unwrap().clean);
    assert!(server.get_ref().outcome().unwrap().clean);
}

/// BY-11: small writes are collected up to a flush, long ones cut; nothing is no message, and only the
/// shutdown sends an empty one.
#[tokio::test]
async fn writes_become_messages() {
    for role in ROLES {
        let (mut stream, mut peer) = against_raw(role, quiet());
        let payload = async |peer: &mut RawPeer<DuplexStream>| {
            let frame = within(peer.frame()).await.unwrap();
            assert!(frame.opcode == Opcode::Binary && frame.fin);
            frame.payload
        };
        for piece in ["a", "", "bc", "def"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
        }
        stream.flush().await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(payload(&mut peer).await, &b"abcdef"[..]);

        let long = noise(6, 200_000);
        stream.write_all(&long).await.unwrap();
        assert_eq!(stream.write(b"").await.unwrap(), 0);
        stream.shutdown().await.unwrap();
        for piece in long.chunks(64 * 1024) {
            assert!(payload(&mut peer).await == piece);
        }
        assert!(payload(&mut peer).await.is_empty(), "the end");
        assert_eq!(stream.write(b"?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

/// BY-11: who writes, does not flush and waits for the answer gets one.
#[tokio::test]
async fn a_read_that_waits_sends_what_was_collected() {
    let (mut stream, mut peer) = against_raw(Role::Client, quiet());
    let answering = async {
        assert_eq!(peer.frame().await.unwrap().payload, &b"question"[..]);
        peer.send(Frame::binary("answer")).await;
    };
    let asking = async {
        stream.write_all(b"question").await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    };
    within(async { tokio::join!(asking, answering) }).await;
}

/// BY-11: the bytes of a long message are read as they come, across fragments and pings, and more of
/// them than may be held.
#[tokio::test]
async fn a_long_message_is_read_as_it_comes() {
    for role in ROLES {
        let mut config = quiet();
        config.message_bytes_max = 1 << 40;
        let (mut stream, mut peer) = against_raw(role, config);
        let bytes = noise(7, MIB);
        let mut came = vec![0; MIB];
        for count in 0..8 {
            let opcode = if count == 0 { Opcode::Binary } else { Opcode::Continuation };
            peer.send(fragment(opcode, &bytes)).await;
            peer.send(Frame::ping("?")).await;
            within(stream.read_exact(&mut came)).await.unwrap();
            assert!(came == bytes, "fragment {count}");
        }
        peer.send(last(b"")).await;
        peer.send(Frame::binary("more")).await;
        peer.send(Frame::binary("")).await;
        assert_eq!(within(read_all(&mut stream)).await, b"more", "no end inside a message");
        assert_eq!(within(peer.frame()).await.unwrap().opcode, Opcode::Pong);
    }
}

/// BY-11: the peer's close frame is an end when it says nothing bad, outside of a message; it is an error
/// else, and stays one.
#[tokio::test]
async fn a_close_is_an_end_or_an_error() {
    let normal = || Frame::close(1000, "").unwrap();
    let empty_close = Frame::new(Opcode::Close, "");
    let going = Frame::close(1001, "tab closed").unwrap();
    for (close, is_end) in [
        (vec![normal()], true),
        (vec![going], true),
        (vec![empty_close], true),
        (vec![Frame::close(1011, "oops").unwrap()], false),
        (vec![Frame::close(4000, "").unwrap()], false),
        (vec![fragment(Opcode::Binary, b"x"), normal()], false),
    ] {
        for role in ROLES {
            let (mut stream, mut peer) = against_raw(role, quiet());
            peer.send(Frame::binary("bytes")).await;
            for frame in close.clone() {
                peer.send(frame).await;
            }
            let mut came = Vec::new();
            let read = within(async {
                // As a peer does: the server closes first, the client when it sees that.
                let (read, _) = tokio::join!(stream.read_to_end(&mut came), async {
                    while peer.frame().await.is_some_and(|frame| frame.opcode != Opcode::Close) {}
                    drop(peer);
                });
                read
            });
            let read = read.await;
            assert!(came.starts_with(b"bytes"));
            assert_eq!(read.is_ok(), is_end, "{role:?}: {close:?}: {read:?}");
            if !is_end {
                assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
                let again = within(stream.read(&mut [0; 9])).await.unwrap_err();
                assert_eq!(again.kind(), ErrorKind::UnexpectedEof, "an error stays");
            }
            assert_eq!(stream.write(b"?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(stream.shutdown().await.is_ok(), is_end, "{role:?}: {close:?}");
        }
    }
}

/// BY-11: a peer that vanishes is an error, in a message and between two, for the reader and the writer.
#[tokio::test]
async fn a_peer_that_vanishes_is_an_error() {
    for role in ROLES {
        for frame in [Frame::binary("bytes"), fragment(Opcode::Binary, b"bytes")] {
            let (stream, mut peer) = against_raw(role, quiet());
            let (mut reader, mut writer) = split(stream);
            let reading = tokio::spawn(async move {
                let mut came = Vec::new();
                (reader.read_to_end(&mut came).await, came)
            });
            peer.send(frame).await;
            tokio::task::yield_now().await;
            drop(peer);
            let (read, came) = within(reading).await.unwrap();
            assert_eq!(came, b"bytes");
            assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
            assert_eq!(writer.write(b"?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert!(writer.shutdown().await.is_err());
        }
    }
}

/// BY-11: text is no byte of the stream: the peer gets 1003, the reader an error, the writer, which waits
/// for room, too.
#[tokio::test]
async fn text_is_refused() {
    for role in ROLES {
        for text in [Frame::text("héllo"), fragment(Opcode::Text, b"h"), Frame::text("")] {
            let (a, b) = duplex(10_000);
            let (stream, mut peer) = raw_on(role, quiet(), a, b);
            let (mut reader, mut writer) = split(stream);
            let writing = tokio::spawn(async move {
                loop {
                    if let Err(error) = writer.write_all(&[7; 9000]).await {
                        return error;
                    }
                }
            });
            peer.send(Frame::binary("x")).await;
            peer.send(text).await;
            let reading = tokio::spawn(async move {
                let mut came = Vec::new();
                let first = reader.read_to_end(&mut came).await.unwrap_err();
                (first, came, reader.read(&mut [0; 9]).await.unwrap_err())
            });
            assert_eq!(within(peer.close_code()).await, Some(1003));
            peer.send(Frame::close(1003, "").unwrap()).await;
            drop(peer);
            let (first, came, again) = within(reading).await.unwrap();
            assert_eq!(came, b"x");
            assert_eq!(
                (first.kind(), again.kind()),
                (ErrorKind::InvalidData, ErrorKind::InvalidData)
            );
            assert_eq!(within(writing).await.unwrap().kind(), ErrorKind::BrokenPipe);
        }
    }
}

/// BY-11: a violation is an error of the data, too.
#[tokio::test]
async fn a_violation_is_an_error() {
    let (mut stream, mut peer) = against_raw(Role::Server, quiet());
    peer.write(&[0xff; 20]).await;
    let error = within(stream.read(&mut [0; 9])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(within(peer.close_code()).await, Some(1002));
}

/// BY-11: bytes behind the peer's own end are refused, when there is still somebody to see them.
#[tokio::test]
async fn bytes_after_the_end_are_refused() {
    let (mut stream, mut peer) = against_raw(Role::Server, quiet());
    peer.send(Frame::binary("")).await;
    assert_eq!(within(read_all(&mut stream)).await, b"");
    peer.send(Frame::binary("one more")).await;
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.write(b"?").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    let closing = tokio::spawn(async move { stream.close(1000, "").await.unwrap() });
    assert_eq!(within(peer.close_code()).await, Some(1003));
    peer.send(Frame::close(1003, "").unwrap()).await;
    assert_eq!(within(closing).await.unwrap().code, CloseCode::UnsupportedData);
}

/// BY-11: pings are answered while a read waits, and after the peer's end by a flush.
#[tokio::test]
async fn pings_are_answered() {
    for role in ROLES {
        let (stream, mut peer) = against_raw(role, quiet());
        let (mut reader, mut writer) = split(stream);
        let reading = tokio::spawn(async move { read_all(&mut reader).await });
        for count in 0..3 {
            let payload = format!("ping {count}");
            peer.send(Frame::ping(payload.clone())).await;
            let pong = within(peer.frame()).await.unwrap();
            assert_eq!((pong.opcode, &pong.payload[..]), (Opcode::Pong, payload.as_bytes()));
        }
        peer.send(Frame::binary("")).await;
        within(reading).await.unwrap();
        peer.send(Frame::ping("late")).await;
        writer.flush().await.unwrap();
        assert_eq!(within(peer.frame()).await.unwrap().payload, &b"late"[..]);
        writer.write_all(&[7; 200_000]).await.unwrap();
        peer.send(Frame::ping("busy")).await;
        writer.write_all(&[7; 200_000]).await.unwrap();
        writer.flush().await.unwrap();
        let mut frame = within(peer.frame()).await.unwrap();
        while frame.opcode == Opcode::Binary {
            frame = within(peer.frame()).await.unwrap();
        }
        assert_eq!(frame.payload, &b"busy"[..]);
    }
}

/// BY-11: a connection where nobody says anything lives by its pings, and one whose peer is silent
/// ends with an error.
#[tokio::test(start_paused = true)]
async fn silence_is_watched_over() {
    let (client, server) = in_memory(&Config::default()).await;
    let (mut reader, mut writer) = split(client);
    let answering = tokio::spawn(async move {
        let (mut reader, mut writer) = split(server);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let reading = tokio::spawn(async move { read_all(&mut reader).await });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!reading.is_finished());
    writer.write_all(b"still here").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(reading.await.unwrap(), b"still here");
    answering.await.unwrap();

    let (mut stream, _silent) = against_raw(Role::Server, Config::default());
    let error = stream.read(&mut [0; 9]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

/// BY-11: while writing is blocked reading goes on, however little the outbox may hold.
#[tokio::test]
async fn a_blocked_writer_does_not_stop_the_reader() {
    for role in ROLES {
        let mut config = quiet();
        config.outbox_bytes_max = 100;
        let (a, b) = duplex(10_000);
        let (stream, mut peer) = raw_on(role, config, a, b);
        let (mut reader, mut writer) = split(stream);
        let writing = tokio::spawn(async move {
            writer.write_all(&noise(8, MIB)).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut came = [0; 5000];
        for count in 0..100 {
            peer.send(Frame::binary(vec![count; 5000])).await;
            within(reader.read_exact(&mut came)).await.unwrap();
            assert!(came == [count; 5000]);
        }
        assert!(!writing.is_finished());
        let mut bytes = Vec::new();
        while let Some(frame) = within(peer.data()).await
            && !frame.payload.is_empty()
        {
            bytes.extend(frame.payload);
        }
        assert!(bytes == noise(8, MIB));
        within(writing).await.unwrap();
    }
}

/// BY-11: who drops a stream before its end was sent says so; who wrote nothing, or all, goes away.
#[tokio::test]
async fn dropping_tells_whether_it_was_all() {
    for role in ROLES {
        for (what, code) in [("nothing", 1001), ("flushed", 1011), ("shut", 1001)] {
            let (a, b) = tcp().await;
            let (mut stream, mut peer) = raw_on(role, quiet(), a, b);
            if what != "nothing" {
                stream.write_all(b"bytes").await.unwrap();
                stream.flush().await.unwrap();
            }
            if what == "shut" {
                stream.shutdown().await.unwrap();
            }
            drop(stream);
            assert_eq!(within(peer.close_code()).await, Some(code), "{role:?}: {what}");
        }
    }
}

/// BY-11: a stream may be closed with a code of one's own, which is an error to the peer.
#[tokio::test]
async fn closing_with_a_code_is_an_error_to_the_peer() {
    let (mut client, mut server) = in_memory(&quiet()).await;
    server.write_all(b"beginning").await.unwrap();
    let mut came = Vec::new();
    let ends = async { tokio::join!(server.close(1011, "no disk"), client.read_to_end(&mut came)) };
    let (outcome, read) = within(ends).await;
    assert!(outcome.unwrap().clean);
    let error = read.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("1011 \"no disk\""), "{error}");
    assert_eq!(came, b"beginning");
    assert!(server.read(&mut [0; 9]).await.is_err());
    assert!(server.close(1005, "").await.is_err());
}

/// BY-11, BY-03: a close that is dropped has begun, and another one carries it on, with the first code.
#[tokio::test]
async fn a_dropped_close_is_carried_on() {
    let (a, b) = duplex(10_000);
    let (stream, mut peer) = raw_on(Role::Server, quiet(), choppy(a, 1, 3), choppy(b, 1, 3));
    let mut stream = stream;
    stream.write_all(b"beginning").await.unwrap();
    for _ in 0..5 {
        let mut closing = std::pin::pin!(stream.close(1011, "no disk"));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(closing.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
    }
    let closing = tokio::spawn(async move { stream.close(1000, "").await.unwrap() });
    assert_eq!(within(peer.frame()).await.unwrap().payload, &b"beginning"[..]);
    assert_eq!(within(peer.close_code()).await, Some(1011));
    peer.send(Frame::close(1011, "").unwrap()).await;
    let outcome = within(closing).await.unwrap();
    assert!(outcome.clean && outcome.code.as_u16() == 1011, "{outcome:?}");
}
