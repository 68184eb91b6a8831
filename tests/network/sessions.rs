//! Sessions whose clients, servers and networks come and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::hub::Shutdown;
use sockeye::session::stores::MemoryStore;
use sockeye::{Config, NetStream, WebSocket};
use tokio::sync::oneshot;

use crate::programs::{Heard, Numbers, Sum, client, counting, listen_for, say_numbers, speaking};
use crate::world::{Ended, Events, connector, listen, network, pass, play, with_seeds};

const URL: &str = "ws://server/ws";

/// BY-42, SE-05: a server crashes and is started again, as often as it likes. What comes comes once and in order, what is missing is told,
/// and what the client sends is handled, at least once where it is told so and exactly once elsewhere.
#[test]
fn a_server_that_crashes_and_comes_back() {
    with_seeds(|seed, mut chance| {
        let (store, numbers, sum) = (MemoryStore::new(), Numbers::default(), Sum::default());
        let mut sim = network(seed, 40, 400);
        let of_server = (store, numbers.clone(), sum.clone());
        sim.host("server", move || {
            let (store, numbers, sum) = of_server.clone();
            speaking(store, (numbers, Duration::from_millis(50)), sum)
        });
        let mut events: Events<'_> = Vec::new();
        let mut at = Duration::from_secs(2);
        for _ in 0..4 {
            at += chance.between(2_000, 8_000);
            events.push((at, Box::new(|sim| sim.crash("server"))));
            at += chance.between(100, 8_000);
            events.push((at, Box::new(|sim| sim.bounce("server"))));
        }
        let end = at + Duration::from_secs(1);
        sim.client("client", async move {
            let (client, mut incoming) = client(URL, |_| {});
            let client = Arc::new(client);
            let adding = client.clone();
            let adder = tokio::spawn(async move {
                for n in 0.. {
                    if adding.send("add", &json!({"n": n})).is_err() {
                        return;
                    }
                    pass(Duration::from_millis(200)).await;
                }
            });
            let heard = listen_for(&mut incoming, &numbers, end).await;
            assert!(heard.count > 100 && heard.gaps <= 4, "{} and {}", heard.count, heard.gaps);
            adder.abort();
            // Nobody listens any more, and what still comes holds nothing up.
            drop(incoming);
            client.flushed().await.unwrap();
            let all = sum.all();
            let mut distinct = all.clone();
            distinct.sort_unstable();
            distinct.dedup();
            // None is lost, and what was had twice was had twice in a row of them.
            assert_eq!(distinct, (0..distinct.len() as u64).collect::<Vec<_>>());
            assert!(all.len() == distinct.len() || heard.gaps > 0, "{all:?}");
            Ok(())
        });
        play(&mut sim, events);
    });
}

/// SE-05, SE-06: a network that comes and goes, with a server that stays: nothing is missing, and nothing comes twice.
#[test]
fn a_network_that_comes_and_goes() {
    with_seeds(|seed, mut chance| {
        let (store, numbers, sum) = (MemoryStore::new(), Numbers::default(), Sum::default());
        let mut sim = network(seed, 40, 600);
        let of_server = (store, numbers.clone(), sum.clone());
        sim.host("server", move || {
            let (store, numbers, sum) = of_server.clone();
            // Fewer than are kept, until a cut is noticed.
            speaking(store, (numbers, Duration::from_millis(500)), sum)
        });
        let mut events: Events<'_> = Vec::new();
        let mut at = Duration::from_secs(2);
        for _ in 0..3 {
            at += chance.between(1_000, 5_000);
            match chance.below(3) {
                0 => events.push((at, Box::new(|sim| sim.partition("client", "server")))),
                1 => events.push((at, Box::new(|sim| sim.partition_oneway("client", "server")))),
                _ => events.push((at, Box::new(|sim| sim.partition_oneway("server", "client")))),
            }
            // Within what the server keeps.
            at += chance.between(100, 10_000);
            events.push((at, Box::new(|sim| sim.repair("client", "server"))));
            // A ping and its answer, and what it takes to connect.
            at += Duration::from_secs(60);
        }
        sim.client("client", async move {
            let (client, mut incoming) = client(URL, |_| {});
            let heard = listen_for(&mut incoming, &numbers, at).await;
            assert!(heard.gaps == 0 && heard.count > 300, "{} and {}", heard.gaps, heard.count);
            client.close().await;
            Ok(())
        });
        play(&mut sim, events);
    });
}

/// A client that speaks the protocol by hand.
struct ByHand {
    socket: WebSocket<NetStream>,
    id: String,
    token: String,
}

impl ByHand {
    async fn connect(target: &str) -> Self {
        let url = format!("ws://server{target}");
        let socket = connector(Config::default()).connect(&url).await.unwrap();
        Self { socket, id: String::new(), token: String::new() }
    }

    async fn event(&mut self) -> Option<Value> {
        let message = self.socket.recv().await.ok()??;
        Some(serde_json::from_str(message.as_text().unwrap()).unwrap())
    }

    fn take_ticket(&mut self, opening: &Value) {
        let text = |name: &str| opening[name].as_str().unwrap().to_owned();
        (self.id, self.token) = (text("sessionId"), text("token"));
    }

    /// A new session.
    async fn begin() -> Self {
        let mut client = Self::connect("/ws").await;
        let created = client.event().await.unwrap();
        client.take_ticket(&created["p"]);
        client
    }

    /// Asks for a session that it has had so many messages of; whether it was given.
    async fn resume(id: &str, token: &str, received: u64) -> (Self, bool) {
        let mut client = Self::connect("/ws?resume=1").await;
        let request = json!({"v": "1.0", "e": "sys.reconnect.request",
            "p": {"sessionId": id, "token": token, "received": received}});
        client.socket.send(request.to_string()).await.unwrap();
        let restored = client.event().await.filter(|event| event["p"]["restored"] == true);
        if let Some(restored) = &restored {
            client.take_ticket(&restored["p"]);
        }
        (client, restored.is_some())
    }

    /// Listens until the connection ends; gives the code.
    async fn listen(&mut self, heard: &mut Heard) -> u16 {
        while let Some(event) = self.event().await {
            if event["e"] == "number" {
                heard.note_number(event["p"]["n"].as_u64().unwrap());
            }
        }
        self.socket.outcome().unwrap().code.as_u16()
    }
}

async fn serving(numbers: Numbers) -> Ended {
    let running = counting(&Sum::default()).listen(listen().await).start().await?;
    say_numbers(&running, &numbers, Duration::from_millis(20)).await;
    Ok(())
}

/// A18, SE-07: the same session is asked for from two places at once, with what its first connection says all the time: one has it in
/// the end, and nothing that one hears is missing or double.
#[test]
fn a_session_that_is_asked_for_from_two_places() {
    with_seeds(|seed, mut chance| {
        let numbers = Numbers::default();
        let mut sim = network(seed, 60, 60);
        let of_server = numbers.clone();
        sim.host("server", move || serving(of_server.clone()));
        let (tell, told) = oneshot::channel();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let waits = [chance.between(0, 50), chance.between(0, 50)];
        let at_home = ends.clone();
        sim.client("home", async move {
            let mut client = ByHand::begin().await;
            let mut heard = Heard::new();
            while heard.count < 20 {
                let event = client.event().await.unwrap();
                heard.note_number(event["p"]["n"].as_u64().unwrap());
            }
            let _ = tell.send((client.id.clone(), client.token.clone(), heard.count, heard.last));
            let code = client.listen(&mut heard).await;
            at_home.lock().unwrap().push(code);
            Ok(())
        });
        let there = ends.clone();
        sim.client("away", async move {
            let (id, token, count, last) = told.await?;
            let ask = async |wait| {
                pass(wait).await;
                let (mut client, is_restored) = ByHand::resume(&id, &token, count).await;
                let mut heard = Heard::after(last);
                if !is_restored {
                    return 0;
                }
                tokio::select! {
                    code = client.listen(&mut heard) => return code,
                    () = pass(Duration::from_secs(5)) => {}
                }
                assert!(heard.count > 100, "{}", heard.count);
                client.socket.close(1000, "").await.unwrap().code.as_u16()
            };
            let (one, other) = tokio::join!(ask(waits[0]), ask(waits[1]));
            there.lock().unwrap().extend([one, other]);
            Ok(())
        });
        play(&mut sim, Vec::new());
        let mut ends = ends.lock().unwrap().clone();
        ends.sort_unstable();
        // The first connection, the one that was too early, and the one that has it.
        assert!(matches!(ends[..], [1000, 4001, 4001] | [0, 1000, 4001]), "{ends:?}");
    });
}

/// A18: a session goes from one connection to the next while its server speaks; each takes up where the one before ended.
#[test]
fn a_session_that_goes_from_hand_to_hand() {
    with_seeds(|seed, mut chance| {
        let numbers = Numbers::default();
        let mut sim = network(seed, 60, 120);
        let of_server = numbers.clone();
        sim.host("server", move || serving(of_server.clone()));
        let pauses: Vec<_> = (0..20).map(|_| chance.between(0, 400)).collect();
        sim.client("client", async move {
            let mut holder = ByHand::begin().await;
            let mut heard = Heard::new();
            for pause in pauses {
                let over = pass(pause);
                tokio::pin!(over);
                loop {
                    tokio::select! {
                        () = &mut over => break,
                        event = holder.event() => {
                            heard.note_number(event.unwrap()["p"]["n"].as_u64().unwrap());
                        }
                    }
                }
                let (mut next, is_restored) =
                    ByHand::resume(&holder.id, &holder.token, heard.count).await;
                assert!(is_restored);
                assert_eq!(holder.listen(&mut Heard::new()).await, 4001);
                std::mem::swap(&mut holder, &mut next);
            }
            assert!(heard.count > 20);
            assert!(holder.socket.close(1000, "").await?.clean);
            Ok(())
        });
        play(&mut sim, Vec::new());
    });
}

/// SH-02: a server that is asked to go in the middle of its broadcasts: whatever it said before comes, in order, and then a close that
/// says why.
#[test]
fn a_shutdown_in_the_middle_of_broadcasts() {
    with_seeds(|seed, mut chance| {
        let numbers = Numbers::default();
        let mut sim = network(seed, 40, 60);
        let stop_at = chance.between(2_000, 3_000);
        let (of_server, last) = (numbers.clone(), Arc::new(Mutex::new(0)));
        let said = last.clone();
        sim.client("server", async move {
            let running = counting(&Sum::default()).listen(listen().await).start().await?;
            let speaking = say_numbers(&running, &of_server, Duration::from_millis(5));
            tokio::select! {
                () = speaking => {}
                () = pass(stop_at) => {}
            }
            *said.lock().unwrap() = of_server.last();
            let report = running.stop(Shutdown::new(Duration::from_secs(10)).code(1012)).await?;
            assert_eq!((report.ended, report.left, report.lost_messages), (30, 0, 0), "{report:?}");
            Ok(())
        });
        sim.client("clients", async move {
            let mut clients = Vec::new();
            for _ in 0..30 {
                clients.push(ByHand::begin().await);
            }
            for client in &mut clients {
                let mut heard = Heard::new();
                assert_eq!(client.listen(&mut heard).await, 1012);
                assert_eq!(heard.last, *last.lock().unwrap());
            }
            Ok(())
        });
        play(&mut sim, Vec::new());
    });
}
