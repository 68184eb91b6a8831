//! The clients, in a process of their own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sockeye::{Connector, Message, WebSocket};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::who::{SEVENTHS, channels_of, is_healthy, is_stalled};
use super::{POLICIES, config};

/// What one member has heard; panics at what it must not hear.
#[derive(Default)]
struct Heard {
    /// The last number of each publisher on each channel.
    channels: HashMap<(String, usize), u64>,
    /// The last number of each publisher's broadcasts.
    broadcasts: HashMap<usize, u64>,
    count: u64,
}

impl Heard {
    /// `from_first`: it was there when the first was said.
    fn note(&mut self, member: usize, text: &str, from_first: bool) {
        let mut parts = text.split(' ');
        let channel = parts.next().unwrap().to_owned();
        let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
        let (publisher, next, all) = (number() as usize, number(), number());
        let is_mine = channels_of(member).contains(&channel)
            || channel == format!("to-{member}")
            || channel
                .strip_prefix("but-")
                .is_some_and(|but| but != (member % SEVENTHS).to_string());
        assert!(is_mine || !from_first, "member {member} has {channel}");
        if !channel.starts_with("to-") {
            let last = self.broadcasts.insert(publisher, all).unwrap_or(0);
            assert!(last < all, "member {member}: {channel} {all} of {publisher} after {last}");
        }
        let last = self.channels.insert((channel.clone(), publisher), next);
        let is_next = match last {
            None => next == 1 || !from_first,
            Some(last) => next == last + 1,
        };
        assert!(is_next, "member {member}: {next} of {publisher} on {channel} after {last:?}");
        self.count += 1;
    }
}

/// All clients, and the clock they share: how many rounds the first of them has heard.
pub(crate) struct Clients {
    addresses: Vec<SocketAddr>,
    /// Handshakes under way.
    places: Semaphore,
    rounds: watch::Sender<u64>,
    healthy: AtomicU64,
}

impl Clients {
    pub(crate) fn new(addresses: Vec<SocketAddr>, count: usize) -> Arc<Self> {
        let healthy = (0..count).filter(|member| is_healthy(*member)).count() as u64;
        Arc::new(Self {
            addresses,
            places: Semaphore::new(64),
            rounds: watch::Sender::new(0),
            healthy: AtomicU64::new(healthy),
        })
    }

    /// All of them, until the last has gone.
    pub(crate) async fn live(self: Arc<Self>, count: usize) {
        let mut tasks = JoinSet::new();
        for member in 0..count {
            let clients = self.clone();
            if is_stalled(member) {
                tasks.spawn(clients.stall(member));
            } else if is_healthy(member) {
                tasks.spawn(clients.stay(member));
            } else {
                tasks.spawn(clients.pass(member));
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no member has seen what must not be");
        }
    }

    async fn connect(&self, member: usize) -> WebSocket<TcpStream> {
        let address = self.addresses[member % POLICIES.len()];
        let connector = Connector::new(config());
        let _place = self.places.acquire().await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        if is_stalled(member) {
            socket.set_recv_buffer_size(4096).unwrap();
        }
        let stream = socket.connect(address).await.unwrap();
        let url = format!("ws://{address}/?member={member}");
        connector.connect_on(&url, stream).await.unwrap()
    }

    /// A healthy member: it reads to the end, and after each round says what it has.
    async fn stay(self: Arc<Self>, member: usize) {
        let mut socket = self.connect(member).await;
        let mut heard = Heard::default();
        while let Some(Message::Text(text)) = socket.recv().await.unwrap() {
            if text.starts_with("end ") {
                socket.send(heard.count.to_string()).await.unwrap();
                self.rounds.send_if_modified(|rounds| {
                    *rounds += u64::from(member == 4);
                    member == 4
                });
            } else if &*text == "over" {
                break;
            } else {
                heard.note(member, &text, true);
            }
        }
        let outcome = socket.close(1000, "").await.unwrap();
        assert!(outcome.clean, "member {member}: {outcome:?}");
        if self.healthy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.rounds.send_replace(u64::MAX);
        }
    }

    /// Until so many rounds have passed; false when it is over.
    async fn passed(&self, rounds: u64) -> bool {
        let mut now = self.rounds.subscribe();
        let until = now.borrow().saturating_add(rounds);
        *now.wait_for(|now| *now >= until).await.unwrap() < u64::MAX
    }

    /// One that comes, hears what is said while it is there, and goes: with and without a word.
    async fn pass(self: Arc<Self>, member: usize) {
        let mut goes_on = true;
        while goes_on {
            let mut socket = self.connect(member).await;
            let mut heard = Heard::default();
            let reading = async {
                while let Ok(Some(Message::Text(text))) = socket.recv().await {
                    if !text.starts_with("end ") && &*text != "over" {
                        heard.note(member, &text, false);
                    }
                }
            };
            goes_on = tokio::select! {
                goes_on = self.passed(1 + member as u64 % 3) => goes_on,
                () = reading => true,
            };
            if heard.count % 2 == 0 {
                // How it ends is of no interest.
                let _ = socket.close(1000, "").await;
            }
        }
    }

    /// One that never reads.
    async fn stall(self: Arc<Self>, member: usize) {
        let mut goes_on = true;
        while goes_on {
            let socket = self.connect(member).await;
            goes_on = self.passed(50 + member as u64 % 50).await;
            drop(socket);
        }
    }
}
