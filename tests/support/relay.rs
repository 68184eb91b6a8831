//! A TCP relay that cuts connections at any byte.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Forward,
    /// What the client says does not arrive.
    Swallow,
    /// What the server says waits.
    Hold,
    /// No connection stands.
    Cut,
}

struct State {
    mode: Mode,
    /// How often connections were cut: each of them ends that began before, however short it was.
    cuts: usize,
}

/// Stands between a client and a server until it is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    /// Bytes of the client that were swallowed.
    swallowed: watch::Sender<usize>,
    /// All that the server said.
    said: Arc<Mutex<Vec<u8>>>,
    /// What clients said, until it is taken.
    heard: Arc<Mutex<Vec<u8>>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Place {
    state: watch::Receiver<State>,
    swallowed: watch::Sender<usize>,
    said: Arc<Mutex<Vec<u8>>>,
    heard: Arc<Mutex<Vec<u8>>>,
    /// What is said and heard is remembered.
    remembers: bool,
}

impl Relay {
    /// Cuts the first connections, each after the next of these numbers of bytes in either direction.
    pub(crate) async fn start(server: SocketAddr, cuts: Vec<(usize, usize)>) -> Self {
        Self::begin(server, cuts, true).await
    }

    /// One that remembers nothing, for as long as it may be.
    pub(crate) async fn forgetful(server: SocketAddr) -> Self {
        Self::begin(server, Vec::new(), false).await
    }

    async fn begin(server: SocketAddr, cuts: Vec<(usize, usize)>, remembers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watched) = watch::channel(State { mode: Mode::Forward, cuts: 0 });
        let (swallowed, _) = watch::channel(0);
        let (said, heard) = (Arc::default(), Arc::default());
        let place = Place {
            state: watched,
            swallowed: swallowed.clone(),
            said: Arc::clone(&said),
            heard: Arc::clone(&heard),
            remembers,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, server, cuts, place));
        Self { address, state, swallowed, said, heard, _tasks: tasks }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("ws://{}{target}", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.mode = mode;
            state.cuts += usize::from(mode == Mode::Cut);
        });
    }

    pub(crate) fn mode(&self) -> Mode {
        self.state.borrow().mode
    }

    /// So many bytes of the client were swallowed.
    pub(crate) async fn has_swallowed(&self, least: usize) {
        self.swallowed.subscribe().wait_for(|bytes| *bytes >= least).await.unwrap();
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// What clients said since this was asked last.
    pub(crate) fn take_heard(&self) -> String {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        String::from_utf8_lossy(&heard).into_owned()
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, cuts: Vec<(usize, usize)>, place: Place) {
    let mut cuts = cuts.into_iter();
    // Aborted with this task.
    let mut lines = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        while lines.try_join_next().is_some() {}
        if place.state.borrow().mode == Mode::Cut {
            continue;
        }
        let budgets = cuts.next().unwrap_or((usize::MAX, usize::MAX));
        lines.spawn(relay(client, server, budgets, place.clone()));
    }
}

async fn relay(client: TcpStream, server: SocketAddr, budgets: (usize, usize), place: Place) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // It adds no wait of its own to the ends of pieces.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let mut state = place.state.clone();
    let cuts = state.borrow().cuts;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = up(from_client, to_server, budgets.0, &place) => {}
        () = down(from_server, to_client, budgets.1, &place) => {}
        _ = state.wait_for(|state| state.cuts > cuts || state.mode == Mode::Cut) => {}
    }
}

async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut budget: usize, place: &Place) {
    let mut buf = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buf).await {
        if place.state.borrow().mode == Mode::Swallow {
            place.swallowed.send_modify(|bytes| *bytes += len);
            continue;
        }
        let len = len.min(budget);
        budget -= len;
        if place.remembers {
            place.heard.lock().unwrap().extend_from_slice(&buf[..len]);
        }
        if to.write_all(&buf[..len]).await.is_err() || budget == 0 {
            return;
        }
    }
}

async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut budget: usize, place: &Place) {
    let (mut buf, mut state) = ([0; 4096], place.state.clone());
    while let Ok(len @ 1..) = from.read(&mut buf).await {
        // It ends with the relay.
        let _ = state.wait_for(|state| state.mode != Mode::Hold).await;
        let len = len.min(budget);
        budget -= len;
        if place.remembers {
            place.said.lock().unwrap().extend_from_slice(&buf[..len]);
        }
        if to.write_all(&buf[..len]).await.is_err() || budget == 0 {
            return;
        }
    }
}
