//! Hubs that are nodes of one cluster, and their members. Time is paused, or passes by itself while a test waits.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::hub::cluster::{ClusterConfig, ClusterGap, GapAt, Gathered};
use sockeye::hub::metrics::ClusterSnapshot;
use sockeye::hub::{Hub, HubBuilder, PresenceChange, PresenceKind, Profile, Registration};
use sockeye::pubsub::{Broker, BusState, Memory};
use sockeye::{Message, Role, WebSocket};
use tokio::io::{DuplexStream, duplex};

use super::pair::quiet;
use super::pubsub::SOON;
use super::server::within;
use super::streams::Ignore;
use sockeye::testing::FaultyBroker;

/// Long enough for all that is known to have come.
pub(crate) const A_WHILE: Duration = Duration::from_millis(200);

/// Whatever a test waits for is so by then, in its own time.
const LATEST: Duration = Duration::from_secs(600);

/// What was told, in order.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub(crate) fn push(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// What was told, in order of the words.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut told = self.take();
        told.sort();
        told
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

pub(crate) fn config() -> ClusterConfig {
    let mut config = ClusterConfig::default();
    config.bus = super::pubsub::config();
    config
}

pub(crate) fn gap_text(gap: &ClusterGap) -> String {
    let at = match &gap.at {
        GapAt::Anywhere => "anywhere".to_owned(),
        GapAt::Everybody => "everybody".to_owned(),
        GapAt::Room(room) => format!("room {}", room.name()),
        GapAt::User(user) => format!("user {user}"),
        other => panic!("{other:?}"),
    };
    match gap.missed {
        Some(missed) => format!("{at} {missed}"),
        None => at,
    }
}

/// A hub that tells its gaps.
pub(crate) fn telling(broker: impl Broker) -> (Hub, Told) {
    let told = Told::default();
    let gaps = told.clone();
    let config = config().on_gap(move |gap| gaps.push(gap_text(gap)));
    (Hub::builder().cluster(broker, config).build().unwrap(), told)
}

pub(crate) fn node_with(
    broker: impl Broker,
    config: ClusterConfig,
    change: impl FnOnce(HubBuilder) -> HubBuilder,
) -> Hub {
    change(Hub::builder()).cluster(broker, config).build().unwrap()
}

pub(crate) fn node(broker: impl Broker) -> Hub {
    node_with(broker, config(), |hub| hub)
}

/// A hub that tells who comes and goes.
pub(crate) fn watching(broker: impl Broker, config: ClusterConfig) -> (Hub, Told) {
    let told = Told::default();
    let changes = told.clone();
    let hub = node_with(broker, config, |hub| {
        hub.on_presence(move |change| changes.push(presence_text(change)))
    });
    (hub, told)
}

pub(crate) fn presence_text(change: &PresenceChange) -> String {
    let sign = if change.kind == PresenceKind::Joined { '+' } else { '-' };
    let user = change.user.as_deref().unwrap_or("somebody");
    format!("{sign}{user} {}", change.room.name())
}

/// So many nodes, each with a way to the broker that can be cut.
pub(crate) fn brokers(count: u64) -> Vec<FaultyBroker<Memory>> {
    let memory = Memory::new();
    (0..count).map(|seed| FaultyBroker::new(memory.clone(), seed)).collect()
}

/// Lets time pass.
pub(crate) async fn pass(duration: Duration) {
    let _ = tokio::time::timeout(duration, pending::<()>()).await;
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            pass(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LATEST, waiting).await.is_ok(), "{what}");
}

/// Waits until all of them know each other.
pub(crate) async fn meet(hubs: &[&Hub]) {
    for hub in hubs {
        until("all know each other", || hub.cluster().others().len() == hubs.len() - 1).await;
    }
}

pub(crate) async fn is_up(hub: &Hub, is_up: bool) {
    let mut state = hub.cluster().state().unwrap();
    let is_so = |state: &BusState| matches!(state, BusState::Up { .. }) == is_up;
    within(state.wait_for(is_so)).await.unwrap();
}

pub(crate) fn counts(hub: &Hub) -> ClusterSnapshot {
    hub.metrics().cluster.unwrap()
}

/// What all have answered.
#[track_caller]
pub(crate) fn whole<T>(gathered: Gathered<T>) -> T {
    assert!(gathered.is_complete(), "{:?} have not answered", gathered.missing);
    gathered.value
}

/// A connection of a hub, and its client.
pub(crate) struct Member {
    pub(crate) registration: Registration,
    client: WebSocket<DuplexStream>,
}

impl Member {
    pub(crate) fn new(hub: &Hub, user: Option<&str>) -> Self {
        let config = Arc::new(quiet());
        let (ours, theirs) = duplex(64 * 1024);
        let server = WebSocket::from_stream(ours, Role::Server, &config);
        let profile = user.map_or_else(Profile::new, |user| Profile::new().user(user));
        let registration = hub.register(&server.sender(), profile).unwrap();
        tokio::spawn(server.run(Ignore));
        Self { registration, client: WebSocket::from_stream(theirs, Role::Client, &config) }
    }

    /// One that hears what is said in the room on all nodes.
    pub(crate) async fn of(hub: &Hub, user: &str, room: &str) -> Self {
        let member = Self::new(hub, Some(user));
        let room = member.registration.join(room).unwrap();
        assert!(room.subscribed(SOON).await);
        member
    }

    pub(crate) fn id(&self) -> u64 {
        self.registration.id()
    }

    pub(crate) async fn message(&mut self) -> Option<Message> {
        within(self.client.recv()).await.unwrap()
    }

    /// The next message, which is a text.
    pub(crate) async fn text(&mut self) -> String {
        let message = self.message().await.expect("a message");
        message.as_text().expect("a text").to_owned()
    }

    /// All texts before this one.
    pub(crate) async fn texts_to(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let text = self.text().await;
            if text == last {
                return texts;
            }
            texts.push(text);
        }
    }

    /// The close code; what comes before it is thrown away.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        while let Ok(Some(_)) = within(self.client.recv()).await {}
        self.client.outcome().map(|outcome| outcome.code.into())
    }
}
