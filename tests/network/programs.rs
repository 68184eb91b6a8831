//! The programs that run on the hosts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::app::client::{ClientOptions, EventClient, Happening, Incoming};
use sockeye::app::{App, Context, Running};
use sockeye::session::stores::MemoryStore;
use sockeye::{Acceptor, Config, NetStream, WebSocket};
use tokio::time::interval;

use crate::world::{Ended, connector, listen, pass};

pub(crate) async fn echo(mut socket: WebSocket<NetStream>) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A server that answers each message with itself, for ever.
pub(crate) async fn echo_server(config: Config) -> Ended {
    listen().await.acceptor(Acceptor::new(config)).serve(|socket, _| echo(socket)).await?;
    Ok(())
}

/// What numbers everything that is said, wherever and however often its server is started.
#[derive(Clone, Default)]
pub(crate) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// An application whose clients are all in one room, and can add to a sum.
pub(crate) fn counting(sum: &Sum) -> App {
    let sum = sum.clone();
    App::new().on_open(async |context: Context| context.join("all").unwrap()).on(
        "add",
        move |_: Context, payload: Value| {
            sum.add(payload["n"].as_u64().unwrap());
            async { json!({}) }
        },
    )
}

/// What was added, in order, by whichever server.
#[derive(Clone, Default)]
pub(crate) struct Sum(Arc<Mutex<Vec<u64>>>);

impl Sum {
    fn add(&self, n: u64) {
        self.0.lock().unwrap().push(n);
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

/// Says a number to all every so often.
pub(crate) async fn say_numbers(running: &Running, numbers: &Numbers, every: Duration) {
    let mut ticks = interval(every);
    loop {
        ticks.tick().await;
        say(running, numbers.next());
    }
}

fn say(running: &Running, n: u64) {
    running.to_room("all").send("number", &json!({"n": n})).unwrap();
}

/// An application that says numbers for ever, one every so often, and keeps its sessions in this store.
pub(crate) async fn speaking(
    store: MemoryStore,
    (numbers, every): (Numbers, Duration),
    sum: Sum,
) -> Ended {
    let app = counting(&sum).session_store(store).listen(listen().await);
    let running = app.start().await?;
    say_numbers(&running, &numbers, every).await;
    Ok(())
}

/// What a client has heard: each number at most once and in order, and none is missing that it was not told of.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) last: u64,
    pub(crate) count: u64,
    pub(crate) gaps: u64,
    is_told: bool,
}

impl Heard {
    /// Before the first number it need not be told of any.
    pub(crate) fn new() -> Self {
        Self { is_told: true, ..Self::default() }
    }

    /// The next is the one after this.
    pub(crate) fn after(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    pub(crate) fn note(&mut self, happening: &Happening) {
        match happening {
            Happening::Event(event) if event.name() == "number" => {
                let payload: Value = event.payload().unwrap();
                self.note_number(payload["n"].as_u64().unwrap());
            }
            Happening::Gap { .. } => {
                self.gaps += 1;
                self.is_told = true;
            }
            _ => {}
        }
    }

    pub(crate) fn note_number(&mut self, n: u64) {
        assert!(n > self.last, "{n} after {}", self.last);
        assert!(n == self.last + 1 || self.is_told, "{n} after {}, and nobody told", self.last);
        (self.last, self.is_told) = (n, false);
        self.count += 1;
    }
}

/// A client that comes back wherever its server is.
pub(crate) fn client(
    url: &str,
    change: impl FnOnce(&mut ClientOptions),
) -> (EventClient, Incoming) {
    let mut options = ClientOptions::default();
    change(&mut options);
    EventClient::connect(connector(Config::default()), url, options).unwrap()
}

/// Listens until it has heard a number that was said after this time.
pub(crate) async fn listen_for(
    incoming: &mut Incoming,
    numbers: &Numbers,
    time: Duration,
) -> Heard {
    let mut heard = Heard::new();
    let over = pass(time);
    tokio::pin!(over);
    let mut until = u64::MAX;
    while heard.last < until {
        tokio::select! {
            () = &mut over, if until == u64::MAX => until = numbers.last() + 1,
            happening = incoming.next() => heard.note(&happening.expect("it does not give up")),
        }
    }
    heard
}
