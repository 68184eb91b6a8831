//! An outbox that serves a session: what leaves it is kept.

use std::task::Waker;

use crate::frame::CloseFrame;
use crate::protocol::Message;

use super::item::Queued;
use super::kept::Kept;
use super::state::{State, wake};
use super::{Outbox, SendError, Sent};

impl Outbox {
    /// From here on it serves a session: first the message that says so, which does not count, then
    /// these, then what comes. What waits here from before is encoded first, and lost where it is of another
    /// session. An error gives back what it was given: the connection is closing.
    pub(crate) fn begin_session(
        &self,
        first: Message,
        kept: Kept,
        after: Vec<Queued>,
    ) -> Result<(), (Box<Kept>, Vec<Queued>)> {
        let mut state = self.lock();
        if state.check_open().is_err() {
            return Err((Box::new(kept), after));
        }
        if state.rare.take_kept().is_none() {
            state.refill();
        }
        state.drop_queue();
        if state.check_open().is_err() {
            // In the middle of a message that will never be whole.
            return Err((Box::new(kept), after));
        }
        self.note_sent(1, first.as_bytes().len());
        state.begin(Queued::Uncounted(Box::new(Queued::Message(first))));
        state.rare.keep(kept);
        self.note_sent(after.len(), after.iter().map(Queued::bytes).sum());
        after.into_iter().for_each(|item| state.push(item));
        if !state.is_blocked {
            state.write_out();
        }
        self.note(&state);
        let drain = state.drain_waker.take();
        drop(state);
        wake(drain);
        Ok(())
    }

    /// The session leaves with what it keeps: what waits here goes with it. A frame closes the connection.
    /// `None`: it does not serve this session.
    pub(crate) fn retire(&self, owner: u64, frame: Option<CloseFrame>) -> Option<Kept> {
        let mut state = self.lock();
        if state.rare.kept()?.owner() != owner {
            return None;
        }
        state.drop_queue();
        let kept = state.rare.take_kept();
        let (drain, senders) = match frame {
            Some(frame) => state.ask_to_close(frame),
            // It is over, or about to be.
            None => {
                state.is_closed = true;
                (state.drain_waker.take(), state.take_senders())
            }
        };
        self.note(&state);
        drop(state);
        senders.into_iter().chain(drain).for_each(Waker::wake);
        kept.map(|kept| *kept)
    }

    /// The session is over; the connection goes on without it.
    pub(crate) fn forget_session(&self, owner: u64) -> Option<Box<Kept>> {
        let mut state = self.lock();
        let is_owner = state.rare.kept().is_some_and(|kept| kept.owner() == owner);
        let kept = if is_owner { state.rare.take_kept() } else { None };
        self.note(&state);
        kept
    }

    pub(crate) fn with_kept<T>(&self, owner: u64, act: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let mut state = self.lock();
        let kept = state.rare.kept().filter(|kept| kept.owner() == owner)?;
        Some(act(kept))
    }

    /// A message that does not count.
    pub(crate) fn send_uncounted(&self, message: Message) -> Result<Sent, SendError> {
        let mut state = self.lock();
        state.check_open()?;
        self.note_sent(1, message.as_bytes().len());
        let item = Queued::Uncounted(Box::new(Queued::Message(message)));
        if state.may_write() {
            return Ok(self.write(state, item, None));
        }
        // It is small, and there is at most one for each of many messages of the peer.
        state.push(item);
        let waker = if state.is_blocked { None } else { state.drain_waker.take() };
        drop(state);
        wake(waker);
        Ok(Sent::Queued)
    }
}

impl State {
    /// What leaves is kept for the session, if there is one.
    #[inline]
    pub(super) fn record(&mut self, item: Queued) -> Queued {
        match self.rare.kept() {
            None => item,
            Some(kept) => {
                let item = item.resolve_gap(&self.ledger);
                kept.record(&item);
                item
            }
        }
    }
}
