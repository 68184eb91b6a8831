//! A load: clients that come, chat, and go, some of them in bad manners.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use sockeye::{Config, Connector, Error, WebSocket};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

pub(crate) const CLIENTS_MAX: usize = 500;

const ROOMS: [&str; 12] = [
    "lobby", "rust", "rivers", "salmon", "bears", "nets", "weather", "tides", "boats", "recipes",
    "birds", "night",
];

/// What a client that reads slowly lets the kernel keep.
const SLOW_BUFFER_BYTES: u32 = 4 * 1024;

/// How many clients there shall be.
pub(crate) struct Load {
    server: SocketAddr,
    clients: watch::Sender<usize>,
}

impl Load {
    pub(crate) fn new(server: SocketAddr, clients: usize) -> Self {
        Self { server, clients: watch::Sender::new(clients) }
    }

    pub(crate) fn clients(&self) -> usize {
        *self.clients.borrow()
    }

    pub(crate) fn set(&self, clients: usize) {
        self.clients.send_replace(clients.min(CLIENTS_MAX));
    }

    /// Keeps the load up until this is ready. Then the clients are gone at once.
    pub(crate) async fn run_until(&self, end: impl Future) {
        tokio::select! {
            never = self.run() => match never {},
            _ = end => {}
        }
    }

    /// Sends away those that are there when another number is wanted, and begins anew.
    async fn run(&self) -> Infallible {
        let mut wanted = self.clients.subscribe();
        loop {
            let clients = *wanted.borrow_and_update();
            let stay = watch::Sender::new(());
            let mut tasks = JoinSet::new();
            for number in 0..clients {
                tasks.spawn(Client::new(number, self.server).run(stay.subscribe()));
            }
            // The sender is in `self`.
            let _ = wanted.changed().await;
            drop(stay);
            while tasks.join_next().await.is_some() {}
        }
    }
}

/// One client. What it does follows from its number, so every load is like the last.
struct Client {
    number: usize,
    server: SocketAddr,
}

/// It may stay while the sender of this is there.
type Stay = watch::Receiver<()>;

impl Client {
    const fn new(number: usize, server: SocketAddr) -> Self {
        Self { number, server }
    }

    async fn run(self, mut stay: Stay) {
        let mut pause = Duration::from_millis((self.number as u64 * 7) % 2000);
        while stay.has_changed().is_ok() {
            tokio::select! {
                _ = stay.changed() => return,
                () = sleep(pause) => {}
            }
            // The server may be full or gone: it comes again.
            let _ = self.visit(&mut stay).await;
            pause = Duration::from_secs(1);
        }
    }

    /// Says something every other second and hears the others, for a minute or two.
    async fn visit(&self, stay: &mut Stay) -> Result<(), Error> {
        let mut socket = self.dial().await?;
        let number = self.number as u64;
        let mut words = ticks(Duration::from_millis(1000 + number * 97 % 1500));
        let mut reads = self.is_slow().then(|| ticks(Duration::from_millis(50)));
        let mut end = std::pin::pin!(sleep(Duration::from_secs(30 + number * 13 % 90)));
        let is_over = loop {
            tokio::select! {
                _ = stay.changed() => break false,
                () = &mut end => break true,
                _ = words.tick() => socket.send(self.text()).await.map(drop)?,
                message = read(&mut socket, &mut reads) => if message?.is_none() {
                    return Ok(());
                },
            }
        };
        // One in ten just drops its socket: the server is told 1001.
        if !(is_over && self.number % 10 == 3) {
            socket.close(1000, "").await?;
        }
        Ok(())
    }

    async fn dial(&self) -> Result<WebSocket<TcpStream>, Error> {
        let socket = TcpSocket::new_v4()?;
        if self.is_slow() {
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        let stream = socket.connect(self.server).await?;
        let url = format!("ws://{}/?room={}", self.server, self.room());
        Connector::new(Config::default()).connect_on(&url, stream).await
    }

    /// Two in five are in the lobby.
    fn room(&self) -> &'static str {
        ROOMS[(self.number % 18).saturating_sub(6)]
    }

    /// One in twenty reads twenty messages a second, whatever is said.
    const fn is_slow(&self) -> bool {
        self.number % 20 == 8
    }

    fn text(&self) -> String {
        format!(
            "client {} says that the water is {}",
            self.number,
            "cold ".repeat(self.number % 40)
        )
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn read(
    socket: &mut WebSocket<TcpStream>,
    reads: &mut Option<Interval>,
) -> Result<Option<()>, Error> {
    if let Some(reads) = reads {
        reads.tick().await;
    }
    Ok(socket.recv_ref().await?.map(drop))
}
