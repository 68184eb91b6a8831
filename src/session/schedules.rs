//! Models of a session that is taken over while much is sent to it. With the locks of `--cfg sockeye_shuttle`;
//! `tests/schedules` runs them.

// One that is not in the list would never run.
#![deny(dead_code)]

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

use crate::outbox::driven::{assert_in_order, connection, text};
use crate::outbox::modelled::Line;
use crate::outbox::{Outbox, Sender};
use crate::protocol::{Config, Message, WriteBuffer};
use crate::sync::{Arc, Mutex};

use super::config::SessionConfig;
use super::session::{Opening, Session};
use super::store::{Resume, Sessions};

/// Every model, by its name. Each is one execution, and panics where it finds something.
pub const MODELS: [(&str, fn()); 3] = [
    (
        "a_client_that_comes_back_has_every_message_once",
        a_client_that_comes_back_has_every_message_once,
    ),
    ("of_many_that_take_over_one_has_the_session", of_many_that_take_over_one_has_the_session),
    ("an_end_and_a_take_over_leave_nothing_behind", an_end_and_a_take_over_leave_nothing_behind),
];

const SENDERS: [&str; 3] = ["a", "b", "c"];

/// Messages of each sender.
const EACH: usize = 50;

/// Connections of the client that comes back, after its first.
const COMES_BACK: u64 = 6;

/// Connections that take over at the same time.
const TAKERS: u64 = 4;

fn sessions() -> Sessions {
    Sessions::new(SessionConfig {
        kept_messages_max: SENDERS.len() * EACH,
        ..SessionConfig::default()
    })
}

/// A connection of the client's.
struct Client {
    outbox: Arc<Outbox>,
    line: Arc<Line>,
}

impl Client {
    fn connect(id: u64) -> Self {
        let config = Config { outbox_messages_max: 1024, ..Config::default() };
        let (outbox, line) = connection(Arc::new(config), id);
        Self { outbox, line }
    }

    fn sender(&self) -> Sender {
        Sender::new(self.outbox.clone())
    }

    /// So many bytes more come, as far as there are so many.
    fn flush(&self, bytes: usize) -> Option<u16> {
        use crate::outbox::WriteNow as _;
        self.line.allow(bytes);
        let write = |slices: &[std::io::IoSlice<'_>]| self.line.write_now(slices);
        let flushed = self.outbox.flush(&mut WriteBuffer::new(), None, write);
        let request = flushed.expect("a line that works").close_request;
        request.map(|frame| frame.code().as_u16())
    }

    /// What has come whole, without what does not count.
    fn counted(&self) -> Vec<String> {
        self.line.texts().into_iter().filter(|text| text != FIRST).collect()
    }
}

const FIRST: &str = "first";

/// Notes the token that the client is told.
fn first(token: &Mutex<String>) -> impl FnOnce(&Opening<'_>) -> Message {
    |opening| {
        *token.lock() = opening.token.to_owned();
        Message::text(FIRST)
    }
}

fn resume<'a>(session: &'a Session, token: &'a str, received: u64) -> Resume<'a> {
    let id = session.id().as_str();
    Resume { id, token, user: None, received, acknowledged: 0, instead_of: None }
}

fn send_all(session: &Session) -> [thread::JoinHandle<()>; 3] {
    SENDERS.map(|name| {
        let sender = session.sender().clone();
        thread::spawn(move || {
            for number in 0..EACH {
                sender.try_send(text(name, number)).expect("a session takes it");
            }
        })
    })
}

/// Each time with some of what was on the way lost, whether the server has seen the end of the connection or not.
fn a_client_that_comes_back_has_every_message_once() {
    let (sessions, token) = (sessions(), Mutex::new(String::new()));
    let mut client = Client::connect(1);
    let session = sessions.create(&client.sender(), None, first(&token)).expect("room");
    let senders = send_all(&session);
    let mut came = Vec::new();
    for id in 2..2 + COMES_BACK {
        for _ in 0..thread_rng().gen_range(0..20) {
            client.flush(thread_rng().gen_range(0..200));
            thread::yield_now();
        }
        // What the line has taken since is lost.
        came.extend(client.counted());
        if thread_rng().gen_bool(0.3) {
            session.acknowledge(id - 1, came.len() as u64).expect("it was sent");
        }
        let is_suspended = thread_rng().gen_bool(0.5);
        if is_suspended {
            client.outbox.detach();
            assert!(sessions.suspend(&session, id - 1));
        }
        let next = Client::connect(id);
        let known = token.lock().clone();
        let resumed = sessions.resume(
            &next.sender(),
            &resume(&session, &known, came.len() as u64),
            first(&token),
        );
        resumed.expect("a session that goes on");
        let before = std::mem::replace(&mut client, next);
        assert!(before.outbox.is_closed());
        if !is_suspended {
            assert_eq!(before.flush(usize::MAX), Some(4001));
        }
    }
    senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
    client.flush(usize::MAX);
    came.extend(client.counted());
    assert_eq!(came.len(), SENDERS.len() * EACH);
    assert_in_order(&came, &SENDERS);
    assert_eq!(session.sent(), came.len() as u64);
    session.acknowledge(1 + COMES_BACK, came.len() as u64).expect("all were sent");
    assert_eq!(sessions.kept_bytes(), 0);
}

/// Each of them is told that it has it; all but the last are told that they have lost it, once.
fn of_many_that_take_over_one_has_the_session() {
    let (sessions, token) = (sessions(), Mutex::new(String::new()));
    let clients: Vec<_> = (1..=1 + TAKERS).map(|id| Arc::new(Client::connect(id))).collect();
    let session = sessions.create(&clients[0].sender(), None, first(&token)).expect("room");
    let known = token.lock().clone();
    let mut threads: Vec<_> = clients[1..]
        .iter()
        .map(|client| {
            let (client, sessions) = (client.clone(), sessions.clone());
            let (session, known) = (session.clone(), known.clone());
            thread::spawn(move || {
                let ignored = Mutex::new(String::new());
                let resumed = sessions.resume(
                    &client.sender(),
                    &resume(&session, &known, 0),
                    first(&ignored),
                );
                resumed.expect("nothing has come from the client");
            })
        })
        .collect();
    threads.extend(send_all(&session));
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let owner = session.connection().expect("somebody has it");
    assert_ne!(owner, 1);
    for (id, client) in (1..).zip(&clients) {
        let expected = if id == owner { None } else { Some(4001) };
        assert_eq!(
            (client.flush(usize::MAX), client.flush(usize::MAX)),
            (expected, None),
            "{id} of {owner}"
        );
        assert_eq!(client.outbox.is_closed(), id != owner);
        let came = client.counted();
        assert_in_order(&came, &SENDERS);
        assert!(id != owner || came.len() == SENDERS.len() * EACH);
    }
    assert_eq!((sessions.len(), sessions.suspended()), (1, 0));
}

/// Whoever is last, the session is gone, what it has kept is given back, and no connection is left with it.
fn an_end_and_a_take_over_leave_nothing_behind() {
    let (sessions, token) = (sessions(), Mutex::new(String::new()));
    let clients = [1, 2].map(|id| Arc::new(Client::connect(id)));
    let session = sessions.create(&clients[0].sender(), None, first(&token)).expect("room");
    let known = token.lock().clone();
    let senders = SENDERS.map(|name| {
        let sender = session.sender().clone();
        // Once it has ended it takes nothing.
        thread::spawn(move || {
            (0..EACH).take_while(|number| sender.try_send(text(name, *number)).is_ok()).count()
        })
    });
    let taker = {
        let (client, sessions, session) = (clients[1].clone(), sessions.clone(), session.clone());
        thread::spawn(move || {
            let ignored = Mutex::new(String::new());
            sessions.resume(&client.sender(), &resume(&session, &known, 0), first(&ignored)).is_ok()
        })
    };
    (0..thread_rng().gen_range(0..20)).for_each(|_| thread::yield_now());
    sessions.end(&session, 4000, "");
    let is_taken = taker.join().expect("no panic");
    let sent: usize = senders.into_iter().map(|sender| sender.join().expect("no panic")).sum();
    assert!(session.sender().is_closed());
    let reasons = [0, 1].map(|which| clients[which].flush(usize::MAX));
    assert_eq!(reasons, if is_taken { [Some(4001), Some(4000)] } else { [Some(4000), None] });
    if let Some(ended) = reasons.iter().position(|reason| *reason == Some(4000)) {
        let came = clients[ended].counted();
        assert_in_order(&came, &SENDERS);
        assert!(came.len() == sent, "{} of {sent}", came.len());
    }
    drop(session);
    assert_eq!((sessions.len(), sessions.suspended(), sessions.kept_bytes()), (0, 0, 0));
}
