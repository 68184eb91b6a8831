//! Questions to a client that wait for their answers.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

use super::error::RequestError;
use super::event::Event;

/// How a correlation id of the server begins. A client's may not.
pub(super) const PREFIX: &str = "s-";

/// Questions that wait in one session.
const REQUESTS_MAX: usize = 256;

/// The questions of one session. They outlive its connections.
#[derive(Debug, Default)]
pub(super) struct Requests {
    state: Mutex<State>,
    /// `== state.waiting.len()`, to be looked at without the lock.
    len: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Event>>,
    is_over: bool,
}

/// A question that waits. It is forgotten when this is dropped.
pub(super) struct Asked {
    requests: Arc<Requests>,
    number: u64,
    answer: oneshot::Receiver<Event>,
}

impl Requests {
    /// Those of a session in which so many were asked before: their numbers are not used again.
    pub(super) fn after(asked: u64) -> Self {
        let this = Self::default();
        this.state.lock().last = asked;
        this
    }

    /// How many were asked.
    #[allow(dead_code, reason = "without feature `pubsub` no other node has to know")]
    pub(super) fn asked(&self) -> u64 {
        self.state.lock().last
    }

    /// Takes a place for a question.
    pub(super) fn ask(self: &Arc<Self>) -> Result<Asked, RequestError> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if state.is_over {
            return Err(RequestError::Closed);
        }
        if state.waiting.len() >= REQUESTS_MAX {
            return Err(RequestError::TooMany { requests_max: REQUESTS_MAX });
        }
        state.last = state.last.wrapping_add(1);
        let number = state.last;
        state.waiting.insert(number, sender);
        self.len.store(state.waiting.len(), Ordering::Relaxed);
        drop(state);
        Ok(Asked { requests: self.clone(), number, answer })
    }

    /// An answer came. One that nobody waits for is too late.
    pub(super) fn answer(&self, event: Event) {
        let id = event.correlation_id().and_then(|id| id.strip_prefix(PREFIX));
        let Some(number) = id.and_then(|number| number.parse().ok()) else { return };
        if let Some(asker) = self.take(number) {
            // Whoever asked may have gone at this moment.
            let _ = asker.send(event);
        }
    }

    /// Whether anybody waits.
    pub(super) fn is_asking(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// The session is over: nobody waits any more.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        let waiting = std::mem::take(&mut state.waiting);
        self.len.store(0, Ordering::Relaxed);
        drop(state);
        drop(waiting);
    }

    fn take(&self, number: u64) -> Option<oneshot::Sender<Event>> {
        let mut state = self.state.lock();
        let taken = state.waiting.remove(&number);
        self.len.store(state.waiting.len(), Ordering::Relaxed);
        taken
    }
}

impl Asked {
    /// Its correlation id.
    pub(super) fn id(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }

    pub(super) async fn answer(mut self) -> Result<Event, RequestError> {
        (&mut self.answer).await.map_err(|_| RequestError::Closed)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        drop(self.requests.take(self.number));
    }
}
