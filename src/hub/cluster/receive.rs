//! What comes from other nodes.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::hub::error::BroadcastError;
use crate::hub::remote::Keep;
use crate::hub::report::Except;
use crate::hub::room::Room;
use crate::hub::shared::{EVERYBODY, Shared};
use crate::protocol::{MessageRef, PreparedMessage};
use crate::pubsub::BusMessage;
use crate::sync::Arc;

use super::channel::Channel;
use super::config::GapAt;
use super::envelope::{Body, Carried, Envelope, Kept, Question};
use super::hearing::Heard;
use super::inner::{Inner, Tally};
use super::name::NodeId;
use super::node::looks_after_presence;
use super::nodes::Met;
use super::numbers::Stamp;
use super::session::{Claim, Refusal};
use super::state::{State, note, room};

/// The longest that a message waits for the hub's workers: with it waits all that comes behind, and what this node says
/// of itself.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two looks whether there is room.
const MOMENT: Duration = Duration::from_millis(1);

/// What is left to be done, which may have to wait.
#[derive(Debug)]
pub(super) enum Todo {
    Nothing,
    Deliver(Delivery),
    Answer {
        node: NodeId,
        id: u64,
        question: Question,
    },
    /// A session is asked for.
    Claim {
        node: NodeId,
        claim: Box<Claim>,
    },
}

/// A message for those who are here.
#[derive(Debug)]
pub(super) struct Delivery {
    node: NodeId,
    to: Recipients,
    message: PreparedMessage,
    except: Except,
    keep: Keep,
}

#[derive(Debug)]
enum Recipients {
    Everybody,
    Room(Room),
    User(Arc<str>),
}

impl Inner {
    pub(super) fn receive(&self, hub: &Arc<Shared>, message: &BusMessage) -> Todo {
        let channel = Channel::parse(&message.channel);
        let envelope = Envelope::decode(&message.payload);
        let (Some(channel), Ok(envelope)) = (channel, envelope) else { return self.pass_over() };
        if envelope.node == self.id {
            // Our own comes back.
            return Todo::Nothing;
        }
        if !belongs(channel, &envelope.body) {
            return self.pass_over();
        }
        let Some(heard) = self.note_heard(&message.channel, channel, &envelope) else {
            return Todo::Nothing;
        };
        if let Heard::Missed(missed) = heard {
            self.windows.spoil(Some(&message.channel));
            self.note_missed(hub, channel, envelope.node, missed);
        }
        self.take(hub, &message.channel, channel, envelope)
    }

    fn pass_over(&self) -> Todo {
        Tally::add(&self.tally.poisoned, 1);
        Todo::Nothing
    }

    /// Who speaks, and which number it is; `None`: nobody listens, or it was here.
    fn note_heard(&self, name: &str, channel: Channel<'_>, envelope: &Envelope) -> Option<Heard> {
        let Envelope { node, stream, number, .. } = *envelope;
        let (now, silence_max) = (Instant::now(), self.silence_max(self.config.heartbeat_ms()));
        let mut state = self.state.lock();
        match state.nodes.hear(node, now, silence_max) {
            Met::Before => {}
            // It does not know us either, and may have been out of sight.
            Met::Now => state.greet(now, self.config.heartbeat_interval),
            Met::Never => {
                Tally::add(&self.tally.poisoned, 1);
                return None;
            }
        }
        let hearing = state.heard.get_mut(name)?;
        let heard = hearing.hear(node, Stamp { stream, number });
        match heard {
            Heard::Next => {}
            Heard::Again => {
                Tally::add(&self.tally.repeated, 1);
                return None;
            }
            Heard::Missed(_) => {
                hearing.elsewhere.spoil(node);
                match channel {
                    Channel::Room(_) => state.ask_about(name),
                    Channel::Node => {
                        state.questions.spoil(node);
                        state.calls.refuse_all(Some(node), Refusal::Again);
                    }
                    _ => {}
                }
            }
        }
        self.windows.note(name, node, Stamp { stream, number });
        Some(heard)
    }

    fn note_missed(&self, hub: &Arc<Shared>, channel: Channel<'_>, node: NodeId, missed: u64) {
        let at = match channel {
            Channel::Room(name) => room(hub, name).map(GapAt::Room),
            Channel::User(user) => Some(GapAt::User(user.into())),
            Channel::All => Some(GapAt::Everybody),
            // Of these the application knows nothing.
            Channel::Nodes | Channel::Node => None,
        };
        Tally::add(&self.tally.missed, missed);
        if let Some(at) = at {
            self.tell_gap(hub, at, Some(node), Some(missed));
        }
    }

    fn take(
        &self,
        hub: &Arc<Shared>,
        name: &str,
        channel: Channel<'_>,
        envelope: Envelope,
    ) -> Todo {
        let Envelope { node, stream, number, body } = envelope;
        match body {
            Body::Message(carried) => {
                let message = prepared(&carried);
                let stamp = Stamp { stream, number };
                self.windows.record(name, (node, stamp), &message, &carried.except);
                return delivery(hub, (node, channel), &carried, message);
            }
            Body::Claim(claim) => return Todo::Claim { node, claim: Box::new(claim) },
            Body::Settle { .. }
            | Body::Part { .. }
            | Body::Refused { .. }
            | Body::Onward { .. } => {
                self.take_of_session(node, body);
            }
            Body::Question { id, question } => return Todo::Answer { node, id, question },
            Body::Answer { id, is_last, answer } => {
                self.state.lock().questions.answer(node, id, answer, is_last);
            }
            Body::Heartbeat { interval_ms, digest_ms, lost } => {
                let patience = [interval_ms, digest_ms].map(|ms| self.silence_max(ms));
                if self.state.lock().nodes.beat(node, patience, lost) {
                    self.windows.spoil(None);
                    self.state.lock().ask_about_all();
                    self.tell_gap(hub, GapAt::Anywhere, Some(node), None);
                }
            }
            Body::Goodbye => {
                let mut state = self.state.lock();
                state.nodes.remove(node);
                state.note_gone(hub, node);
                state.forget(node);
                drop(state);
                self.tell_presence(hub);
            }
            presence => {
                if looks_after_presence(hub) {
                    self.take_presence(hub, name, node, presence);
                    self.tell_presence(hub);
                }
            }
        }
        Todo::Nothing
    }

    /// What is said of sessions that move.
    fn take_of_session(&self, node: NodeId, body: Body) {
        match body {
            Body::Settle { id, number, is_taken, session } => {
                self.answer_settle(node, (id, number), is_taken, &session);
            }
            Body::Part { id, is_last, bytes } => {
                self.state.lock().calls.part(node, id, &bytes, is_last);
            }
            Body::Refused { id, refusal } => self.state.lock().calls.answer(node, id, Err(refusal)),
            Body::Onward { session, message } => {
                if let Some(keeper) = self.keeper() {
                    keeper.take_in(&session, message);
                }
            }
            _ => {}
        }
    }

    /// Who is in a room on that node.
    fn take_presence(&self, hub: &Shared, channel: &str, node: NodeId, body: Body) {
        let mut guard = self.state.lock();
        let State { heard, presence_left: left, owed, .. } = &mut *guard;
        let Some(hearing) = heard.get_mut(channel) else { return };
        let Some(Channel::Room(room)) = Channel::parse(channel) else { return };
        let elsewhere = &mut hearing.elsewhere;
        let mut tell = |user: &Arc<str>, kind| note(hub, channel, user, kind);
        match body {
            Body::Joined(user) => elsewhere.join(node, &user, left, &mut tell),
            Body::Left(user) => elsewhere.leave(node, &user, left, &mut tell),
            Body::Users { is_first, is_last, users } => {
                elsewhere.list(node, (is_first, is_last), users, left, &mut tell);
            }
            Body::Ask => drop(owed.insert(room.into())),
            Body::Digest { users, hash } if !elsewhere.agrees(node, (users, hash)) => {
                guard.ask_about(channel);
            }
            _ => {}
        }
    }

    /// Says a message to those who are here. Where there is no room for it, it is missing as one that did not come.
    pub(super) async fn deliver(&self, hub: &Arc<Shared>, delivery: Delivery) {
        if !delivery.deliver(hub).await {
            Tally::add(&self.tally.missed, 1);
            self.tell_gap(hub, delivery.at(), Some(delivery.node), Some(1));
        }
    }

    /// Something may be missing anywhere.
    pub(super) fn note_gap(&self, hub: &Arc<Shared>) {
        self.windows.spoil(None);
        let mut state = self.state.lock();
        state.ask_about_all();
        // Parts of what was answered may be among it.
        state.calls.refuse_all(None, Refusal::Again);
        drop(state);
        self.tell_gap(hub, GapAt::Anywhere, None, None);
    }
}

/// Whether this is said there.
const fn belongs(channel: Channel<'_>, body: &Body) -> bool {
    use Channel::{All, Node, Nodes, Room, User};
    match body {
        Body::Message(_) => matches!(channel, Room(_) | User(_) | All),
        Body::Joined(_) | Body::Left(_) | Body::Ask | Body::Users { .. } | Body::Digest { .. } => {
            matches!(channel, Room(_))
        }
        Body::Heartbeat { .. } | Body::Goodbye | Body::Question { .. } => matches!(channel, Nodes),
        Body::Answer { .. }
        | Body::Claim(_)
        | Body::Settle { .. }
        | Body::Part { .. }
        | Body::Refused { .. }
        | Body::Onward { .. } => matches!(channel, Node),
    }
}

fn prepared(carried: &Carried) -> PreparedMessage {
    let message = match std::str::from_utf8(&carried.payload) {
        Ok(text) if carried.is_text => MessageRef::Text(text),
        _ => MessageRef::Binary(&carried.payload),
    };
    PreparedMessage::new(message).compress(carried.compress)
}

fn delivery(
    hub: &Shared,
    (node, channel): (NodeId, Channel<'_>),
    carried: &Carried,
    message: PreparedMessage,
) -> Todo {
    let to = match channel {
        Channel::Room(name) => room(hub, name).map(Recipients::Room),
        Channel::User(user) => Some(Recipients::User(user.into())),
        _ => Some(Recipients::Everybody),
    };
    let Some(to) = to else { return Todo::Nothing };
    let users = carried.except.iter();
    let except = users.fold(Except::nobody(), |except, user| except.and_user(user));
    let keep = match carried.kept {
        Kept::Not => Keep::Not,
        Kept::All => Keep::All,
        Kept::Latest(key) => Keep::Latest(key),
    };
    Todo::Deliver(Delivery { node, to, message, except, keep })
}

impl Delivery {
    /// To all of them; false: the workers had no room for it in time.
    ///
    /// Cancel safety: dropping the future loses the message.
    pub(super) async fn deliver(&self, hub: &Arc<Shared>) -> bool {
        if self.try_deliver(hub).is_ok() {
            return true;
        }
        let delivering = async {
            loop {
                poll_fn(|cx| hub.poll_ready(cx)).await;
                if self.try_deliver(hub).is_ok() {
                    return;
                }
                // Half of it is free, which is not enough.
                sleep(MOMENT).await;
            }
        };
        timeout(DELIVERY_TIMEOUT, delivering).await.is_ok()
    }

    fn try_deliver(&self, hub: &Arc<Shared>) -> Result<(), BroadcastError> {
        let Self { to, message, except, keep, .. } = self;
        match to {
            Recipients::Everybody => hub.publish_here(EVERYBODY, message, except),
            Recipients::Room(room) => hub.say_kept_here(room, *keep, message, except),
            Recipients::User(user) => {
                let left_out = except.here(hub);
                for peer in hub.registry.of_user(user) {
                    if !left_out.has(peer.id()) {
                        // One that misses it does not keep it from the others.
                        let _ = peer.sender().try_broadcast(message);
                    }
                }
                Ok(())
            }
        }
    }

    fn at(&self) -> GapAt {
        match &self.to {
            Recipients::Everybody => GapAt::Everybody,
            Recipients::Room(room) => GapAt::Room(room.clone()),
            Recipients::User(user) => GapAt::User(user.clone()),
        }
    }
}
