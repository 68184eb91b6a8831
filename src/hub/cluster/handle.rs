//! What all nodes are asked.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::frame::{CloseFrame, CloseFrameError};
use crate::hub::hub::Hub;
use crate::hub::room::Room;
use crate::hub::shared::Shared;
use crate::pubsub::BusState;
use crate::sync::Arc;

use super::answers;
use super::channel::{self, NODES};
use super::envelope::{Answer, Body, Question};
use super::inner::Inner;
use super::name::NodeId;
use super::node::Node;
use super::questions::Answers;

/// All nodes, to be asked. Of a hub that is no node it is that hub alone, so that a program need not know.
#[derive(Clone, Debug)]
pub struct Cluster {
    hub: Arc<Shared>,
    inner: Option<Arc<Inner>>,
}

/// What nodes have answered so far, when the time was over or all had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gathered<T> {
    /// Of those that have answered.
    pub value: T,
    /// How many have, this one among them.
    pub answered: usize,
    /// Those that were known and have not. A node that has much to do may be late for its own question, too.
    pub missing: Vec<NodeId>,
}

impl<T> Gathered<T> {
    /// Whether every node that was known has answered.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.answered > 0
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Gathered<U> {
        let Self { value, answered, missing } = self;
        Gathered { value: change(value), answered, missing }
    }
}

/// What came of a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Members that are in the other room now.
    pub moved: u64,
    /// Members that may not be there, and are where they were.
    pub refused: u64,
}

impl Hub {
    /// All nodes of the cluster, to be asked; of a hub that is no node, that hub alone.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let hub = self.shared().clone();
        let node = hub.remote.clone().map(|remote| remote.into_any().downcast::<Node>());
        let inner = node.and_then(Result::ok).map(|node| node.inner.clone());
        Cluster { hub, inner }
    }
}

impl Room {
    /// Waits until what is said to this room on other nodes is heard on this one, which is so soon after its first member
    /// has joined here. False, if it is not within this time. On a hub that is no node it is so at once.
    ///
    /// Cancel safety: it only looks.
    pub async fn subscribed(&self, within: Duration) -> bool {
        match Hub::from_shared(self.hub().clone()).cluster().inner {
            Some(inner) => inner.bus.subscribed(&channel::of_room(self.name()), within).await,
            None => true,
        }
    }
}

impl Cluster {
    /// The name of this node; `None`: it is none.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.inner.as_ref().map(|inner| inner.id)
    }

    /// The other nodes that are known, in order of their names.
    #[must_use]
    pub fn others(&self) -> Vec<NodeId> {
        let known = |inner: &Arc<Inner>| inner.state.lock().nodes.ids();
        let mut others = self.inner.as_ref().map(known).unwrap_or_default();
        others.sort_unstable();
        others
    }

    /// Where the bus to the broker is, to be looked at or waited for; `None`: there is none.
    #[must_use]
    pub fn state(&self) -> Option<watch::Receiver<BusState>> {
        self.inner.as_ref().map(|inner| inner.bus.state())
    }

    /// How many connections are registered.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn connections(&self, within: Duration) -> Gathered<u64> {
        self.count(Question::Connections, within).await
    }

    /// How many members a room has. A user who is there twice counts twice.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn room_members(&self, room: &str, within: Duration) -> Gathered<u64> {
        self.count(Question::Members(room.into()), within).await
    }

    /// Which users are in a room, whether presence is looked after or not.
    ///
    /// Cancel safety: dropping the future changes nothing. Cost: a look at every member on every node.
    pub async fn room_users(&self, room: &str, within: Duration) -> Gathered<BTreeSet<Arc<str>>> {
        let gathered = self.gather(&Question::Users(room.into()), within).await;
        gathered.map(|answers| answers.into_iter().flat_map(|answer| answer.users).collect())
    }

    /// How many connections a user has: with none it is not online, if all have answered.
    ///
    /// Cancel safety: dropping the future changes nothing.
    pub async fn user_connections(&self, user: &str, within: Duration) -> Gathered<u64> {
        self.count(Question::Online(user.into()), within).await
    }

    /// Closes all connections of a user behind what is queued for them, and says how many. With a code that tells a client not
    /// to come back, its session ends as well.
    ///
    /// # Errors
    /// When the code may not be sent or the reason is too long: then nothing has happened.
    ///
    /// Cancel safety: once polled, all nodes that hear of it do it.
    pub async fn disconnect_user(
        &self,
        user: &str,
        code: u16,
        reason: &str,
        within: Duration,
    ) -> Result<Gathered<u64>, CloseFrameError> {
        let frame = CloseFrame::new(code, reason)?;
        Ok(self.count(Question::Disconnect { user: user.into(), frame }, within).await)
    }

    /// Moves all registered members of one room to another, as far as limits and the
    /// [application](crate::hub::HubBuilder::on_join) let them in there. Whoever joins the first room meanwhile stays.
    ///
    /// Cancel safety: once polled, all nodes that hear of it do it.
    pub async fn move_members(&self, from: &str, to: &str, within: Duration) -> Gathered<Moved> {
        let question = Question::Move { from: from.into(), to: to.into() };
        let gathered = self.gather(&question, within);
        let add = |sum: Moved, answer: &Answer| Moved {
            moved: sum.moved.saturating_add(answer.count),
            refused: sum.refused.saturating_add(answer.refused),
        };
        gathered.await.map(|answers| answers.iter().fold(Moved::default(), add))
    }

    async fn count(&self, question: Question, within: Duration) -> Gathered<u64> {
        let gathered = self.gather(&question, within).await;
        gathered
            .map(|answers| answers.iter().map(|answer| answer.count).fold(0, u64::saturating_add))
    }

    /// Asks the others first, so that they are at it while this one is.
    async fn gather(&self, question: &Question, within: Duration) -> Gathered<Vec<Answer>> {
        let deadline = Instant::now().checked_add(within).unwrap_or_else(far_away);
        let asked = self.inner.as_ref().map(|inner| Asked::new(inner, question));
        let mut gathered = Gathered { value: Vec::new(), answered: 0, missing: Vec::new() };
        match timeout_at(deadline, self.own(question)).await {
            Ok(Some(own)) => {
                gathered.value.push(own);
                gathered.answered = 1;
            }
            _ => gathered.missing.extend(self.inner.as_ref().map(|inner| inner.id)),
        }
        if let Some(asked) = asked {
            // What is there by the deadline counts.
            let _ = timeout_at(deadline, asked.collect(&mut gathered)).await;
        }
        gathered
    }

    /// The answer of this node. What it has to do for it is done also when nobody waits any more.
    async fn own(&self, question: &Question) -> Option<Answer> {
        if !matches!(question, Question::Move { .. }) {
            return Some(answers::answer(&self.hub, question).await);
        }
        let (hub, question) = (self.hub.clone(), question.clone());
        let moving = async move { answers::answer(&hub, &question).await };
        self.hub.under_way.finish(moving).await
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(365 * 24 * 60 * 60)
}

/// A question that waits for answers, until it is dropped.
struct Asked {
    inner: Arc<Inner>,
    waiting: BTreeSet<NodeId>,
    /// `None`: nobody was asked.
    open: Option<(u64, Answers)>,
}

impl Asked {
    fn new(inner: &Arc<Inner>, question: &Question) -> Self {
        let mut state = inner.state.lock();
        let waiting = state.nodes.ids().into_iter().collect();
        let open = state.questions.ask();
        drop(state);
        let open = open.filter(|(id, _)| {
            let body = Body::Question { id: *id, question: question.clone() };
            let said = inner.say(NODES, &body);
            if said.is_err() {
                inner.state.lock().questions.close(*id);
            }
            said.is_ok()
        });
        Self { inner: inner.clone(), waiting, open }
    }

    /// Until all that were known have answered or are gone.
    async fn collect(mut self, gathered: &mut Gathered<Vec<Answer>>) {
        gathered.missing.extend(&self.waiting);
        let Some((_, answers)) = &mut self.open else { return };
        while !self.waiting.is_empty()
            && let Some((node, answer)) = answers.recv().await
        {
            self.waiting.remove(&node);
            let Some(answer) = answer else { continue };
            gathered.value.push(answer);
            gathered.answered += 1;
            gathered.missing.retain(|missing| *missing != node);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some((id, _)) = self.open {
            self.inner.state.lock().questions.close(id);
        }
    }
}
