//! A session leaves for another node.

use crate::frame::CloseFrame;
use crate::protocol::Config;
use crate::sync::{Arc, Mutex};

use super::{Audience, HandOver, Kept, KeptMessage, Onward, Queued, Relay, State};
use crate::outbox::kept::{KeptMark, KeptState};
use crate::outbox::{SendError, Sent};

impl Relay {
    /// The front of a session that comes from another node, with what was kept there.
    pub(crate) fn arrived(id: u64, config: Arc<Config>, kept: Kept) -> Self {
        Self { id, config, state: Mutex::new(State::Suspended(kept)) }
    }

    /// What another node has to know of what comes after `received`; a connection that still has the session is closed
    /// with this frame. From here on it is [moving](State::Moving), until it is [away](Self::depart) or resumed.
    pub(crate) fn freeze(
        &self,
        received: u64,
        taken_over: CloseFrame,
    ) -> Result<KeptState, HandOver> {
        let mut state = self.state.lock();
        state.suspend(self.id, Some(taken_over));
        let State::Suspended(kept) = &*state else {
            return Err(HandOver::Ended);
        };
        kept.check(received).map_err(HandOver::Gap)?;
        let told = kept.state_after(received);
        if let State::Suspended(kept) = std::mem::replace(&mut *state, State::Ended) {
            *state = State::Moving(Box::new((kept, Vec::new())));
        }
        Ok(told)
    }

    /// What was sent to this session on another node.
    pub(crate) fn take_in(&self, message: KeptMessage) -> Result<Sent, SendError> {
        if let Some(key) = message.key {
            return self.send_latest(key, || message.clone().into_queued());
        }
        match message.into_queued() {
            Queued::Message(message) => self.send(message),
            Queued::Prepared(message) => self.send_prepared(Audience::One, &message),
            // There are no others.
            _ => Err(SendError::Closed),
        }
    }

    /// The move comes to nothing: the session goes on waiting here.
    pub(crate) fn thaw(&self) {
        let mut state = self.state.lock();
        if let State::Moving(_) = &*state {
            state.suspend(self.id, None);
        }
    }

    /// What is kept, for a record; what its connection has not written yet is not there. `None`: it is not here any more.
    pub(crate) fn image(&self) -> Option<KeptState> {
        self.with_kept(|kept| kept.state_after(0))
    }

    /// Another one when there is another [image](Self::image).
    pub(crate) fn change_mark(&self) -> Option<KeptMark> {
        self.with_kept(|kept| kept.change_mark())
    }

    /// The other node has it. What was sent to this session alone since it was told; what is sent so from here on is
    /// passed on. `None`: it is not moving any more.
    pub(crate) fn depart(&self, onward: Arc<Onward>) -> Option<Vec<KeptMessage>> {
        let mut state = self.state.lock();
        let State::Moving(moving) = &mut *state else { return None };
        let alone = std::mem::take(&mut moving.1);
        *state = State::Away(onward);
        Some(alone)
    }
}
