//! What a test does to a stream while it is used.

use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex};

/// The hand on a [`FaultyStream`](super::FaultyStream). Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Valve(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    holds_reads: bool,
    holds_writes: bool,
    is_cut: bool,
    read: u64,
    written: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Valve {
    /// From now on nothing is read, or it is again: what is sent to this end waits, and is not lost.
    pub fn hold_reads(&self, is_held: bool) {
        self.change(|state| state.holds_reads = is_held);
    }

    /// From now on nothing that is written is taken, or it is again, as with a peer that does not read.
    pub fn hold_writes(&self, is_held: bool) {
        self.change(|state| state.holds_writes = is_held);
    }

    /// The connection is lost: reads and writes fail, and the other end reads the end of the stream behind what was written.
    pub fn cut(&self) {
        self.change(|state| state.is_cut = true);
    }

    /// Whether it was cut, by hand or by its [`Faults`](super::Faults).
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.lock().is_cut
    }

    /// How many bytes this end has read.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.lock().read
    }

    /// How many bytes this end has written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.lock().written
    }

    pub(super) fn note_read(&self, bytes: usize) {
        self.0.lock().read += bytes as u64;
    }

    pub(super) fn note_written(&self, bytes: usize) {
        self.0.lock().written += bytes as u64;
    }

    /// Ready while reads are not held.
    pub(super) fn poll_may_read(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        // A cut wakes whoever waits for bytes, too.
        state.reader = Some(cx.waker().clone());
        if state.holds_reads && !state.is_cut { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Ready while writes are not held.
    pub(super) fn poll_may_write(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        state.writer = Some(cx.waker().clone());
        if state.holds_writes && !state.is_cut { Poll::Pending } else { Poll::Ready(()) }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock();
        change(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
