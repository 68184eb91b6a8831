//! What has come and nobody has taken yet.

use std::collections::VecDeque;

use tokio::sync::Notify;

use crate::sync::Mutex;

use super::broker::{BusMessage, Incoming};

/// How much may wait in the inbox of a connection: what its bus does not take at once.
pub(super) const CONNECTION_LIMITS: Limits =
    Limits { messages_max: 65_536, bytes_max: 64 * 1024 * 1024 };

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

/// A queue that throws out its oldest message where it is full, and leaves a gap in its place.
///
/// ```text
///   [Gap] m m m Gap m m        a gap that follows a gap is that gap
/// ```
#[derive(Debug)]
pub(super) struct Inbox {
    limits: Limits,
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Incoming>,
    /// messages <= limits.messages_max, bytes <= limits.bytes_max
    messages: usize,
    bytes: usize,
    /// Nothing comes any more.
    is_ended: bool,
}

impl Inbox {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, queue: Mutex::default(), filled: Notify::new() }
    }

    /// Puts a message in; how many it threw out.
    pub(super) fn push(&self, message: BusMessage) -> u64 {
        let mut queue = self.queue.lock();
        if queue.is_ended {
            return 0;
        }
        queue.messages += 1;
        queue.bytes += cost(&message);
        queue.items.push_back(Incoming::Message(message));
        let dropped = queue.shrink(self.limits);
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    /// Puts a gap in.
    pub(super) fn push_gap(&self) {
        let mut queue = self.queue.lock();
        if queue.is_ended || matches!(queue.items.back(), Some(Incoming::Gap)) {
            return;
        }
        queue.items.push_back(Incoming::Gap);
        drop(queue);
        self.filled.notify_one();
    }

    /// What is in it can still be taken.
    pub(super) fn end(&self) {
        self.queue.lock().is_ended = true;
        self.filled.notify_one();
    }

    /// Nothing is left and nothing comes.
    pub(super) fn discard(&self) {
        *self.queue.lock() = Queue { is_ended: true, ..Queue::default() };
        self.filled.notify_one();
    }

    /// The next one; `None` at the end. One task calls it.
    ///
    /// Cancel safety: dropping the future loses nothing.
    pub(super) async fn next(&self) -> Option<Incoming> {
        loop {
            {
                let mut queue = self.queue.lock();
                if let Some(item) = queue.pop() {
                    return Some(item);
                }
                if queue.is_ended {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Incoming> {
        let item = self.items.pop_front()?;
        if let Incoming::Message(message) = &item {
            self.messages -= 1;
            self.bytes -= cost(message);
        }
        Some(item)
    }

    fn shrink(&mut self, limits: Limits) -> u64 {
        let mut dropped = 0;
        while self.messages > limits.messages_max || self.bytes > limits.bytes_max {
            if let Some(Incoming::Message(_)) = self.pop() {
                dropped += 1;
            }
        }
        let is_gap_first = matches!(self.items.front(), Some(Incoming::Gap));
        if dropped > 0 && !is_gap_first {
            self.items.push_front(Incoming::Gap);
        }
        dropped
    }
}

/// What a message counts, its name included.
pub(super) fn cost(message: &BusMessage) -> usize {
    message.payload.len() + message.channel.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(text: &'static str) -> BusMessage {
        BusMessage { channel: "c".into(), payload: Bytes::from_static(text.as_bytes()) }
    }

    async fn drain(inbox: &Inbox) -> Vec<String> {
        inbox.end();
        let mut items = Vec::new();
        while let Some(item) = inbox.next().await {
            items.push(match item {
                Incoming::Message(message) => String::from_utf8(message.payload.to_vec()).unwrap(),
                Incoming::Gap => "-".to_owned(),
            });
        }
        items
    }

    #[tokio::test]
    async fn the_oldest_goes_and_a_gap_stays_in_its_place() {
        let inbox = Inbox::new(Limits { messages_max: 2, bytes_max: 1000 });
        let dropped: Vec<_> = ["1", "2", "3", "4"].map(|text| inbox.push(message(text))).into();
        assert_eq!(dropped, [0, 0, 1, 1]);
        inbox.push_gap();
        inbox.push_gap();
        assert_eq!(drain(&inbox).await, ["-", "3", "4", "-"]);
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_one_that_fits_in_none_is_a_gap() {
        let inbox = Inbox::new(Limits { messages_max: 10, bytes_max: 8 });
        assert_eq!(inbox.push(message("123")), 0);
        assert_eq!(inbox.push(message("456")), 0);
        assert_eq!(inbox.push(message("7")), 1);
        assert_eq!(inbox.push(message("much too long")), 3);
        assert_eq!(drain(&inbox).await, ["-"]);
    }
}
