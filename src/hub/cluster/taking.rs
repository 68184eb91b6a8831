//! Sessions of other nodes that come to this one.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::hub::hub::Hub;
use crate::hub::shared::Shared;
use crate::protocol::PreparedMessage;
use crate::sync::Arc;

use super::calls::Told;
use super::channel::{self, ALL, Channel};
use super::envelope::Body;
use super::giving::Keeper;
use super::inner::Inner;
use super::name::NodeId;
use super::node::Node;
use super::numbers::Stamp;
use super::session::{ChannelState, Claim, Refusal, Waiting};
use super::windows::Cover;

/// Something to be done in the task of the node, between two messages.
pub(super) type Errand = Box<dyn FnOnce(&Arc<Inner>, &Arc<Shared>) + Send>;

/// A node, as the floor above has it that moves sessions.
#[derive(Clone, Debug)]
pub(crate) struct Moves {
    hub: Arc<Shared>,
    inner: Arc<Inner>,
}

/// A session on its way to this node. Dropping it ends the way.
#[derive(Debug)]
pub(crate) struct Move {
    moves: Moves,
    home: NodeId,
    number: u64,
}

impl Hub {
    /// Its end of the cluster, where it is a node.
    pub(crate) fn moves(&self) -> Option<Moves> {
        let hub = self.shared().clone();
        let node = hub.remote.clone()?.into_any().downcast::<Node>().ok()?;
        Some(Moves { hub, inner: node.inner.clone() })
    }

    /// Tells who has come and gone.
    pub(crate) fn tell_changes(&self) {
        self.shared().tell_presence();
    }
}

impl Moves {
    /// The name of this node.
    pub(crate) fn node(&self) -> NodeId {
        self.inner.id
    }

    /// How long a move may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.inner.config.move_timeout
    }

    /// Who has the sessions. Once.
    pub(crate) fn set_keeper(&self, keeper: Box<dyn Keeper>) {
        self.inner.set_keeper(keeper);
    }

    /// Whether a node is heard of.
    pub(crate) fn knows(&self, node: NodeId) -> bool {
        self.inner.state.lock().nodes.ids().contains(&node)
    }

    /// Whether any other node is heard of.
    pub(crate) fn has_others(&self) -> bool {
        !self.inner.state.lock().nodes.is_empty()
    }

    /// Something that was sent here to a session that is on another node by now.
    pub(crate) fn say_onward(&self, node: NodeId, session: &Arc<str>, message: Waiting) {
        let body = Body::Onward { session: session.clone(), message };
        // What is not taken is counted.
        let _ = self.inner.say(&channel::of_node(node), &body);
    }

    /// Begins to move a session here. All that is said to everybody, or to this user, is noted from here on.
    pub(crate) fn begin(&self, home: NodeId, user: Option<&str>) -> Move {
        let mut state = self.inner.state.lock();
        let number = state.calls.next();
        drop(state);
        self.inner.windows.begin(number, user.map(Arc::from));
        let this = Move { moves: self.clone(), home, number };
        this.open(ALL);
        user.into_iter().for_each(|user| this.open(&channel::of_user(user)));
        this
    }
}

impl Move {
    /// It is on another node.
    pub(crate) const fn turn_to(&mut self, home: NodeId) {
        self.home = home;
    }

    pub(crate) const fn home(&self) -> NodeId {
        self.home
    }

    /// Asks for the session, by a claim whose numbers are filled in.
    ///
    /// Cancel safety: the answer is passed over.
    pub(crate) async fn claim(&self, claim: Claim) -> Told {
        let number = self.number;
        self.ask(|id| Body::Claim(Claim { id, number, ..claim })).await
    }

    /// Says that it is had, and asks for the rest.
    ///
    /// Cancel safety: it is not known then who has it.
    pub(crate) async fn settle(&self, session: &str) -> Told {
        let (number, session) = (self.number, Arc::from(session));
        self.ask(|id| Body::Settle { id, number, is_taken: true, session }).await
    }

    /// Says that it will not be had.
    pub(crate) fn give_up(&self, session: &str) {
        let body =
            Body::Settle { id: 0, number: self.number, is_taken: false, session: session.into() };
        // Without it the other node waits for as long as it would anyway.
        let _ = self.moves.inner.say(&channel::of_node(self.home), &body);
    }

    async fn ask(&self, body: impl FnOnce(u64) -> Body) -> Told {
        let inner = &self.moves.inner;
        let (id, answer) = inner.state.lock().calls.ask(self.home);
        let _asked = Asked { inner, id };
        let said = inner.say(&channel::of_node(self.home), &body(id));
        said.map_err(|_| Refusal::Unknown)?;
        answer.await.unwrap_or(Err(Refusal::Unknown))
    }

    /// Listens to the channels of these rooms, and waits until they are heard. False: not within this time.
    ///
    /// Cancel safety: it listens on until the move ends.
    pub(crate) async fn listen(&self, rooms: &[Arc<str>], within: Duration) -> bool {
        for room in rooms {
            self.open(&channel::of_room(room));
        }
        let (inner, number) = (&self.moves.inner, self.number);
        for channel in inner.windows.channels(number) {
            if !inner.bus.subscribed(&channel, within).await {
                return false;
            }
        }
        true
    }

    /// Opens the window to one more channel.
    fn open(&self, name: &str) {
        let (inner, number) = (&self.moves.inner, self.number);
        if inner.windows.has(number, name) {
            return;
        }
        let mut state = inner.state.lock();
        if !state.heard.contains_key(name) && inner.hear(&mut state, name) {
            state.ask_about(name);
        }
        let hearing = state.heard.get(name);
        let before = hearing.into_iter().flat_map(super::hearing::Hearing::positions);
        let mut before: HashMap<_, _> = before.collect();
        // Under both locks, so that nothing is said in between.
        let numbers = inner.numbers.lock();
        before.extend(numbers.last(name).map(|stamp| (inner.id, stamp)));
        inner.windows.add(number, name, before);
    }

    /// Where what the other node had heard and what was noted here make a whole, does this with what only this node has:
    /// between two messages, so that what comes next finds the session in its rooms.
    ///
    /// Cancel safety: it may still be done.
    pub(crate) async fn install<T: Send + 'static>(
        &self,
        heard: Vec<ChannelState>,
        act: impl FnOnce(Vec<PreparedMessage>) -> T + Send + 'static,
    ) -> Result<T, Cover> {
        let (sender, receiver) = oneshot::channel();
        let number = self.number;
        self.moves.inner.run(Box::new(move |inner, _| {
            let done = inner.install(number, &heard, act);
            // Whoever waits for it may have gone; what was done goes with it.
            drop(sender.send(done));
        }));
        receiver.await.unwrap_or(Err(Cover::Lost))
    }
}

impl Inner {
    fn install<T>(
        &self,
        number: u64,
        heard: &[ChannelState],
        act: impl FnOnce(Vec<PreparedMessage>) -> T,
    ) -> Result<T, Cover> {
        let _rooms = self.rooms_cut.write();
        // Not waited for: somebody who speaks to a user may have called us.
        let _users = self.users_cut.try_write().ok_or(Cover::Behind)?;
        let last = |channel: &str, node| {
            if node == self.id {
                return self.numbers.lock().last(channel);
            }
            self.state.lock().heard.get(channel)?.last(node)
        };
        let positions: HashMap<(&str, NodeId), _> = heard
            .iter()
            .flat_map(|told| told.nodes.iter().map(|(node, ..)| (&*told.channel, *node)))
            .filter_map(|(channel, node)| Some(((channel, node), last(channel, node)?)))
            .collect();
        let known = |channel: &str, node| positions.get(&(channel, node)).copied();
        match self.windows.cover(number, heard, known) {
            (Cover::Whole, messages) => {
                self.note_told(heard);
                Ok(act(messages))
            }
            (cover, _) => Err(cover),
        }
    }

    /// What follows what a session brings is compared with it, where nothing has come to be compared with.
    fn note_told(&self, heard: &[ChannelState]) {
        let mut state = self.state.lock();
        for ChannelState { channel, nodes } in heard {
            let Some(hearing) = state.heard.get_mut(channel) else { continue };
            for (node, stream, number) in nodes.iter().filter(|(node, ..)| *node != self.id) {
                hearing.note_told(*node, Stamp { stream: *stream, number: *number });
            }
        }
    }

    /// Does something in the task of the node.
    fn run(&self, errand: Errand) {
        self.errands.lock().0.push(errand);
        self.changed.notify_one();
    }

    pub(super) fn run_errands(self: &Arc<Self>, hub: &Arc<Shared>) {
        let errands = std::mem::take(&mut self.errands.lock().0);
        errands.into_iter().for_each(|errand| errand(self, hub));
    }

    /// Nobody waits for what is said on these channels any more; members may.
    fn unwant(&self, hub: &Shared, channels: &[Arc<str>]) {
        for name in channels {
            let mut state = self.state.lock();
            if self.windows.wants(name) || is_wanted(hub, name) {
                continue;
            }
            state.unhear(hub, name);
            self.bus.unsubscribe(name);
        }
    }
}

fn is_wanted(hub: &Shared, name: &str) -> bool {
    match Channel::parse(name) {
        Some(Channel::Room(name)) => {
            let room = super::state::room(hub, name);
            room.is_some_and(|room| !room.is_empty())
        }
        Some(Channel::User(user)) => !hub.registry.of_user(user).is_empty(),
        _ => true,
    }
}

struct Asked<'a> {
    inner: &'a Inner,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.inner.state.lock().calls.close(self.id);
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        let Moves { hub, inner } = &self.moves;
        let channels = inner.windows.end(self.number);
        inner.unwant(hub, &channels);
    }
}
