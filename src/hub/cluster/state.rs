//! What a node knows, under one lock.

use std::collections::{BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;

use crate::hub::PresenceKind;
use crate::hub::room::Room;
use crate::hub::shared::Shared;
use crate::sync::Arc;

use super::calls::Calls;
use super::channel::Channel;
use super::config::ClusterConfig;
use super::hearing::Hearing;
use super::name::NodeId;
use super::nodes::Nodes;
use super::questions::Questions;
use super::session::Refusal;

/// Under its lock come those of rooms, presence and the registry, never around it.
#[derive(Debug)]
pub(super) struct State {
    /// By channel: what is subscribed to.
    pub(super) heard: HashMap<Arc<str>, Hearing>,
    pub(super) nodes: Nodes,
    pub(super) questions: Questions,
    /// What other nodes are asked about sessions.
    pub(super) calls: Calls,
    /// Whether others are asked who is in a room.
    pub(super) looks_after_presence: bool,
    /// Channels of rooms that they are to be asked about when the broker has confirmed that we hear the answers. Those that
    /// are marked, and others that are heard no longer.
    pub(super) asks: VecDeque<Arc<str>>,
    /// Rooms that somebody asked about.
    pub(super) owed: BTreeSet<Arc<str>>,
    /// How many more users of other nodes may be known.
    pub(super) presence_left: usize,
    /// When the others are told next that we are here, and were last.
    pub(super) beat_at: Instant,
    pub(super) beat_before: Option<Instant>,
    /// When rooms are asked about and answered for next.
    pub(super) rooms_at: Instant,
    /// When there was last nothing left to hear.
    pub(super) all_heard_at: Instant,
    /// Whether there is a connection to the broker.
    pub(super) is_up: bool,
}

impl State {
    pub(super) fn new(config: &ClusterConfig) -> Self {
        let now = Instant::now();
        Self {
            heard: HashMap::new(),
            nodes: Nodes::new(config.nodes_max),
            questions: Questions::new(config.questions_max, config.answer_bytes_max),
            calls: Calls::new(config.answer_bytes_max),
            looks_after_presence: false,
            asks: VecDeque::new(),
            owed: BTreeSet::new(),
            presence_left: config.presence_max,
            beat_at: now,
            beat_before: None,
            rooms_at: now,
            all_heard_at: now,
            is_up: false,
        }
    }

    /// The others are asked who is in a room.
    pub(super) fn ask_about(&mut self, channel: &str) {
        let is_room = matches!(Channel::parse(channel), Some(Channel::Room(_)));
        let Some((known, _)) = self.heard.get_key_value(channel) else { return };
        let known = known.clone();
        if let Some(hearing) = self.heard.get_mut(channel)
            && self.looks_after_presence
            && is_room
            && !std::mem::replace(&mut hearing.is_asked, true)
        {
            self.asks.push_back(known);
            self.tidy_asks();
        }
    }

    /// A room that flaps while there is no connection leaves its name each time.
    fn tidy_asks(&mut self) {
        if self.asks.len() > 2 * self.heard.len() + 64 {
            let asked = self.heard.iter().filter(|(_, hearing)| hearing.is_asked);
            self.asks = asked.map(|(channel, _)| channel.clone()).collect();
        }
    }

    /// The same about all rooms.
    pub(super) fn ask_about_all(&mut self) {
        if !self.looks_after_presence {
            return;
        }
        for (channel, hearing) in &mut self.heard {
            let is_room = matches!(Channel::parse(channel), Some(Channel::Room(_)));
            if is_room && !std::mem::replace(&mut hearing.is_asked, true) {
                self.asks.push_back(channel.clone());
            }
        }
    }

    /// A node will not speak again: how far it was need not be known.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.heard.values_mut().for_each(|hearing| hearing.forget(node));
    }

    /// A node is gone, with whoever was there.
    pub(super) fn note_gone(&mut self, hub: &Shared, node: NodeId) {
        self.questions.forget(node);
        self.calls.refuse_all(Some(node), Refusal::Unknown);
        for (channel, hearing) in &mut self.heard {
            let mut tell = |user: &Arc<str>, kind| note(hub, channel, user, kind);
            hearing.elsewhere.forget(node, &mut self.presence_left, &mut tell);
        }
    }

    /// Who is in a room by the word of a node that has said nothing of it for long is gone.
    pub(super) fn expire_elsewhere(&mut self, hub: &Shared) {
        let Self { heard, nodes, presence_left: left, all_heard_at, .. } = self;
        let silence_max = |node| nodes.digest_max(node);
        for (channel, hearing) in heard {
            let mut tell = |user: &Arc<str>, kind| note(hub, channel, user, kind);
            hearing.elsewhere.expire(*all_heard_at, silence_max, left, &mut tell);
        }
    }

    /// A channel is listened to no longer, and whoever was there is out of sight.
    pub(super) fn unhear(&mut self, hub: &Shared, channel: &str) {
        let Some(mut hearing) = self.heard.remove(channel) else { return };
        let mut tell = |user: &Arc<str>, kind| note(hub, channel, user, kind);
        hearing.elsewhere.forget_all(&mut self.presence_left, &mut tell);
        if self.heard.capacity() > 64 && self.heard.len() < self.heard.capacity() / 8 {
            // Memory of a burst is given back.
            self.heard.shrink_to(64);
        }
    }
}

/// Notes for who looks after presence that somebody has come or gone on another node.
pub(super) fn note(hub: &Shared, channel: &str, user: &Arc<str>, kind: PresenceKind) {
    let Some(Channel::Room(name)) = Channel::parse(channel) else { return };
    let Some(room) = room(hub, name) else { return };
    match kind {
        PresenceKind::Joined => hub.presence.enter_elsewhere(&room, user),
        PresenceKind::Left => hub.presence.leave_elsewhere(&room, user),
    }
}

/// A room that is there already.
pub(super) fn room(hub: &Shared, name: &str) -> Option<Room> {
    let rooms = hub.rooms.lock();
    rooms.get(name).and_then(std::sync::Weak::upgrade).map(Room::new)
}
