//! Many clients of one server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::client::Status;
use sockeye::{Acceptor, Config, Error, HandshakeError, NetStream, WebSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::programs::{Heard, Numbers, Sum, counting, echo};
use crate::world::{
    Ended, connector, keeping_alive, listen, network, network_of, pass, play, with_seeds,
};

const CLIENTS: usize = 500;

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap()
}

/// A server that notes when it accepted whom.
async fn noting(times: Arc<Mutex<Vec<Duration>>>) -> Ended {
    let acceptor = Acceptor::new(keeping_alive());
    let serving = listen().await.acceptor(acceptor).serve(move |socket, _| {
        times.lock().unwrap().push(now());
        echo(socket)
    });
    serving.await?;
    Ok(())
}

/// Row 51: a server is away for minutes; its clients all come back, and no second has more than a tenth of them.
#[test]
fn a_herd_that_comes_back() {
    with_seeds(|seed, mut chance| {
        let times = Arc::new(Mutex::new(Vec::new()));
        let mut sim = network(seed, 20, 600);
        let of_server = times.clone();
        sim.host("server", move || noting(of_server.clone()));
        let away = chance.between(100_000, 140_000);
        let (crash, back) = (Duration::from_secs(5), Duration::from_secs(5) + away);
        sim.client("clients", async move {
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                let client = connector(keeping_alive()).reconnecting("ws://server/").unwrap();
                clients.push(client.start());
            }
            for (sender, _) in &clients {
                let mut status = sender.status();
                status.wait_for(|status| matches!(status, Status::Open { .. })).await?;
            }
            assert!(now() < crash, "{:?}", now());
            pass(back - now()).await;
            for (sender, _) in &clients {
                let mut status = sender.status();
                let is_back = status.wait_for(|status| matches!(status, Status::Open { .. }));
                timeout(Duration::from_secs(90), is_back).await??;
            }
            Ok(())
        });
        play(
            &mut sim,
            vec![
                (crash, Box::new(|sim| sim.crash("server"))),
                (back, Box::new(|sim| sim.bounce("server"))),
            ],
        );
        let times = times.lock().unwrap();
        let again: Vec<_> = times.iter().filter(|time| **time >= back).collect();
        assert_eq!((times.len(), again.len()), (2 * CLIENTS, CLIENTS));
        let within = |from: Duration| {
            let second = from..from + Duration::from_secs(1);
            again.iter().filter(|time| second.contains(**time)).count()
        };
        let most = again.iter().map(|time| within(**time)).max().unwrap();
        assert!(most <= CLIENTS / 10, "{most} in a second");
    });
}

/// Row 66: one member of a room whose network carries nothing: the others wait for nothing, and when it is carried again the one gets what
/// was kept for it, or its connection was cut for being too slow.
#[test]
fn a_member_that_is_slow() {
    with_seeds(|seed, mut chance| {
        let numbers = Numbers::default();
        // More than what is kept for one that does not read, or less.
        let is_much = seed % 2 == 0;
        // So many segments are under way at most.
        let mut sim = network_of(seed, 20, 120, 64);
        let of_server = numbers.clone();
        sim.host("server", move || {
            let numbers = of_server.clone();
            async move {
                let running = counting(&Sum::default()).listen(listen().await).start().await?;
                loop {
                    pass(Duration::from_millis(10)).await;
                    let payload = json!({"n": numbers.next(), "more": "x".repeat(if is_much { 4000 } else { 0 })});
                    running.to_room("all").send("number", &payload)?;
                    *LAST.lock().unwrap() = (numbers.last(), now());
                }
            }
        });
        let hold = chance.between(2_000, 4_000);
        // What is too much is so before a pong is missed.
        let (least, most) = if is_much { (7_000, 10_000) } else { (5_000, 30_000) };
        let release = hold + chance.between(least, most);
        let end = Duration::from_secs(40);
        for name in ["ann", "bob", "eve"] {
            sim.client(name, async move {
                let mut socket = member().await;
                let mut heard = Heard::new();
                while now() < end {
                    let (n, late) = number(&mut socket).await.unwrap();
                    heard.note_number(n);
                    assert!(late < Duration::from_millis(100), "{late:?}");
                }
                assert!(heard.count > 3_000, "{}", heard.count);
                Ok(())
            });
        }
        sim.client("slow", async move {
            let mut socket = member().await;
            let mut heard = Heard::new();
            while now() < end {
                let Some((n, _)) = number(&mut socket).await else { break };
                heard.note_number(n);
            }
            let is_there = heard.last + 20 > LAST.lock().unwrap().0;
            let code = socket.outcome().map(|outcome| outcome.code.as_u16());
            let is_cut = matches!(code, Some(1006 | 1008 | 1013));
            assert!(
                if is_much { is_cut } else { is_there || is_cut },
                "{} and {code:?}",
                heard.last
            );
            assert!(heard.count > 100);
            Ok(())
        });
        play(
            &mut sim,
            vec![
                (hold, Box::new(|sim| sim.hold("server", "slow"))),
                (release, Box::new(|sim| sim.release("server", "slow"))),
            ],
        );
    });
}

/// What was said last, and when.
static LAST: Mutex<(u64, Duration)> = Mutex::new((0, Duration::ZERO));

async fn member() -> WebSocket<NetStream> {
    connector(Config::default()).connect("ws://server/ws").await.unwrap()
}

/// The next number, and how long ago at least it was said.
async fn number(socket: &mut WebSocket<NetStream>) -> Option<(u64, Duration)> {
    loop {
        let message = socket.recv().await.ok()??;
        let event: Value = serde_json::from_str(message.as_text().unwrap()).unwrap();
        if event["e"] == "number" {
            let n = event["p"]["n"].as_u64().unwrap();
            let (last, said) = *LAST.lock().unwrap();
            let since = u32::try_from(last - n).unwrap() * Duration::from_millis(10);
            return Some((n, since + now().saturating_sub(said)));
        }
    }
}

/// LM-02, row 52: thousands connect at the same moment. As many as may be half open are let in, the others are told when to come again, and
/// then they are.
#[test]
fn a_storm_of_connections() {
    const STORM: usize = 1_200;
    with_seeds(|seed, _| {
        let times = Arc::new(Mutex::new(Vec::new()));
        let mut sim = network(seed, 20, 120);
        let of_server = times.clone();
        sim.host("server", move || noting(of_server.clone()));
        sim.client("clients", async move {
            let mut storm = JoinSet::new();
            for _ in 0..STORM {
                storm.spawn(async {
                    let mut refusals = 0;
                    loop {
                        match connector(Config::default()).connect("ws://server/").await {
                            Ok(mut socket) => {
                                socket.send("hello").await.unwrap();
                                assert_eq!(socket.recv().await.unwrap(), Some("hello".into()));
                                return (socket, refusals);
                            }
                            Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => {
                                assert_eq!(refused.status().as_u16(), 503);
                                let wait = refused.headers()["retry-after"].to_str().unwrap();
                                pass(Duration::from_secs(wait.parse().unwrap())).await;
                                refusals += 1;
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                });
            }
            let all = storm.join_all().await;
            let refusals: usize = all.iter().map(|(_, refusals)| refusals).sum();
            println!("{refusals} refusals of {STORM} at once");
            // An address has 32 places, which are free again when a handshake has gone there and back.
            assert!(refusals > STORM / 2, "{refusals}");
            Ok(())
        });
        play(&mut sim, Vec::new());
        assert_eq!(times.lock().unwrap().len(), STORM);
    });
}
