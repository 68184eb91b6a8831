//! Models of senders against the drain: every order in which the threads can run, up to a bound on
//! preemptions, with the locks of `--cfg sockeye_loom`.
//!
//! A lost wake-up shows as a deadlock, which the checker reports. `tests/models` runs them: a package of its own, so that
//! nothing is built for them that only other tests need.

// One that is not in the list would never run.
#![deny(dead_code)]

use std::io::IoSlice;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use loom::sync::Notify;
use loom::thread;

use crate::frame::{CloseFrame, Opcode};
use crate::protocol::{Config, Message, Overflow, PreparedMessage, Role, WriteBuffer};
use crate::sync::Arc;

use super::kept::{Budget, Kept, KeptBounds};
use super::modelled::{Line, of, texts};
use super::queue::WriteNow;
use super::{Outbox, Piece, Relay, Run, SendError, Sent};

/// Every model. Each panics where it finds something.
pub const MODELS: [fn(); 10] = [
    two_senders_are_drained_once_and_in_order,
    senders_that_write_themselves_keep_their_order,
    senders_that_wait_for_room_are_woken,
    who_finds_its_room_taken_keeps_its_place,
    who_gives_up_waiting_passes_its_room_on,
    a_close_and_a_send_do_not_miss_each_other,
    nothing_is_accepted_behind_a_broken_message,
    a_connection_that_takes_over_has_what_did_not_come_before,
    what_a_connection_that_ends_did_not_send_is_with_the_session,
    of_two_that_take_over_the_later_has_the_session,
];

/// Enough for every error that two threads can make with each other.
const PREEMPTIONS_MAX: usize = 3;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

struct Wakes(Notify);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Polls when it is woken, and only then.
fn block_on<T>(mut poll: impl FnMut(&Waker) -> Poll<T>) -> T {
    let wakes = Arc::new(Wakes(Notify::new()));
    let waker = Waker::from(wakes.clone());
    loop {
        if let Poll::Ready(output) = poll(&waker) {
            return output;
        }
        wakes.0.wait();
    }
}

fn outbox(messages_max: usize) -> Arc<Outbox> {
    let config = Config {
        outbox_messages_max: messages_max,
        overflow: Overflow::Block { timeout: Duration::MAX },
        ..Config::default()
    };
    Arc::new(Outbox::new(Role::Server, Arc::new(config), 1))
}

fn flush(outbox: &Outbox, waker: Option<&Waker>, taken: &mut Vec<u8>) -> super::Flushed {
    let mut write = |slices: &[IoSlice<'_>]| {
        let first = slices.first().map_or(&[][..], |slice| slice);
        taken.extend_from_slice(first);
        Ok(first.len())
    };
    outbox.flush(&mut WriteBuffer::new(), waker, &mut write).expect("a write never fails")
}

/// Drains until so many messages have come.
fn drain(outbox: &Outbox, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    block_on(|waker| {
        flush(outbox, Some(waker), &mut taken);
        if texts(&taken).len() < count { Poll::Pending } else { Poll::Ready(()) }
    });
    texts(&taken)
}

/// What a waiting send does.
fn send(outbox: &Outbox, text: &str) -> Result<Sent, SendError> {
    let mut turn = outbox.turn();
    block_on(|waker| {
        loop {
            match outbox.send(Message::text(text), turn.ticket()) {
                Err(SendError::Full { .. }) => {}
                result => {
                    turn.end();
                    return Poll::Ready(result);
                }
            }
            if turn.wait(text.len(), waker) {
                return Poll::Pending;
            }
        }
    })
}

fn spawn<T: 'static>(
    outbox: &Arc<Outbox>,
    run: impl FnOnce(&Outbox) -> T + 'static,
) -> thread::JoinHandle<T> {
    let outbox = outbox.clone();
    thread::spawn(move || run(&outbox))
}

fn two_senders_are_drained_once_and_in_order() {
    explore(|| {
        let outbox = outbox(64);
        let senders = ["a", "b"].map(|name| {
            spawn(&outbox, move |outbox| {
                for number in 1..=2 {
                    outbox.send(Message::text(format!("{name}{number}")), None).expect("room");
                }
            })
        });
        let came = drain(&outbox, 4);
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
        assert_eq!(came.len(), 4);
        assert_eq!((of(&came, "a"), of(&came, "b")), (vec!["a1", "a2"], vec!["b1", "b2"]));
        assert_eq!(outbox.queued(), (0, 0));
    });
}

fn senders_that_write_themselves_keep_their_order() {
    explore(|| {
        let outbox = outbox(64);
        let line = Arc::new(Line::default());
        outbox.attach(line.clone());
        // The first frame and a part of the second.
        line.allow(6);
        let sender = spawn(&outbox, |outbox| {
            for text in ["a1", "a2"] {
                outbox.send(Message::text(text), None).expect("room");
            }
            outbox.request_close(CloseFrame::normal());
        });
        block_on(|waker| {
            let write = |slices: &[IoSlice<'_>]| line.write_now(slices);
            let flushed = outbox.flush(&mut WriteBuffer::new(), Some(waker), write);
            let flushed = flushed.expect("a line that works");
            if flushed.is_blocked {
                // The socket is writable again.
                line.allow(3);
                waker.wake_by_ref();
            }
            if flushed.close_request.is_none() { Poll::Pending } else { Poll::Ready(()) }
        });
        sender.join().expect("no panic");
        assert_eq!(line.texts(), ["a1", "a2"]);
    });
}

fn senders_that_wait_for_room_are_woken() {
    explore(|| {
        let outbox = outbox(1);
        outbox.send(Message::text("0"), None).expect("room");
        let senders = ["a", "b"].map(|name| spawn(&outbox, move |outbox| send(outbox, name)));
        let came = drain(&outbox, 3);
        for sender in senders {
            sender.join().expect("no panic").expect("room in the end");
        }
        assert_eq!(came.len(), 3);
        assert_eq!((of(&came, "a").len(), of(&came, "b").len()), (1, 1));
    });
}

/// Room was granted to it, and a broadcast took it: it is the next all the same, and nobody else has its ticket.
fn who_finds_its_room_taken_keeps_its_place() {
    explore(|| {
        let outbox = outbox(1);
        let full = |text, ticket| {
            matches!(outbox.send(Message::text(text), ticket), Err(SendError::Full { .. }))
        };
        outbox.send(Message::text("0"), None).expect("room");
        let mut early = outbox.turn();
        assert!(early.wait(1, Waker::noop()));
        let mut taken = Vec::new();
        flush(&outbox, None, &mut taken);
        // Before it looks.
        let mut broadcast = Run::default();
        broadcast.push(PreparedMessage::new("1"));
        outbox.send_run(&broadcast).expect("room for a broadcast");
        assert!(full("a", early.ticket()));
        flush(&outbox, None, &mut taken);
        assert!(full("b", None), "room is kept for who came first");
        let mut late = outbox.turn();
        assert!(late.wait(1, Waker::noop()));
        assert_ne!(early.ticket(), late.ticket());
        assert!(!early.wait(1, Waker::noop()));
        outbox.send(Message::text("a"), early.ticket()).expect("its turn");
        early.end();
        flush(&outbox, None, &mut taken);
        outbox.send(Message::text("b"), late.ticket()).expect("its turn");
        late.end();
        flush(&outbox, None, &mut taken);
        assert_eq!(texts(&taken), ["0", "1", "a", "b"]);
    });
}

fn who_gives_up_waiting_passes_its_room_on() {
    explore(|| {
        let outbox = outbox(1);
        outbox.send(Message::text("0"), None).expect("room");
        // Registered before the other, so that room is granted to it first.
        let mut gone = outbox.turn();
        assert!(gone.wait(1, Waker::noop()));
        let sender = spawn(&outbox, |outbox| send(outbox, "a"));
        let draining = spawn(&outbox, |outbox| drain(outbox, 2));
        drop(gone);
        sender.join().expect("no panic").expect("room in the end");
        assert_eq!(draining.join().expect("no panic"), ["0", "a"]);
    });
}

fn a_close_and_a_send_do_not_miss_each_other() {
    explore(|| {
        let outbox = outbox(1);
        outbox.send(Message::text("0"), None).expect("room");
        let sender = spawn(&outbox, |outbox| send(outbox, "a"));
        let closer = spawn(&outbox, |outbox| {
            outbox.request_close_now(CloseFrame::new(1013, "").expect("a code that may be sent"));
        });
        let mut taken = Vec::new();
        block_on(|waker| {
            let flushed = flush(&outbox, Some(waker), &mut taken);
            if flushed.close_request.is_none() { Poll::Pending } else { Poll::Ready(()) }
        });
        let is_sent = sender.join().expect("no panic").is_ok();
        closer.join().expect("no panic");
        let delivered = texts(&taken).len();
        assert_eq!(1 + usize::from(is_sent), delivered + outbox.dropped() as usize);
        assert_eq!(outbox.send(Message::text("b"), None), Err(SendError::Closed));
    });
}

fn nothing_is_accepted_behind_a_broken_message() {
    explore(|| {
        let outbox = outbox(64);
        let id = outbox.open_stream(None).expect("room");
        let opcode = Opcode::Text;
        let piece = Piece { opcode, fin: false, is_compressed: false, payload: b"begun" };
        outbox.send_piece(id, piece).expect("its turn");
        let breaker = spawn(&outbox, move |outbox| outbox.drop_stream(id));
        let sender = spawn(&outbox, |outbox| send(outbox, "behind"));
        let mut taken = Vec::new();
        block_on(|waker| {
            let flushed = flush(&outbox, Some(waker), &mut taken);
            if flushed.close_request.is_none() { Poll::Pending } else { Poll::Ready(()) }
        });
        breaker.join().expect("no panic");
        let is_sent = sender.join().expect("no panic").is_ok();
        assert_eq!(texts(&taken), ["begun"]);
        assert_eq!(outbox.dropped(), u64::from(is_sent));
    });
}

/// A session on this connection, whose client is told so first.
fn session(outbox: &Arc<Outbox>) -> Arc<Relay> {
    let bounds = KeptBounds { messages_max: 64, bytes_max: 1 << 20 };
    let kept = Kept::new(outbox.id(), bounds, Arc::new(Budget::new(1 << 20)));
    Arc::new(Relay::begin(outbox, Message::text("first"), kept).expect("an open connection"))
}

fn sends(relay: &Arc<Relay>) -> thread::JoinHandle<()> {
    let relay = relay.clone();
    thread::spawn(move || {
        for text in ["a1", "a2"] {
            relay.send(Message::text(text)).expect("a session takes it");
        }
    })
}

/// What has come over a connection so far, without what does not count.
fn counted(outbox: &Outbox) -> Vec<String> {
    let mut taken = Vec::new();
    flush(outbox, None, &mut taken);
    let came = texts(&taken);
    came.into_iter().filter(|text| text != "first").collect()
}

fn hand_over(relay: &Relay, to: &Arc<Outbox>, received: &[String]) {
    let frame = CloseFrame::new(4001, "").expect("a code that may be sent");
    relay
        .hand_over(to, received.len() as u64, frame, || Message::text("first"))
        .expect("a session that goes on");
}

fn a_connection_that_takes_over_has_what_did_not_come_before() {
    explore(|| {
        let (old, new) = (outbox(64), outbox(64));
        let relay = session(&old);
        let sender = sends(&relay);
        let mut came = counted(&old);
        hand_over(&relay, &new, &came);
        sender.join().expect("no panic");
        came.extend(counted(&new));
        assert_eq!(came, ["a1", "a2"]);
        assert_eq!(old.send(Message::text("late"), None), Err(SendError::Closed));
    });
}

fn what_a_connection_that_ends_did_not_send_is_with_the_session() {
    explore(|| {
        let (old, new) = (outbox(64), outbox(64));
        let relay = session(&old);
        let sender = sends(&relay);
        let ending = spawn(&old, |outbox| {
            let came = counted(outbox);
            outbox.detach();
            came
        });
        let mut came = ending.join().expect("no panic");
        assert!(relay.suspend(old.id()));
        hand_over(&relay, &new, &came);
        sender.join().expect("no panic");
        came.extend(counted(&new));
        assert_eq!(came, ["a1", "a2"]);
    });
}

fn of_two_that_take_over_the_later_has_the_session() {
    explore(|| {
        let outboxes = [outbox(64), outbox(64), outbox(64)];
        let relay = session(&outboxes[0]);
        relay.send(Message::text("a1")).expect("a session takes it");
        let takers = [1, 2].map(|which| {
            let (relay, to) = (relay.clone(), outboxes[which].clone());
            thread::spawn(move || hand_over(&relay, &to, &[]))
        });
        takers.into_iter().for_each(|taker| taker.join().expect("no panic"));
        let has_it: Vec<_> = outboxes[1..].iter().filter(|outbox| relay.is_on(outbox)).collect();
        assert_eq!(has_it.len(), 1);
        assert_eq!(counted(has_it[0]), ["a1"]);
        let open = outboxes[1..].iter().filter(|outbox| !outbox.is_closed());
        assert_eq!(open.count(), 1);
    });
}
