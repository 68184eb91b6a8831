//! Servers of other makes under attack, by clients that speak HTTP/2 as no library does.

use std::net::SocketAddr;
use std::time::Duration;

use sockeye::hub::Hub;
use sockeye::hub::limits::Limits;
use sockeye::hyper::answer;
use sockeye::net::AttachedServer;
use sockeye::protocol::{CloseCause, Overflow, TimeoutKind};

use sockeye::{Acceptor, CloseOutcome, Config, Message};
use tokio::sync::mpsc;

use crate::frames::{DATA, END_STREAM, GOAWAY, RST_STREAM, RawHttp2, masked};
use crate::serving::{Outcomes, Serving, echo};
use crate::support::pair::quiet;
use crate::support::server::within;

/// A server behind hyper, its hub, and how its sockets ended.
struct Site {
    _server: AttachedServer,
    _serving: Serving,
    address: SocketAddr,
    hub: Hub,
    outcomes: Outcomes,
}

impl Site {
    /// An echo, with so many places; `/slow` is judged for ever.
    async fn start(places: usize) -> Self {
        let mut limits = Limits::default();
        limits.connections_max = places;
        let hub = Hub::builder().limits(limits).config(quiet()).build().unwrap();
        let acceptor = hub.acceptor().on_request(async |request| {
            if request.path() == "/slow" {
                std::future::pending::<()>().await;
            }
            sockeye::net::Answer::accept()
        });
        let (told, outcomes) = mpsc::unbounded_channel();
        let registering = hub.clone();
        let server = AttachedServer::new(acceptor, move |socket, request| {
            let (hub, told) = (registering.clone(), told.clone());
            async move {
                let _place = hub.register_admitted(&socket, &request).unwrap();
                echo(socket, told).await;
            }
        });
        Self::of(server, hub, outcomes).await
    }

    async fn of(server: AttachedServer, hub: Hub, outcomes: Outcomes) -> Self {
        let door = server.door();
        let serving = Serving::start(move |mut request, peer| {
            let door = door.clone();
            async move { answer(&door, &mut request, Some(peer)).await }
        })
        .await;
        let address = serving.address;
        Self { _server: server, _serving: serving, address, hub, outcomes }
    }

    async fn ended(&mut self) -> CloseOutcome {
        within(self.outcomes.recv()).await.unwrap()
    }

    /// Asks until there is a place.
    async fn has_a_place(&self) {
        within(async {
            loop {
                let mut raw = RawHttp2::connect(self.address, 65_535).await;
                raw.ask(1, "/ws", &[]).await;
                if raw.next(1).await.unwrap().is_ok() {
                    return;
                }
            }
        })
        .await;
    }
}

/// H2-04: a stream that ends without a close frame, by its last data or by trailers, is a lost connection, and gives its place back.
#[tokio::test]
async fn attack_a_stream_ends_without_a_close_frame() {
    let mut site = Site::start(1).await;
    for with_trailers in [false, true] {
        let mut raw = RawHttp2::connect(site.address, 65_535).await;
        raw.open(1, "/ws").await;
        match with_trailers {
            true => raw.head(END_STREAM, 1, &[("x-trailer", "1")]).await,
            false => raw.send(DATA, END_STREAM, 1, &[]).await,
        }
        assert_eq!(u16::from(site.ended().await.code), 1006);
        let last = raw.next(1).await.unwrap();
        assert!(last.kind == RST_STREAM || last.flags & END_STREAM != 0, "{last:?}");
    }
    site.has_a_place().await;
}

/// H2-05: frames over HTTP/2 have to be masked as over HTTP/1.1, and what comes before the answer is read once.
#[tokio::test]
async fn attack_bare_frames_and_early_frames() {
    let mut site = Site::start(10).await;
    let mut raw = RawHttp2::connect(site.address, 65_535).await;
    raw.ask(1, "/ws", &[]).await;
    raw.send(DATA, 0, 1, &masked(1, b"early")).await;
    assert!(raw.next(1).await.unwrap().is_ok());
    assert_eq!(raw.next(1).await.unwrap().payload, b"\x81\x05early");
    raw.send(DATA, 0, 1, &masked(1, b"late")).await;
    assert_eq!(raw.next(1).await.unwrap().payload, b"\x81\x04late");
    raw.send(DATA, 0, 1, b"\x81\x04bare").await;
    let close = raw.next(1).await.unwrap();
    assert_eq!(close.payload[0], 0x88);
    assert_eq!(close.payload[2..4], 1002_u16.to_be_bytes());
    assert_eq!(u16::from(site.ended().await.code), 1002);
}

/// H2-05: heads that break a rule open nothing, and do no harm to the streams beside them.
#[tokio::test]
async fn attack_heads_that_break_a_rule() {
    let site = Site::start(10).await;
    let mut raw = RawHttp2::connect(site.address, 65_535).await;
    raw.open(1, "/ws").await;
    for (number, more) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("transfer-encoding", "chunked"),
        ("sec-websocket-version", "13"),
        ("host", "elsewhere.test"),
        (":protocol", "websocket"),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = 3 + 2 * u32::try_from(number).unwrap();
        raw.ask(stream, "/ws", &[more]).await;
        let answer = raw.next(stream).await.unwrap();
        assert!(answer.kind != GOAWAY, "{more:?} {answer:?}");
        assert!(!answer.is_ok(), "{more:?} {answer:?}");
    }
    // An ordinary CONNECT: a tunnel to elsewhere.
    let tunnel = [(":method", "CONNECT"), (":authority", "localhost:22")];
    raw.head(0, 101, &tunnel).await;
    assert!(!raw.next(101).await.unwrap().is_ok());
    raw.send(DATA, 0, 1, &masked(1, b"here")).await;
    assert_eq!(raw.next(1).await.unwrap().payload, b"\x81\x04here");
    assert_eq!(site.hub.metrics().gauges.connections, 1);
}

/// H2-04: requests that are reset while they are judged keep no place, however many; nor do those of a connection that is lost.
#[tokio::test]
async fn attack_rapid_resets_while_it_is_judged() {
    let site = Site::start(5).await;
    for _ in 0..10 {
        let mut raw = RawHttp2::connect(site.address, 65_535).await;
        for number in 0..15 {
            raw.ask(1 + 2 * number, "/slow", &[]).await;
            raw.send(RST_STREAM, 0, 1 + 2 * number, &8_u32.to_be_bytes()).await;
        }
        raw.ask(101, "/slow", &[]).await;
    }
    site.has_a_place().await;
}

/// H2-02: when a connection is lost, all that was on it ends, and the places are given back.
#[tokio::test]
async fn attack_a_connection_is_cut_with_a_hundred_sockets() {
    let mut site = Site::start(100).await;
    let mut raw = RawHttp2::connect(site.address, 65_535).await;
    for number in 0..100 {
        raw.open(1 + 2 * number, "/ws").await;
    }
    assert_eq!(site.hub.metrics().gauges.connections, 100);
    drop(raw);
    for _ in 0..100 {
        assert_eq!(u16::from(site.ended().await.code), 1006);
    }
    site.has_a_place().await;
}

/// FC-02: a stream that its client never reads is held to the outbox's bound and to the deadline for writes; hyper, which
/// takes whole what it is given, is given no more than it may hold.
#[tokio::test]
async fn attack_a_stream_that_is_never_read() {
    const OUTBOX: usize = 256 * 1024;
    for len in [1000, OUTBOX, 16 * OUTBOX] {
        let (told, outcomes) = mpsc::unbounded_channel();
        let mut config = Config::default();
        config.outbox_bytes_max = OUTBOX;
        config.outbox_messages_max = 10_000;
        config.fragment_bytes_max = None;
        config.overflow = Overflow::Block { timeout: Duration::from_millis(200) };
        config.write_timeout = Duration::from_millis(500);
        let (counted, mut counts) = mpsc::unbounded_channel();
        let server = AttachedServer::new(Acceptor::new(config), move |mut socket, _| {
            let (told, counted) = (told.clone(), counted.clone());
            async move {
                let sender = socket.sender();
                let message = Message::Binary(vec![7; len].into());
                let send = async {
                    let mut taken = 0;
                    while sender.send(message.clone()).await.is_ok() {
                        taken += len;
                    }
                    let _ = counted.send(taken);
                };
                let receive = async { while let Ok(Some(_)) = socket.recv().await {} };
                tokio::join!(send, receive);
                let _ = told.send(socket.outcome().unwrap().clone());
            }
        });
        let hub = Hub::new();
        let mut site = Site::of(server, hub, outcomes).await;
        let mut raw = RawHttp2::connect(site.address, 0).await;
        raw.open(1, "/ws").await;
        let taken = within(counts.recv()).await.unwrap();
        // What waits, of which one message may be longer than the bound; the message that has begun to leave; and what hyper has.
        let most = OUTBOX.max(len) + len + 80 * 1024;
        assert!(taken <= most, "{taken} bytes of messages of {len}");
        let outcome = site.ended().await;
        assert_eq!(outcome.cause, CloseCause::Timeout(TimeoutKind::Write));
    }
}
