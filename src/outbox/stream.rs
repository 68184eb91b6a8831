//! The place of a writer that brings a message piece by piece.

use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::frame::{CloseFrame, Opcode};
use crate::protocol::DeflateClass;

use super::item::{Active, Queued, StreamPlace};
use super::state::{ENCODED_BYTES_MAX, State, wake};
use super::{Outbox, SendError};

/// A frame of such a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    pub(crate) is_compressed: bool,
    pub(crate) payload: &'a [u8],
}

impl Outbox {
    /// Takes a place in the queue for a message that comes piece by piece. Nothing leaves before its
    /// first piece. A full outbox does as its policy says.
    pub(crate) fn open_stream(&self, ticket: Option<u64>) -> Result<u32, SendError> {
        let mut state = self.lock();
        state.check_open()?;
        let Some(displaced) = self.make_room(&mut state, 0, ticket) else {
            return Err(self.refuse(state, 1));
        };
        state.throw_out(displaced);
        let id = state.next_stream;
        state.next_stream = id.wrapping_add(1);
        let place = StreamPlace { id, waker: None, is_flushing: false, has_begun: false };
        if state.is_queue_empty() {
            state.activate(Active::Stream(place));
        } else {
            state.push(Queued::Stream(place));
        }
        self.note(&state);
        Ok(id)
    }

    /// Whose compressed frames the peer reads, if it does.
    pub(crate) fn class(&self) -> Option<DeflateClass> {
        self.lock().encoder.class().map(|(class, _)| class)
    }

    /// Longest payload of a frame.
    pub(crate) fn fragment_bytes(&self) -> usize {
        self.lock().encoder.fragment_bytes()
    }

    /// Whether it is the writer's turn and there is room for a piece.
    pub(crate) fn poll_stream(&self, id: u32, waker: &Waker) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if let Err(error) = state.check_open() {
            return Poll::Ready(Err(error));
        }
        let has_room = state.tail.len() < ENCODED_BYTES_MAX;
        match state.place(id) {
            None => Poll::Ready(Err(SendError::Closed)),
            Some((_, true)) if has_room => Poll::Ready(Ok(())),
            Some((place, _)) => {
                (place.waker, place.is_flushing) = (Some(waker.clone()), false);
                let drain = state.take_idle_drain();
                drop(state);
                wake(drain);
                Poll::Pending
            }
        }
    }

    /// Whether all pieces so far are with the kernel.
    pub(crate) fn poll_stream_flushed(
        &self,
        id: u32,
        waker: &Waker,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        if let Err(error) = state.check_open() {
            return Poll::Ready(Err(error));
        }
        if state.tail.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match state.place(id) {
            // Before its turn there is none of it.
            None | Some((_, false)) => Poll::Ready(Ok(())),
            Some((place, true)) => {
                (place.waker, place.is_flushing) = (Some(waker.clone()), true);
                let drain = state.take_idle_drain();
                drop(state);
                wake(drain);
                Poll::Pending
            }
        }
    }

    /// Sends a piece, after [`poll_stream`](Self::poll_stream) said that it may.
    pub(crate) fn send_piece(&self, id: u32, piece: Piece<'_>) -> Result<(), SendError> {
        let mut state = self.lock();
        state.check_open()?;
        match state.place(id) {
            Some((place, true)) => place.has_begun = true,
            _ => return Err(SendError::Closed),
        }
        if piece.is_compressed {
            state.encoder.note_foreign_frame();
        }
        let (encoder, tail) = state.out();
        let Piece { opcode, fin, is_compressed, payload } = piece;
        encoder.data_frame(opcode, fin, is_compressed, &Bytes::copy_from_slice(payload), tail);
        if fin {
            tail.note_last_frame();
            state.end_active();
            if let Some(kept) = state.rare.kept() {
                kept.record_stream();
            }
        }
        let was_full = self.is_own_full();
        let has_line = state.line.is_some();
        if has_line && !state.is_blocked {
            state.write_out();
        }
        // What waited behind the message may have left with it.
        let space = state.grant(self.config());
        state.give_back();
        let writer = state.take_writer();
        self.note(&state);
        let is_left = !has_line || state.is_blocked || was_full;
        let waker = if is_left { state.drain_waker.take() } else { None };
        drop(state);
        space.into_iter().chain(writer).chain(waker).for_each(Waker::wake);
        Ok(())
    }

    /// The writer is gone before the end of its message. Where some of it is on its way the connection
    /// closes with 1011: the peer must not take what came for the whole.
    pub(crate) fn drop_stream(&self, id: u32) {
        let mut state = self.lock();
        let has_begun = match state.place(id) {
            None => return,
            Some((place, is_active)) => is_active && place.has_begun,
        };
        if !has_begun {
            state.forget_place(id);
            let woken = state.grant(self.config());
            self.note(&state);
            let drain = state.drain_waker.take();
            drop(state);
            return woken.into_iter().chain(drain).for_each(Waker::wake);
        }
        drop(state);
        if let Ok(frame) = CloseFrame::new(1011, "message abandoned") {
            self.request_close_now(frame);
        }
    }
}

impl State {
    /// A writer's place, and whether it is its turn.
    fn place(&mut self, id: u32) -> Option<(&mut StreamPlace, bool)> {
        self.waiting.as_mut()?.place_mut(id)
    }

    /// The message on its way is whole.
    fn end_active(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.active = None;
        }
        self.give_back();
    }

    fn forget_place(&mut self, id: u32) {
        if let Some(waiting) = &mut self.waiting {
            waiting.forget_place(id);
        }
        self.give_back();
    }
}
