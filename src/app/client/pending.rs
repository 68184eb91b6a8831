//! Our questions that wait for their answers.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::app::event::Event;

use super::error::RequestError;

pub(super) type Answer = Result<Event, RequestError>;

/// One for each request that somebody waits for: so they are as few as those.
#[derive(Debug, Default)]
pub(super) struct Pending {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Pending {
    /// A new question's number.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What the answer to a question comes through.
    pub(super) fn wait(&mut self, number: u64) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(number, sender);
        receiver
    }

    /// An answer came; of one that nobody waits for nobody hears.
    pub(super) fn settle(&mut self, number: u64, answer: Answer) {
        if let Some(asker) = self.waiting.remove(&number) {
            // Whoever asked may have gone at this moment.
            let _ = asker.send(answer);
        }
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Nobody answers these any more.
    pub(super) fn fail(&mut self, lost: impl Fn(u64) -> bool, error: fn() -> RequestError) {
        let numbers: Vec<_> = self.waiting.keys().copied().filter(|number| lost(*number)).collect();
        for number in numbers {
            self.settle(number, Err(error()));
        }
    }
}
