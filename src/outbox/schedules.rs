//! Models of an outbox under all it has to bear at once: several senders, hundreds of messages, real bounds, a socket that
//! takes what chance gives. With the locks of `--cfg sockeye_shuttle`; `tests/schedules` runs them.

// One that is not in the list would never run.
#![deny(dead_code)]

use std::future::poll_fn;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread;

use crate::frame::{CloseFrame, Frame, Opcode};
use crate::protocol::{Config, Overflow, PreparedMessage};
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::driven::{Telling, Told, assert_in_order, connection, drive, numbers, text};
use super::modelled::Line;
use super::{Outbox, Piece, Run, SendError, Sender, Sent};

/// Every model, by its name. Each is one execution, and panics where it finds something.
pub const MODELS: [(&str, fn()); 7] = [
    ("who_may_wait_is_given_back_what_has_no_room", || policy(BLOCK)),
    ("what_was_refused_and_what_came_is_all", || policy(Overflow::DropNewest)),
    ("what_was_thrown_out_and_what_came_is_all", || policy(Overflow::DropOldest)),
    ("who_is_overloaded_has_one_reason_to_close", || policy(Overflow::Close)),
    ("broadcasts_and_messages_share_one_queue", broadcasts_and_messages_share_one_queue),
    ("of_each_key_the_latest_comes", of_each_key_the_latest_comes),
    ("nothing_comes_between_two_pieces", nothing_comes_between_two_pieces),
];

const BLOCK: Overflow = Overflow::Block { timeout: Duration::MAX };

const SENDERS: [&str; 4] = ["a", "b", "c", "d"];

/// Messages of each sender.
const EACH: usize = 50;

const MESSAGES_MAX: usize = 8;
const BYTES_MAX: usize = 500;

fn bounded(overflow: Overflow, told: &Arc<Told>) -> Arc<Config> {
    Arc::new(Config {
        outbox_messages_max: MESSAGES_MAX,
        outbox_bytes_max: BYTES_MAX,
        overflow,
        observer: Some(Telling::to(told)),
        ..Config::default()
    })
}

/// Until all has left. Nothing else wakes the connection meanwhile, so one that was not woken stays behind.
fn wait_until_drained(outbox: &Outbox) {
    while outbox.undelivered() != (0, 0) {
        thread::yield_now();
    }
}

fn close(code: u16) -> CloseFrame {
    CloseFrame::new(code, "").expect("a code that may be sent")
}

/// What senders were told of their messages.
#[derive(Default)]
struct Answers {
    taken: AtomicUsize,
    refused: AtomicUsize,
    closed: AtomicUsize,
}

impl Answers {
    fn note(&self, result: Result<Sent, SendError>) {
        let counter = match result {
            Ok(_) => &self.taken,
            Err(SendError::Closed) => &self.closed,
            Err(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> (usize, usize, usize) {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (read(&self.taken), read(&self.refused), read(&self.closed))
    }
}

/// Sends all its messages; two of the senders ask to close before their last ones.
fn send_all(outbox: &Arc<Outbox>, name: &str, answers: &Answers) {
    let sender = Sender::new(outbox.clone());
    for number in 0..EACH {
        match (name, number) {
            ("a", 40) => outbox.request_close(close(4000)),
            ("b", 45) => outbox.request_close(close(4001)),
            _ => {}
        }
        answers.note(sender.try_send(text(name, number)));
    }
}

/// Looks at the queue while others use it.
fn watch(outbox: &Outbox) {
    for _ in 0..EACH {
        let (messages, bytes) = outbox.queued();
        assert!(messages <= MESSAGES_MAX && bytes <= BYTES_MAX, "{messages} with {bytes}");
        thread::yield_now();
    }
}

/// Under each policy: nothing is lost that is not counted, nothing passes another, the bounds hold, and there is one
/// reason to close, that of who asked first.
fn policy(overflow: Overflow) {
    let (told, answers) = (Arc::new(Told::default()), Arc::new(Answers::default()));
    let (outbox, line) = connection(bounded(overflow, &told), 1);
    let driver = shuttle::future::spawn(drive(outbox.clone(), line.clone()));
    let watcher = outbox.clone();
    let mut threads = vec![thread::spawn(move || watch(&watcher))];
    threads.extend(SENDERS.map(|name| {
        let (outbox, answers) = (outbox.clone(), answers.clone());
        thread::spawn(move || send_all(&outbox, name, &answers))
    }));
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let reason = block_on(driver).expect("no abort").code();
    let came = line.texts();
    let (taken, refused, closed) = answers.read();
    assert_eq!(taken + refused + closed, SENDERS.len() * EACH);
    assert_in_order(&came, &SENDERS);
    let dropped = outbox.dropped() as usize;
    match overflow {
        Overflow::DropNewest | Overflow::DropOldest => {
            assert_eq!(taken + refused, came.len() + dropped);
        }
        _ => assert_eq!(taken, came.len() + dropped),
    }
    let reason = u16::from(reason);
    let is_overloaded = overflow == Overflow::Close && refused > 0;
    assert!([4000, 4001].contains(&reason) || (is_overloaded && reason == 1013), "{reason}");
    if reason != 1013 && overflow == Overflow::Close {
        // Who has found it full has asked to close first.
        assert_eq!(refused, 0);
    }
    let again = outbox.take_close_request();
    assert!(again.is_none(), "{again:?} after {reason}");
    assert_eq!(outbox.send("late".into(), None), Err(SendError::Closed));
    outbox.detach();
    told.assert_balanced();
}

/// So many messages of a run are not taken, or given up for others of it.
fn missed(result: Result<Sent, SendError>, messages: usize) -> usize {
    match result {
        Ok(Sent::Partly { refused, displaced }) => refused + displaced,
        Ok(Sent::Displaced { messages }) => messages,
        Ok(_) => 0,
        Err(SendError::Full { .. }) => messages,
        Err(error) => panic!("nobody has closed it: {error}"),
    }
}

fn broadcasts_and_messages_share_one_queue() {
    let (told, missing) = (Arc::new(Told::default()), Arc::new(AtomicUsize::new(0)));
    let (outbox, line) = connection(bounded(Overflow::DropOldest, &told), 1);
    let driver = shuttle::future::spawn(drive(outbox.clone(), line.clone()));
    let senders = SENDERS.map(|name| {
        let (sender, missing) = (Sender::new(outbox.clone()), missing.clone());
        thread::spawn(move || {
            // Those of the first two go by runs of 1 to 5.
            let by_runs = ["a", "b"].contains(&name);
            let mut number = 0;
            while number < EACH {
                let len = if by_runs { (number % 5 + 1).min(EACH - number) } else { 1 };
                let mut run = Run::default();
                (number..number + len).for_each(|number| {
                    run.push(PreparedMessage::new(&text(name, number)[..]));
                });
                let result = if by_runs {
                    sender.try_send_run(&run)
                } else {
                    sender.try_send(text(name, number))
                };
                missing.fetch_add(missed(result, len), Ordering::Relaxed);
                number += len;
            }
        })
    });
    senders.into_iter().for_each(|thread| thread.join().expect("no panic"));
    wait_until_drained(&outbox);
    outbox.request_close(close(1000));
    block_on(driver).expect("no abort");
    let came = line.texts();
    assert_in_order(&came, &SENDERS);
    let missing = missing.load(Ordering::Relaxed);
    assert_eq!(came.len() + missing, SENDERS.len() * EACH);
    assert_eq!(outbox.dropped() as usize, missing);
    outbox.detach();
    told.assert_balanced();
}

fn of_each_key_the_latest_comes() {
    let told = Arc::new(Told::default());
    let (outbox, line) = connection(bounded(Overflow::DropNewest, &told), 1);
    let driver = shuttle::future::spawn(drive(outbox.clone(), line.clone()));
    // Together they never fill it.
    let senders = SENDERS.map(|name| {
        let sender = Sender::new(outbox.clone());
        thread::spawn(move || {
            let key = u64::from(name.as_bytes()[0]);
            for number in 0..EACH {
                let sent = sender.try_send_latest(key, format!("{name}{number:04}"));
                assert!(sent.is_ok(), "{sent:?}");
            }
        })
    });
    senders.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert!(outbox.queued().0 <= SENDERS.len());
    wait_until_drained(&outbox);
    outbox.request_close(close(1000));
    block_on(driver).expect("no abort");
    let came = line.texts();
    assert_in_order(&came, &SENDERS);
    for name in SENDERS {
        assert_eq!(numbers(&came, name).last(), Some(&(EACH - 1)), "{name}");
    }
    assert_eq!(outbox.dropped(), 0);
    outbox.detach();
    told.assert_balanced();
}

/// Pieces of each message that comes by pieces.
const PIECES: usize = 5;

/// Messages by pieces of each of two writers.
const WRITTEN: usize = 8;

fn write_pieces(outbox: &Outbox) {
    for _ in 0..WRITTEN {
        let id = outbox.open_stream(None).expect("room");
        for piece in 1..=PIECES {
            let opcode = if piece == 1 { Opcode::Binary } else { Opcode::Continuation };
            block_on(poll_fn(|cx| outbox.poll_stream(id, cx.waker()))).expect("its turn comes");
            let payload = [piece as u8; 40];
            let fin = piece == PIECES;
            let piece = Piece { opcode, fin, is_compressed: false, payload: &payload };
            outbox.send_piece(id, piece).expect("its turn");
        }
    }
}

/// Of each message all frames follow each other; returns how many messages came in one frame, and in more.
fn whole_messages(line: &Line) -> (usize, usize) {
    let bytes = line.bytes();
    let (mut at, mut is_open) = (0, false);
    let (mut in_one, mut in_more) = (0, 0);
    while let Ok(Some((frame, len))) = Frame::decode(&bytes[at..]) {
        at += len;
        assert_eq!(frame.opcode == Opcode::Continuation, is_open, "between two pieces");
        match (is_open, frame.fin) {
            (false, true) => in_one += 1,
            (true, true) => in_more += 1,
            _ => {}
        }
        is_open = !frame.fin;
    }
    assert!(at == bytes.len() && !is_open);
    (in_one, in_more)
}

fn nothing_comes_between_two_pieces() {
    let told = Arc::new(Told::default());
    let config = Config {
        outbox_messages_max: 1024,
        observer: Some(Telling::to(&told)),
        ..Config::default()
    };
    let (outbox, line) = connection(Arc::new(config), 1);
    let driver = shuttle::future::spawn(drive(outbox.clone(), line.clone()));
    let mut threads: Vec<_> = (0..2)
        .map(|_| {
            let outbox = outbox.clone();
            thread::spawn(move || write_pieces(&outbox))
        })
        .collect();
    threads.extend(["a", "b"].map(|name| {
        let sender = Sender::new(outbox.clone());
        thread::spawn(move || {
            for number in 0..EACH {
                sender.try_send(text(name, number)).expect("room");
            }
        })
    }));
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    wait_until_drained(&outbox);
    outbox.request_close(close(1000));
    block_on(driver).expect("no abort");
    assert_eq!(whole_messages(&line), (2 * EACH, 2 * WRITTEN));
    assert_in_order(&line.texts(), &["a", "b"]);
    assert_eq!((outbox.queued(), outbox.dropped()), ((0, 0), 0));
    outbox.detach();
}
