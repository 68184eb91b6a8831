//! The front of a session: it stays, whatever connection the session is on.

use crate::frame::CloseFrame;
use crate::protocol::{Config, Message, MessageRef, PreparedMessage};
use crate::sync::{Arc, Mutex};

use super::item::{Latest, Queued};
use super::kept::{Gap, Kept, KeptMessage};
use super::sender::{Front, note};
use super::{Outbox, Run, SendError, Sender, Sent};

#[cfg(all(feature = "app", feature = "pubsub"))]
mod moving;

/// Passes what is sent on to the connection that the session has, or keeps it while there is none.
///
/// ```text
///              ┌──── the connection ends: what it had not sent is kept ────┐
///   Connected ─┤                                                           ├─► Suspended ──end──► Ended
///       ▲      └──── it takes nothing any more ────────────────────────────┘        │
///       └──────────── another connection resumes: what was not received, again ─────┘
///
///   Suspended ──another node asks──► Moving ──it has it──► Away
///       ▲                              │
///       └── it does not come to that ──┘
/// ```
/// Its lock is taken before that of an outbox, never after: what is sent goes to one connection or the
/// next, once, and in order.
pub(crate) struct Relay {
    id: u64,
    config: Arc<Config>,
    state: Mutex<State>,
}

#[allow(dead_code, reason = "without feature `pubsub` no session moves")]
enum State {
    Connected(Arc<Outbox>),
    Suspended(Kept),
    /// Another node was told what is kept, and what was sent to this session alone since then is listed.
    Moving(Box<(Kept, Vec<KeptMessage>)>),
    /// The session is on another node, and what is sent to it alone is passed on.
    Away(Arc<Onward>),
    Ended,
}

/// Messages for one session alone that are listed while it moves, which takes milliseconds.
const ALONE_MAX: usize = 256;

/// Where what is sent to a session goes that is on another node.
pub(crate) type Onward = dyn Fn(KeptMessage) + Send + Sync;

/// For whom a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// For this session alone.
    One,
    /// For all of a room, or of a user: every node is told by itself.
    Many,
}

/// Why a session cannot go on on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandOver {
    /// What the client has not received is not kept, or it says that it has more than there is.
    Gap(Gap),
    /// The session has ended.
    Ended,
    /// The new connection is closing.
    Closed,
}

impl Relay {
    /// The front of a session that begins on this connection, with the message that tells the client.
    /// `None`: the connection is closing.
    pub(crate) fn begin(outbox: &Arc<Outbox>, first: Message, kept: Kept) -> Option<Self> {
        outbox.begin_session(first, kept, Vec::new()).ok()?;
        let state = Mutex::new(State::Connected(outbox.clone()));
        Some(Self { id: outbox.id(), config: outbox.config().clone(), state })
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The connection that the session has, if any.
    pub(crate) fn outbox(&self) -> Option<Arc<Outbox>> {
        match &*self.state.lock() {
            State::Connected(outbox) => Some(outbox.clone()),
            _ => None,
        }
    }

    // The front.

    /// Sends with `send` on the connection, or keeps the item.
    fn pass(
        &self,
        audience: Audience,
        bytes: usize,
        send: impl FnOnce(&Outbox) -> Result<Sent, SendError>,
        item: impl FnOnce() -> Queued,
    ) -> Result<Sent, SendError> {
        let mut state = self.state.lock();
        if let State::Connected(outbox) = &*state {
            match send(outbox) {
                Err(SendError::Closed) => {}
                result => return note(outbox, result, bytes),
            }
        }
        state.keep(self.id, audience, std::iter::once_with(item))
    }

    pub(crate) fn send(&self, message: Message) -> Result<Sent, SendError> {
        let copy = message.clone();
        let bytes = message.as_bytes().len();
        let send = |outbox: &Outbox| outbox.send(message, None);
        self.pass(Audience::One, bytes, send, || Queued::Message(copy))
    }

    /// The same for one that has waited for this connection. [`SendError::Closed`], and nothing done,
    /// when the session is on another by now.
    pub(crate) fn send_on(
        &self,
        outbox: &Arc<Outbox>,
        message: &Message,
        ticket: Option<u64>,
    ) -> Result<Sent, SendError> {
        if !self.is_on(outbox) {
            return Err(SendError::Closed);
        }
        let send = |current: &Outbox| {
            // Who has waited elsewhere has no turn here.
            let ticket = ticket.filter(|_| std::ptr::eq(current, &**outbox));
            current.send(message.clone(), ticket)
        };
        let item = || Queued::Message(message.clone());
        self.pass(Audience::One, message.as_bytes().len(), send, item)
    }

    /// Whether the session is on this connection.
    pub(crate) fn is_on(&self, outbox: &Arc<Outbox>) -> bool {
        matches!(&*self.state.lock(), State::Connected(current) if Arc::ptr_eq(current, outbox))
    }

    pub(crate) fn send_prepared(
        &self,
        audience: Audience,
        message: &PreparedMessage,
    ) -> Result<Sent, SendError> {
        let send = |outbox: &Outbox| outbox.send_prepared(message);
        self.pass(audience, message.payload().len(), send, || Queued::Prepared(message.clone()))
    }

    pub(crate) fn send_latest(
        &self,
        key: u64,
        make: impl Fn() -> Queued,
    ) -> Result<Sent, SendError> {
        let latest = || Queued::Latest(Box::new(Latest { key, item: make() }));
        let item = make();
        let bytes = item.bytes();
        let send = |outbox: &Outbox| outbox.send_latest(key, item);
        self.pass(Audience::One, bytes, send, latest)
    }

    pub(crate) fn feed(&self, message: MessageRef<'_>) -> Result<Sent, SendError> {
        let send = |outbox: &Outbox| outbox.feed(message);
        let item = || Queued::Message(message.to_message());
        self.pass(Audience::One, message.as_bytes().len(), send, item)
    }

    pub(crate) fn send_run(&self, audience: Audience, run: &Run) -> Result<Sent, SendError> {
        let mut state = self.state.lock();
        if let State::Connected(outbox) = &*state {
            match outbox.send_run(run) {
                Err(SendError::Closed) => {}
                result => return result,
            }
        }
        let items = run.messages().iter().map(|message| Queued::Prepared(message.clone()));
        state.keep(self.id, audience, items)
    }

    /// A message of the session itself, which neither counts nor is kept.
    pub(crate) fn send_uncounted(&self, message: Message) -> Result<Sent, SendError> {
        self.outbox().ok_or(SendError::Closed)?.send_uncounted(message)
    }

    /// Closes the connection. Without one there is nothing more to come: the session ends.
    pub(crate) fn request_close(&self, frame: CloseFrame) {
        let mut state = self.state.lock();
        match &*state {
            State::Connected(outbox) => outbox.request_close(frame),
            State::Ended => {}
            _ => *state = State::Ended,
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(&*self.state.lock(), State::Ended)
    }

    /// Messages and payload bytes that wait.
    pub(crate) fn queued(&self) -> (usize, usize) {
        match &*self.state.lock() {
            State::Connected(outbox) => outbox.queued(),
            State::Suspended(kept) => kept.len(),
            State::Moving(moving) => moving.0.len(),
            State::Away(_) | State::Ended => (0, 0),
        }
    }

    // What the session does.

    /// Messages that were sent since the session began.
    pub(crate) fn sent(&self) -> u64 {
        match &*self.state.lock() {
            State::Connected(outbox) => outbox.with_kept(self.id, |kept| kept.sent()).unwrap_or(0),
            State::Suspended(kept) => kept.sent(),
            State::Moving(moving) => moving.0.sent(),
            State::Away(_) | State::Ended => 0,
        }
    }

    /// The client has had so many messages.
    pub(crate) fn acknowledge(&self, received: u64) -> Result<(), Gap> {
        self.with_kept(|kept| kept.acknowledge(received)).unwrap_or(Ok(()))
    }

    /// Whether the messages after so many are here.
    pub(crate) fn check(&self, received: u64) -> Result<(), HandOver> {
        let checked = self.with_kept(|kept| kept.check(received)).ok_or(HandOver::Ended)?;
        checked.map_err(HandOver::Gap)
    }

    /// Forgets what was kept already when this was called last.
    pub(crate) fn forget_old(&self) {
        self.with_kept(Kept::forget_old);
    }

    fn with_kept<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        match &mut *self.state.lock() {
            State::Connected(outbox) => outbox.with_kept(self.id, act),
            State::Suspended(kept) => Some(act(kept)),
            State::Moving(moving) => Some(act(&mut moving.0)),
            State::Away(_) | State::Ended => None,
        }
    }

    /// The connection of this number has ended. False: the session is not on it.
    pub(crate) fn suspend(&self, connection: u64) -> bool {
        let mut state = self.state.lock();
        match &*state {
            State::Connected(outbox) if outbox.id() == connection => {
                let kept = outbox.retire(self.id, None);
                *state = kept.map_or(State::Ended, State::Suspended);
                true
            }
            // A sender has seen it first.
            State::Suspended(_) | State::Moving(_) => true,
            _ => false,
        }
    }

    /// Goes on on another connection: the first message, which does not count, then what comes after
    /// `received`, for which [`check`](Self::check) was asked before. A connection that still has the
    /// session is closed with this frame.
    pub(crate) fn hand_over(
        &self,
        outbox: &Arc<Outbox>,
        received: u64,
        taken_over: CloseFrame,
        first: impl FnOnce() -> Message,
    ) -> Result<(), HandOver> {
        let mut state = self.state.lock();
        state.suspend(self.id, Some(taken_over));
        let State::Suspended(kept) = &*state else {
            return Err(HandOver::Ended);
        };
        kept.check(received).map_err(HandOver::Gap)?;
        let State::Suspended(mut kept) = std::mem::replace(&mut *state, State::Ended) else {
            return Err(HandOver::Ended);
        };
        let after = kept.take_after(received);
        match outbox.begin_session(first(), kept, after) {
            Ok(()) => {
                *state = State::Connected(outbox.clone());
                Ok(())
            }
            Err((mut kept, after)) => {
                after.into_iter().for_each(|item| kept.push_unsent(item));
                *state = State::Suspended(*kept);
                Err(HandOver::Closed)
            }
        }
    }

    /// The session is over: nothing is kept any more. Its connection is closed with the frame.
    pub(crate) fn end(&self, frame: Option<CloseFrame>) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Ended);
        if let State::Connected(outbox) = state {
            drop(outbox.forget_session(self.id));
            frame.into_iter().for_each(|frame| outbox.request_close(frame));
        }
    }
}

impl Sender {
    pub(crate) const fn of_session(relay: Arc<Relay>) -> Self {
        Self { front: Front::Session(relay) }
    }
}

impl State {
    /// From here on there is no connection, and no move.
    fn suspend(&mut self, id: u64, frame: Option<CloseFrame>) {
        *self = match std::mem::replace(self, Self::Ended) {
            Self::Connected(outbox) => {
                outbox.retire(id, frame).map_or(Self::Ended, Self::Suspended)
            }
            Self::Moving(moving) => Self::Suspended(moving.0),
            state => state,
        };
    }

    /// There is no connection, or one that ends and has not said so yet: the session keeps it.
    fn keep(
        &mut self,
        id: u64,
        audience: Audience,
        items: impl Iterator<Item = Queued>,
    ) -> Result<Sent, SendError> {
        if let Self::Connected(_) = self {
            self.suspend(id, None);
        }
        match self {
            Self::Suspended(kept) => items.for_each(|item| kept.push_unsent(item)),
            Self::Moving(moving) => {
                let (kept, alone) = &mut **moving;
                for item in items {
                    if audience == Audience::One {
                        alone.extend(KeptMessage::of(&item, None));
                    }
                    kept.push_unsent(item);
                }
                if alone.len() > ALONE_MAX {
                    // It does not come to that.
                    self.suspend(id, None);
                }
            }
            Self::Away(onward) if audience == Audience::One => {
                items.filter_map(|item| KeptMessage::of(&item, None)).for_each(|item| onward(item));
            }
            _ => return Err(SendError::Closed),
        }
        Ok(Sent::Kept)
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("id", &self.id).finish_non_exhaustive()
    }
}
