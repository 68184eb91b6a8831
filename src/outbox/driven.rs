//! A connection in a model that chance decides: who drains its outbox, and what it counts.

use std::future::poll_fn;
use std::task::Poll;

use shuttle::rand::{Rng as _, thread_rng};

use crate::frame::CloseFrame;
use crate::protocol::{Config, Observer, Overflow, Role, SharedObserver, WriteBuffer};
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::Outbox;
use super::modelled::Line;
use super::queue::WriteNow as _;

/// The kernel takes so much at a time, at most.
const ALLOWED_BYTES_MAX: usize = 300;

/// Padding, so that bounds in bytes are met, too.
const PADDING_BYTES_MAX: usize = 120;

/// An outbox with a socket that takes nothing yet.
pub(crate) fn connection(config: Arc<Config>, id: u64) -> (Arc<Outbox>, Arc<Line>) {
    let outbox = Arc::new(Outbox::new(Role::Server, config, id));
    let line = Arc::new(Line::default());
    outbox.attach(line.clone());
    (outbox, line)
}

/// What a connection's task does, until it is asked to close and all before that is written. A socket that
/// refuses is writable again at some time.
pub(crate) async fn drive(outbox: Arc<Outbox>, line: Arc<Line>) -> CloseFrame {
    poll_fn(|cx| {
        let write = |slices: &[std::io::IoSlice<'_>]| line.write_now(slices);
        let flushed = outbox.flush(&mut WriteBuffer::new(), Some(cx.waker()), write);
        let flushed = flushed.expect("a line that works");
        if flushed.is_blocked {
            line.allow(thread_rng().gen_range(1..=ALLOWED_BYTES_MAX));
            cx.waker().wake_by_ref();
        }
        flushed.close_request.map_or(Poll::Pending, |frame| Poll::Ready(*frame))
    })
    .await
}

/// A message, by its sender and its number.
pub(crate) fn text(sender: &str, number: usize) -> String {
    let padding = number * 37 % PADDING_BYTES_MAX;
    format!("{sender}{number:04}{:.<padding$}", "")
}

/// The numbers of one sender's messages, as they came.
pub(crate) fn numbers(texts: &[String], sender: &str) -> Vec<usize> {
    let of_sender = super::modelled::of(texts, sender).into_iter();
    of_sender.map(|text| text[1..5].parse().expect("a number")).collect()
}

/// Nothing of a sender came twice, or before what it had sent earlier.
pub(crate) fn assert_in_order(texts: &[String], senders: &[&str]) {
    for sender in senders {
        let numbers = numbers(texts, sender);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{sender}: {numbers:?}");
    }
}

/// What a connection tells its observer.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) sent: AtomicUsize,
    pub(crate) delivered: AtomicUsize,
    pub(crate) thrown_out: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    pub(crate) lost: AtomicUsize,
}

impl Told {
    /// Of every message that was taken one end is told.
    pub(crate) fn assert_balanced(&self) {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let ends = read(&self.delivered) + read(&self.thrown_out) + read(&self.lost);
        assert_eq!(read(&self.sent), ends, "sent, and delivered, thrown out or lost");
    }
}

pub(crate) struct Telling(pub(crate) Arc<Told>);

impl Telling {
    pub(crate) fn to(told: &Arc<Told>) -> SharedObserver {
        SharedObserver::new(Self(told.clone()))
    }
}

fn add(counter: &AtomicUsize, messages: u64) {
    counter.fetch_add(usize::try_from(messages).expect("few"), Ordering::Relaxed);
}

impl Observer for Telling {
    fn received(&self, _: u64, _: u64) {}

    fn sent(&self, messages: u64, _: u64) {
        add(&self.0.sent, messages);
    }

    fn delivered(&self, messages: u64) {
        add(&self.0.delivered, messages);
    }

    fn dropped(&self, policy: Overflow, messages: u64) {
        let thrown_out = policy == Overflow::DropOldest;
        add(if thrown_out { &self.0.thrown_out } else { &self.0.refused }, messages);
    }

    fn lost(&self, messages: u64) {
        add(&self.0.lost, messages);
    }
}
