//! Faults that were found on the tokio floor, on real sockets and threads.

use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::Frame;
use sockeye::protocol::Overflow;
use sockeye::{Config, Connection, Handler, MessageRef, Role, SendError, Server, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::io::Endless;
use crate::support::pair::quiet;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

fn server_on(stream: DuplexStream, config: Config) -> WebSocket<DuplexStream> {
    WebSocket::from_stream(stream, Role::Server, &Arc::new(config))
}

struct Sink;

impl Handler for Sink {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// CN-05: a message that is too long for what is left of the outbox waits; the thread does not spin.
#[test]
fn blocked_send_of_a_long_message_does_not_spin() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, _unread) = duplex(1024);
            let mut config = quiet();
            config.overflow = Overflow::Block { timeout: Duration::from_millis(50) };
            let (sender, _receiver) = server_on(stream, config).split();
            let mut results = Vec::new();
            for _ in 0..4 {
                results.push(sender.send(vec![0; 600 * 1024]).await);
            }
            let timeout = SendError::Timeout { timeout_ms: 50 };
            assert_eq!(results.last(), Some(&Err(timeout)));
        });
        done.send(()).unwrap();
    });
    let result = finished.recv_timeout(LONG);
    assert!(result.is_ok(), "the send spins: its runtime stands still");
}

/// BY-02: what was fed until the kernel took no more, and what is sent behind it, leaves when the peer reads again.
#[tokio::test]
async fn fed_messages_leave_when_the_peer_reads_again() {
    let (stream, mut peer) = tcp_pair().await;
    let mut config = quiet();
    config.outbox_messages_max = 1_000_000;
    config.outbox_bytes_max = 64 * 1024 * 1024;
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let (sender, _receiver) = socket.split();
    // The driver has read this and come to rest.
    peer.write_all(&Frame::ping("").masked([0; 4]).encode()).await.unwrap();
    let mut pong = [0; 2];
    peer.read_exact(&mut pong).await.unwrap();

    let payload = vec![0; 16 * 1024 - 16];
    for _ in 0..1024 {
        sender.feed(&payload[..]).unwrap();
    }
    sender.send("last").await.unwrap();
    let mut left = 1024 * (payload.len() + 4) + 6;
    let mut block = vec![0; 256 * 1024];
    while left > 0 {
        let read = timeout(LONG, peer.read(&mut block)).await;
        left -= read.expect("nothing comes though it was sent").unwrap();
    }
}

/// SH-01: a connection whose task waits for something else ends with its server, too.
#[tokio::test]
async fn dropping_serve_ends_connections_that_are_split() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    let serving = tokio::spawn(server.serve(|socket, _| async move {
        let (sender, mut receiver) = socket.split();
        while let Ok(Some(message)) = receiver.recv().await {
            sender.send(message).await.unwrap();
        }
    }));
    let mut client = sockeye::connect(&format!("ws://{addr}/")).await.unwrap();
    client.send("hello").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), Some("hello".into()));
    serving.abort();
    let _ = serving.await;
    let end = timeout(LONG, client.recv()).await;
    end.expect("the connection outlives its server").ok();
}

/// SH-01: the same for a task that does not wait for its socket at all.
#[tokio::test]
async fn dropping_serve_ends_connections_that_wait_for_something_else() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    let serving = tokio::spawn(server.serve(|socket, _| async move {
        std::future::pending::<()>().await;
        drop(socket);
    }));
    let mut client = sockeye::connect(&format!("ws://{addr}/")).await.unwrap();
    serving.abort();
    let _ = serving.await;
    let end = timeout(LONG, client.recv()).await;
    end.expect("the connection outlives its server").ok();
}

/// BY-07, 2c 42: a peer that floods after our close frame does not keep the connection open.
#[tokio::test]
async fn flooding_peer_has_the_close_timeout() {
    let mut config = quiet();
    config.close_timeout = Duration::from_millis(50);
    let frame = Frame::binary(vec![0; 1000]).masked([1, 2, 3, 4]).encode();
    let stream = Endless::new(frame);
    let socket = WebSocket::from_stream(stream, Role::Server, &Arc::new(config));
    let sender = socket.sender();
    let driver = tokio::spawn(socket.run(Sink));
    sender.close(1000, "").unwrap();
    let outcome = timeout(LONG, driver).await;
    outcome.expect("the flood keeps it open").unwrap();
}

/// BY-02, row 27: a split client that reads all the time and writes faster than the server answers
/// does not come to rest against a server that stops reading while its own output is blocked.
#[tokio::test]
async fn client_and_echo_server_do_not_wait_for_each_other() {
    struct Echo;
    impl Handler for Echo {
        fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
            let _ = connection.send(message);
        }
    }
    const MESSAGES: usize = 4_000;
    let (client, server) = tcp_pair().await;
    let config = Arc::new(Config::default());
    let serving = tokio::spawn(WebSocket::from_stream(server, Role::Server, &config).run(Echo));
    let (sender, mut receiver) = WebSocket::from_stream(client, Role::Client, &config).split();
    let sending = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            sender.send(vec![7; 8_192]).await.unwrap();
        }
    });
    let receiving = async {
        for _ in 0..MESSAGES {
            let message = receiver.recv().await.unwrap().unwrap();
            assert_eq!(message.as_bytes().len(), 8_192);
        }
    };
    timeout(4 * LONG, receiving).await.unwrap();
    sending.await.unwrap();
    let outcome = receiver.close(1000, "").await.unwrap();
    assert!(outcome.clean);
    assert!(serving.await.unwrap().clean);
}

/// BY-02, row 27: what is answered with `feed` is bounded, though each answer is a thousand times its
/// question, and a peer that is slow to read is waited for: the loop neither fails nor loses a message.
#[tokio::test]
async fn feeding_answers_waits_for_a_slow_reader() {
    const MESSAGES: usize = 2_000;
    for is_lending in [false, true] {
        for is_tcp in [false, true] {
            if is_tcp {
                let (client, server) = tcp_pair().await;
                feed_to_a_slow_reader(client, server, is_lending, MESSAGES).await;
            } else {
                let (client, server) = duplex(16 * 1024);
                feed_to_a_slow_reader(client, server, is_lending, MESSAGES).await;
            }
        }
    }
}

const ANSWER_BYTES: usize = 8 * 1024;

async fn feed_to_a_slow_reader<S: sockeye::net::ByteStream>(
    client: S,
    server: S,
    is_lending: bool,
    messages: usize,
) {
    let config = Arc::new(Config::default());
    let mut socket = WebSocket::from_stream(server, Role::Server, &config);
    let serving = tokio::spawn(async move {
        let sender = socket.sender();
        let answer = vec![5; ANSWER_BYTES];
        let mut unflushed_max = 0;
        for _ in 0..messages {
            if is_lending {
                socket.recv_ref().await?.expect("a message");
                sender.feed(&answer[..])?;
            } else {
                socket.recv().await?.expect("a message");
                socket.feed(answer.clone())?;
            }
            unflushed_max = unflushed_max.max(socket.unflushed());
        }
        socket.flush().await?;
        Ok::<usize, sockeye::Error>(unflushed_max)
    });
    let (mut reader, mut writer) = tokio::io::split(client);
    let frame = Frame::binary(vec![5; 8]).masked([1, 2, 3, 4]).encode();
    let (began, begin) = tokio::sync::oneshot::channel();
    let writing = tokio::spawn(async move {
        let mut began = Some(began);
        for index in 0..messages {
            // Half is written, or the write is stuck, before anything is read.
            let writing = writer.write_all(&frame);
            tokio::pin!(writing);
            let is_stuck = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(writing.as_mut().poll(cx).is_pending())
            });
            if is_stuck.await {
                began.take().map(|began| began.send(()));
                writing.await.unwrap();
            } else if index == messages / 2 {
                began.take().map(|began| began.send(()));
            }
        }
        writer
    });
    begin.await.unwrap();
    let answer = Frame::binary(vec![5; ANSWER_BYTES]).encode();
    let mut bytes = vec![0; messages * answer.len()];
    timeout(4 * LONG, reader.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes.chunks(answer.len()).all(|frame| frame == answer));
    let unflushed_max = serving.await.unwrap().unwrap();
    assert!(unflushed_max <= 512 * 1024, "{unflushed_max} bytes were held");
    drop(writing.await.unwrap());
}

/// BY-07: a close that waits behind output which trickles away has the close timeout, not the patience
/// of a write that still makes progress.
#[tokio::test(start_paused = true)]
async fn trickling_reader_does_not_outlive_a_close() {
    let mut config = quiet();
    config.close_timeout = Duration::from_secs(5);
    config.write_timeout = Duration::from_secs(10);
    let (mut peer, ours) = duplex(64);
    let (sender, mut receiver) = server_on(ours, config).split();
    sender.try_send(vec![0; 1 << 20]).unwrap();
    sender.close(1008, "go away").unwrap();
    let trickling = tokio::spawn(async move {
        let mut byte = [0];
        while peer.read_exact(&mut byte).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let started = tokio::time::Instant::now();
    while let Ok(Some(_)) = receiver.recv().await {}
    assert!((4..8).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(receiver.outcome().unwrap().code.as_u16(), 1008);
    trickling.await.unwrap();
}

/// BY-11: closing a sink whose output is blocked waits; it does not wake itself again and again.
#[tokio::test(start_paused = true)]
async fn closing_a_blocked_sink_does_not_spin() {
    let (peer, ours) = duplex(64);
    let mut socket = server_on(ours, quiet());
    socket.feed(vec![0; 1 << 20]).unwrap();
    let mut polls = 0;
    let closing = std::future::poll_fn(|cx| {
        polls += 1;
        futures_util::Sink::poll_close(std::pin::Pin::new(&mut socket), cx)
    });
    timeout(Duration::from_secs(3), closing).await.unwrap_err();
    assert!(polls < 100, "{polls} polls in three seconds");
    drop(peer);
}
