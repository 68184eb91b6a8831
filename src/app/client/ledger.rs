//! What has come and what is to go, counted: without I/O.

use std::collections::VecDeque;

use crate::app::event::system::Created;
use crate::protocol::Utf8Bytes;

use super::error::QueueError;

/// The counts of both directions, and our events until they are acknowledged.
///
/// ```text
///                 queue      ┌──── written ────┬── never written ──┐
///    gone: acked             │ acked+1   ...   │                   │
///                            └─────────────────┴───────────────────┘
/// ```
#[derive(Debug)]
pub(super) struct Ledger {
    /// Counted messages of the server that have come in this session.
    received: u64,
    /// Of them, those that came after our last acknowledgement.
    owed: u64,
    ack_every: u64,
    /// Ours that are acknowledged.
    acked: u64,
    /// `queue.len() <= events_max`
    queue: VecDeque<Entry>,
    /// Bytes of the queue, `bytes <= bytes_max`.
    bytes: usize,
    /// So many at the front of the queue may have been had by the server, `written <= queue.len()`.
    written: usize,
    events_max: usize,
    bytes_max: usize,
}

/// One event of ours.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: Utf8Bytes,
    pub(super) kind: EntryKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Event,
    /// A request, by its number.
    Request(u64),
    /// An answer to the server, which is of its session only.
    Answer,
}

/// The counts do not fit: nothing can be said about the session any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Ledger {
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self {
            received: 0,
            owed: 0,
            ack_every: 1,
            acked: 0,
            queue: VecDeque::new(),
            bytes: 0,
            written: 0,
            events_max,
            bytes_max,
        }
    }

    // Ours.

    /// With so many before it as are there, and behind what was written.
    pub(super) fn push_at(&mut self, place: usize, entry: Entry) -> Result<(), QueueError> {
        let bytes = self.bytes.saturating_add(entry.text.len());
        if self.queue.len() >= self.events_max || bytes > self.bytes_max {
            return Err(QueueError::Full { events: self.queue.len(), bytes: self.bytes });
        }
        self.bytes = bytes;
        self.queue.insert(place.max(self.written).min(self.queue.len()), entry);
        Ok(())
    }

    /// The next to be written. From now on the server may have it.
    pub(super) fn take(&mut self) -> Option<Utf8Bytes> {
        let text = self.queue.get(self.written)?.text.clone();
        self.written += 1;
        Some(text)
    }

    /// What was taken last was not written after all.
    pub(super) fn give_back(&mut self) {
        self.written = self.written.saturating_sub(1);
    }

    /// A request that nobody waits for any more is not sent any more.
    pub(super) fn forget(&mut self, number: u64) {
        let unwritten = self.queue.range(self.written..);
        let place =
            unwritten.into_iter().position(|entry| entry.kind == EntryKind::Request(number));
        if let Some(entry) = place.and_then(|place| self.queue.remove(self.written + place)) {
            self.bytes -= entry.text.len();
        }
    }

    /// The server has had so many.
    pub(super) fn acknowledge(&mut self, count: u64) -> Result<(), Broken> {
        let gone = count.checked_sub(self.acked).and_then(|gone| usize::try_from(gone).ok());
        let gone = gone.filter(|gone| *gone <= self.written).ok_or(Broken)?;
        let bytes: usize = self.queue.drain(..gone).map(|entry| entry.text.len()).sum();
        self.bytes -= bytes;
        self.written -= gone;
        self.acked = count;
        Ok(())
    }

    // The server's.

    /// A message of the server that counts. True: whoever acknowledges has to look.
    pub(super) fn count(&mut self) -> bool {
        self.received += 1;
        self.owed += 1;
        self.owed == 1 || self.is_ack_due()
    }

    /// What is acknowledged now.
    pub(super) fn ack(&mut self) -> u64 {
        self.owed = 0;
        self.received
    }

    // Sessions.

    /// A new session begins.
    pub(super) fn begin(&mut self, created: &Created) {
        self.received = created.sent;
        self.acked = created.received;
        self.owed = 0;
        self.ack_every = created.ack_every.max(1).into();
    }

    /// The session goes on: what the server has not had is written again.
    pub(super) fn go_on(&mut self, restored: &Created) -> Result<(), Broken> {
        if restored.sent != self.received {
            return Err(Broken);
        }
        self.acknowledge(restored.received)?;
        self.written = 0;
        self.owed = 0;
        self.ack_every = restored.ack_every.max(1).into();
        Ok(())
    }

    /// The session is lost: gives what may have been had, and keeps for the next what was not.
    pub(super) fn lose(&mut self) -> Vec<Entry> {
        let mut uncertain: Vec<_> = self.queue.drain(..self.written).collect();
        uncertain.retain(|entry| entry.kind != EntryKind::Answer);
        self.queue.retain(|entry| entry.kind != EntryKind::Answer);
        self.bytes = self.queue.iter().map(|entry| entry.text.len()).sum();
        (self.received, self.owed, self.acked, self.written) = (0, 0, 0, 0);
        uncertain
    }

    /// Nothing goes any more.
    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
        (self.bytes, self.written) = (0, 0);
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// How many of ours the server has acknowledged.
    pub(super) const fn acked(&self) -> u64 {
        self.acked
    }

    /// Whether something that came is not acknowledged.
    pub(super) const fn owes(&self) -> bool {
        self.owed > 0
    }

    /// Whether it is too much to wait for more.
    pub(super) const fn is_ack_due(&self) -> bool {
        self.owed >= self.ack_every
    }

    /// Events that are not acknowledged, and their bytes.
    pub(super) fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.bytes)
    }

    /// Whether this request is in the queue and was never written.
    pub(super) fn is_unwritten(&self, number: u64) -> bool {
        let mut unwritten = self.queue.range(self.written..);
        unwritten.any(|entry| entry.kind == EntryKind::Request(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry { text: text.into(), kind: EntryKind::Event }
    }

    fn push(ledger: &mut Ledger, entry: Entry) -> Result<(), QueueError> {
        ledger.push_at(usize::MAX, entry)
    }

    fn told(sent: u64, received: u64) -> Created {
        let json = serde_json::json!({"sessionId": "s", "userId": null, "token": "t", "expiresMs": 1,
            "sent": sent, "received": received, "ackEvery": 2});
        serde_json::from_value(json).unwrap()
    }

    fn with(texts: &[&str]) -> Ledger {
        let mut ledger = Ledger::new(4, 10);
        ledger.begin(&told(0, 0));
        texts.iter().for_each(|text| push(&mut ledger, entry(text)).unwrap());
        ledger
    }

    /// BY-31: the queue is bounded in events and in bytes, and what is acknowledged makes room.
    #[test]
    fn by_31_the_queue_is_bounded() {
        let mut ledger = with(&["aaaa", "bbbb", "c", "d"]);
        assert!(matches!(
            push(&mut ledger, entry("e")),
            Err(QueueError::Full { events: 4, bytes: 10 })
        ));
        while ledger.take().is_some() {}
        ledger.acknowledge(2).unwrap();
        assert_eq!(ledger.queued(), (2, 2));
        assert!(matches!(push(&mut ledger, entry(&"e".repeat(9))), Err(QueueError::Full { .. })));
        push(&mut ledger, entry(&"e".repeat(8))).unwrap();
    }

    /// BY-31: after a resume what was not had is written again, in order, and what was had is not.
    #[test]
    fn by_31_the_rest_is_written_again() {
        let mut ledger = with(&["a", "b", "c"]);
        assert_eq!(ledger.take().as_deref(), Some("a"));
        assert_eq!(ledger.take().as_deref(), Some("b"));
        ledger.go_on(&told(0, 1)).unwrap();
        let rest: Vec<_> = std::iter::from_fn(|| ledger.take()).collect();
        assert_eq!(rest.iter().map(|text| &**text).collect::<Vec<_>>(), ["b", "c"]);
    }

    /// Counts that go back, or are of what was not sent, are a lost session.
    #[test]
    fn counts_that_do_not_fit() {
        let mut ledger = with(&["a", "b"]);
        ledger.take();
        assert_eq!(ledger.acknowledge(2), Err(Broken));
        ledger.acknowledge(1).unwrap();
        assert_eq!(ledger.acknowledge(0), Err(Broken));
        ledger.count();
        assert!(ledger.owes() && !ledger.is_ack_due());
        ledger.count();
        assert!(ledger.is_ack_due());
        assert_eq!((ledger.ack(), ledger.owes()), (2, false));
        assert_eq!(ledger.go_on(&told(1, 1)), Err(Broken));
        ledger.go_on(&told(2, 1)).unwrap();
    }

    /// E38: of a lost session what was written is uncertain, and what was not goes to the next.
    #[test]
    fn e38_what_was_never_written_is_kept() {
        let mut ledger = with(&["a", "b"]);
        ledger.take();
        let answer = Entry { text: "c".into(), kind: EntryKind::Answer };
        push(&mut ledger, answer).unwrap();
        let uncertain = ledger.lose();
        assert_eq!(uncertain.iter().map(|entry| &*entry.text).collect::<Vec<_>>(), ["a"]);
        assert_eq!((ledger.take().as_deref(), ledger.take()), (Some("b"), None));
        assert_eq!(ledger.queued(), (1, 1));
    }
}
