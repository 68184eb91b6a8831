//! Sessions of this node that go to another.

use tokio::sync::oneshot;

use crate::hub::peer::Peer;
use crate::hub::room::Room;
use crate::hub::worker::Mark;
use crate::sync::Arc;

use super::calls::Told;
use super::channel::{self, ALL};
use super::envelope::Body;
use super::inner::Inner;
use super::name::NodeId;
use super::session::{ChannelState, Claim, Refusal, SessionState, Waiting};

/// Bytes of one part.
const PART_BYTES: usize = 64 * 1024;

/// How often it is tried to find a moment in which nobody speaks to a user.
const TRIES_MAX: usize = 64;

/// The floor above, which has sessions.
pub(crate) trait Keeper: Send + Sync {
    /// Whose session it is. Nothing happens to it.
    fn find(&self, claim: &Claim) -> Result<Peer, Refusal>;

    /// What its next node has to know, but for rooms and what was heard. Its connection ends, and it waits.
    fn freeze(&self, by: NodeId, claim: &Claim) -> Result<SessionState, Refusal>;

    /// It is had: the rest, and from here on what is sent to it goes there. It is in no room any more.
    fn depart(&self, by: NodeId, number: u64, session: &str) -> Told;

    /// It is not had after all.
    fn thaw(&self, by: NodeId, number: u64, session: &str);

    /// Something was sent to it where it was before.
    fn take_in(&self, session: &str, message: Waiting);
}

impl Inner {
    /// A session is asked for. In the task of the node: what comes from others waits meanwhile.
    pub(super) async fn answer_claim(self: &Arc<Self>, node: NodeId, claim: Claim) {
        let id = claim.id;
        let told = self.give(node, claim).await;
        self.tell(node, id, told);
    }

    pub(super) fn answer_settle(
        &self,
        node: NodeId,
        (id, number): (u64, u64),
        is_taken: bool,
        session: &str,
    ) {
        let Some(keeper) = self.keeper() else { return };
        if is_taken {
            self.tell(node, id, keeper.depart(node, number, session));
        } else {
            keeper.thaw(node, number, session);
        }
    }

    /// Says it in as many parts as it takes.
    fn tell(&self, node: NodeId, id: u64, told: Told) {
        let channel = channel::of_node(node);
        let bytes = match told {
            Ok(state) => bytes::Bytes::from(state.encode()),
            Err(refusal) => {
                // Whoever asked has a deadline.
                let _ = self.say(&channel, &Body::Refused { id, refusal });
                return;
            }
        };
        for start in (0..bytes.len()).step_by(PART_BYTES) {
            let end = bytes.len().min(start + PART_BYTES);
            let part =
                Body::Part { id, is_last: end == bytes.len(), bytes: bytes.slice(start..end) };
            if self.say(&channel, &part).is_err() {
                return;
            }
        }
    }

    async fn give(self: &Arc<Self>, node: NodeId, claim: Claim) -> Told {
        let keeper = self.keeper().ok_or(Refusal::Unknown)?;
        let peer = keeper.find(&claim)?;
        if claim.is_head_only {
            return Ok(SessionState { rooms: names(&peer.rooms()), ..SessionState::default() });
        }
        let claim = Arc::new(claim);
        for _ in 0..TRIES_MAX {
            match self.cut(node, &peer, &claim).await {
                Err(Refusal::Again) => tokio::task::yield_now().await,
                told => return told,
            }
        }
        Err(Refusal::Again)
    }

    /// The session as it is behind all that was heard so far and before all that comes: no message is in it in part.
    ///
    /// ```text
    ///   heard by this node  ──►  jobs of the session's worker  ──►  the session
    ///        │ numbers                  │ mark                        │ what is kept
    ///        └── read under the lock ───┘ pushed under it             └ read when the worker is at the mark
    /// ```
    /// What is said to users takes no way by a worker, so its own numbers are read when what is kept is.
    async fn cut(self: &Arc<Self>, node: NodeId, peer: &Peer, claim: &Arc<Claim>) -> Told {
        let (sender, receiver) = oneshot::channel();
        let (inner, asked) = (self.clone(), claim.clone());
        let user = peer.user().map(channel::of_user);
        let own = user.clone();
        let mark = Mark::new(move || {
            let guard = inner.users_cut.try_write();
            let told = match (inner.keeper(), &guard) {
                (Some(keeper), Some(_)) => keeper.freeze(node, &asked),
                (None, _) => Err(Refusal::Unknown),
                (_, None) => Err(Refusal::Again),
            };
            let own = own.and_then(|channel| inner.own_position(&channel));
            drop(guard);
            // Whoever waits for it has gone with the node.
            let _ = sender.send(told.map(|state| (state, own)));
        });
        let (rooms, mut heard) = {
            let _guard = self.rooms_cut.write();
            let rooms = names(&peer.rooms());
            let channels = rooms.iter().map(|room| channel::of_room(room));
            let channels = channels.chain([ALL.to_owned()]);
            let mut heard: Vec<ChannelState> =
                channels.map(|channel| self.positions(&channel, true)).collect();
            heard.extend(user.iter().map(|channel| self.positions(channel, false)));
            peer.worker().mark(mark);
            (rooms, heard)
        };
        let (state, own) = receiver.await.map_err(|_| Refusal::Unknown)??;
        if let (Some(of_user), Some((node, stream, number))) = (heard.last_mut(), own) {
            of_user.nodes.push((node, stream, number));
        }
        Ok(SessionState { rooms, heard, ..state })
    }

    /// How far all nodes are on a channel.
    fn positions(&self, channel: &str, with_own: bool) -> ChannelState {
        let state = self.state.lock();
        let heard = state.heard.get(channel).map(|hearing| {
            let positions = hearing.positions();
            positions.map(|(node, stamp)| (node, stamp.stream, stamp.number)).collect()
        });
        drop(state);
        let mut nodes: Vec<_> = heard.unwrap_or_default();
        if with_own {
            nodes.extend(self.own_position(channel));
        }
        ChannelState { channel: channel.into(), nodes }
    }

    fn own_position(&self, channel: &str) -> Option<(NodeId, u64, u64)> {
        let last = self.numbers.lock().last(channel)?;
        Some((self.id, last.stream, last.number))
    }
}

pub(super) fn names(rooms: &[Room]) -> Vec<Arc<str>> {
    rooms.iter().map(|room| room.name().into()).collect()
}
