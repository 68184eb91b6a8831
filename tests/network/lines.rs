//! One client, one server, and a network that fails between them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::{Acceptor, CloseOutcome, MessageKind};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::programs::echo_server;
use crate::world::{connector, keeping_alive, listen, network, pass, play, with_seeds};

const URL: &str = "ws://server/";

/// How each connection of a server ended, with what it had heard, and when.
type Ends = Arc<Mutex<Vec<(CloseOutcome, Vec<usize>, Duration)>>>;

/// A server that only listens.
async fn listening(ends: Ends) -> turmoil::Result {
    let acceptor = Acceptor::new(keeping_alive());
    let serving = listen().await.acceptor(acceptor).serve(move |mut socket, _| {
        let ends = ends.clone();
        async move {
            let mut lengths = Vec::new();
            while let Ok(Some(message)) = socket.recv().await {
                lengths.push(message.as_bytes().len());
            }
            let outcome = socket.outcome().unwrap().clone();
            ends.lock().unwrap().push((outcome, lengths, turmoil::elapsed()));
        }
    });
    serving.await?;
    Ok(())
}

/// Rows 36 and 43, BY-52: a network that is cut in the middle of a message and says nothing is noticed on both sides within a ping and its
/// answer, and no part of a message is taken for one.
#[test]
fn a_partition_in_the_middle_of_a_message() {
    with_seeds(|seed, mut chance| {
        let ends = Ends::default();
        let mut sim = network(seed, 20, 200);
        let of_server = ends.clone();
        sim.host("server", move || listening(of_server.clone()));
        let wait = chance.between(0, 100);
        sim.client("client", async move {
            let mut socket = connector(keeping_alive()).connect(URL).await?;
            socket.send("whole").await?;
            let mut writer = socket.send_stream(MessageKind::Binary)?;
            writer.write_all(&vec![7; 1 << 20]).await?;
            pass(wait).await;
            turmoil::partition("client", "server");
            // What is written behind it goes nowhere; whether it is known yet nobody cares.
            let _ = writer.write_all(&vec![7; 1 << 20]).await;
            let _ = writer.shutdown().await;
            assert!(timeout(Duration::from_secs(50), socket.recv()).await?.is_err());
            assert_eq!(socket.outcome().unwrap().code.as_u16(), 1006);
            // The next one is as if nothing had been.
            turmoil::repair("client", "server");
            let mut socket = connector(keeping_alive()).connect(URL).await?;
            socket.send("again").await?;
            assert!(socket.close(1000, "").await?.clean);
            // Until the server has found out of the first one, too.
            pass(Duration::from_secs(45)).await;
            Ok(())
        });
        play(&mut sim, Vec::new());
        let ends = ends.lock().unwrap();
        let lengths: Vec<_> = ends.iter().map(|(_, lengths, _)| lengths.clone()).collect();
        assert_eq!(lengths, [[5], [5]]);
        let mut codes = ends.iter().map(|(outcome, ..)| outcome.code.as_u16()).collect::<Vec<_>>();
        codes.sort_unstable();
        assert_eq!(codes, [1000, 1006]);
    });
}

/// Row 43: whoever hears nothing more, and gets no RST, finds out within 45 s, on either side.
#[test]
fn a_connection_that_is_half_open() {
    with_seeds(|seed, mut chance| {
        let ends = Ends::default();
        let mut sim = network(seed, 20, 200);
        let of_server = ends.clone();
        sim.host("server", move || listening(of_server.clone()));
        let cut = chance.between(500, 40_000);
        sim.client("client", async move {
            let mut socket = connector(keeping_alive()).connect(URL).await?;
            assert!(socket.recv().await.is_err());
            assert!(turmoil::elapsed() <= cut + Duration::from_secs(45));
            assert_eq!(socket.outcome().unwrap().code.as_u16(), 1006);
            // Until the server has found out, too.
            pass(Duration::from_secs(45)).await;
            Ok(())
        });
        play(&mut sim, vec![(cut, Box::new(|sim| sim.partition("client", "server")))]);
        let ends = ends.lock().unwrap();
        assert_eq!(ends.len(), 1);
        assert!(ends[0].2 <= cut + Duration::from_secs(45), "{:?}", ends[0].2);
    });
}

/// Row 36: pings arrive and pongs do not.
#[test]
fn a_network_that_carries_one_way_only() {
    with_seeds(|seed, mut chance| {
        let ends = Ends::default();
        let mut sim = network(seed, 20, 200);
        let of_server = ends.clone();
        sim.host("server", move || listening(of_server.clone()));
        let cut = chance.between(500, 40_000);
        let (from, to) =
            if chance.below(2) == 0 { ("client", "server") } else { ("server", "client") };
        sim.client("client", async move {
            let mut socket = connector(keeping_alive()).connect(URL).await?;
            assert!(socket.recv().await.is_err());
            assert!(turmoil::elapsed() <= cut + Duration::from_secs(45));
            pass(Duration::from_secs(45)).await;
            Ok(())
        });
        play(&mut sim, vec![(cut, Box::new(move |sim| sim.partition_oneway(from, to)))]);
        let ends = ends.lock().unwrap();
        assert_eq!(ends.len(), 1);
        assert!(ends[0].2 <= cut + Duration::from_secs(45), "{:?}", ends[0].2);
    });
}

/// Row 36: delays of up to 5 s, each another, end nothing where a pong may take 10 s, and change no order.
#[test]
fn delays_of_seconds() {
    with_seeds(|seed, mut chance| {
        let mut sim = network(seed, 5_000, 1_000);
        let patient = || {
            let mut config = keeping_alive();
            config.close_timeout = Duration::from_secs(15);
            config
        };
        sim.host("server", move || echo_server(patient()));
        let mut waits: Vec<_> = (0..10).map(|_| chance.between(0, 20_000)).collect();
        waits.push(Duration::from_secs(120));
        sim.client("client", async move {
            let mut socket = connector(patient()).connect(URL).await?;
            for (n, wait) in waits.into_iter().enumerate() {
                for part in 0..3 {
                    socket.send(format!("{n} {part}")).await?;
                }
                for part in 0..3 {
                    let answer = socket.recv().await?.unwrap();
                    assert_eq!(answer.as_text(), Some(&*format!("{n} {part}")));
                }
                // Pings and pongs alone.
                assert!(timeout(wait, socket.recv()).await.is_err());
            }
            assert!(socket.close(1000, "").await?.clean);
            Ok(())
        });
        play(&mut sim, Vec::new());
    });
}
