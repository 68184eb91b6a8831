//! Floor 10: sessions that survive their connections.

#![cfg(feature = "session")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sockeye::frame::Opcode;
use sockeye::outbox::{Run, Sent};
use sockeye::session::{
    AckError, Opening, Resume, ResumeError, Session, SessionConfig, SessionError, Sessions,
};
use sockeye::{
    CloseOutcome, Config, Connection, Handler, Message, MessageRef, PreparedMessage, Role,
    SendError, Sender, WebSocket,
};
use tokio::io::{DuplexStream, duplex};

use crate::support::io::RawPeer;
use crate::support::pair::quiet;

pub(super) const KIB: usize = 1024;

/// Suspends its session when the connection has ended.
struct Ending {
    sessions: Sessions,
    session: Session,
    connection: u64,
}

impl Handler for Ending {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}

    fn on_close(&mut self, _: &CloseOutcome) {
        self.sessions.suspend(&self.session, self.connection);
    }
}

/// One connection of a client, read by hand.
pub(super) struct Client {
    pub(super) peer: RawPeer<DuplexStream>,
    connection: u64,
    pub(super) token: String,
}

impl Client {
    pub(super) async fn text(&mut self) -> Option<String> {
        let frame = self.peer.data().await?;
        assert_eq!(frame.opcode, Opcode::Text);
        Some(String::from_utf8(frame.payload.to_vec()).unwrap())
    }

    /// The first message: the token, and the counts.
    async fn open(&mut self) -> (u64, u64) {
        let text = self.text().await.unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        self.token = words[0].to_owned();
        (words[1].parse().unwrap(), words[2].parse().unwrap())
    }
}

pub(super) fn opening(opening: &Opening<'_>) -> Message {
    Message::text(format!("{} {} {}", opening.token, opening.sent, opening.received))
}

pub(super) fn socket(config: &Config) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, peer) = duplex(256 * KIB);
    (WebSocket::from_stream(ours, Role::Server, &Arc::new(config.clone())), peer)
}

fn run(sessions: &Sessions, session: &Session, socket: WebSocket<DuplexStream>) {
    let (sessions, session) = (sessions.clone(), session.clone());
    let connection = socket.id();
    tokio::spawn(socket.run(Ending { sessions, session, connection }));
}

pub(super) async fn begin(sessions: &Sessions, user: Option<&str>) -> (Session, Client) {
    begin_with(&quiet(), sessions, user).await
}

pub(super) async fn begin_with(
    config: &Config,
    sessions: &Sessions,
    user: Option<&str>,
) -> (Session, Client) {
    let (socket, peer) = socket(config);
    let connection = socket.id();
    let session = sessions.create(&socket.sender(), user, opening).unwrap();
    run(sessions, &session, socket);
    let mut client = Client { peer: RawPeer::client(peer), connection, token: String::new() };
    assert_eq!(client.open().await, (0, 0));
    (session, client)
}

pub(super) fn ask<'a>(session: &'a Session, token: &'a str, received: u64) -> Resume<'a> {
    let (id, user) = (session.id().as_str(), session.user());
    Resume { id, token, user, received, acknowledged: 0, instead_of: None }
}

pub(super) async fn resume(sessions: &Sessions, what: &Resume<'_>) -> Result<Client, ResumeError> {
    let (socket, peer) = socket(&quiet());
    let connection = socket.id();
    let session = sessions.resume(&socket.sender(), what, opening)?;
    run(sessions, &session, socket);
    let mut client = Client { peer: RawPeer::client(peer), connection, token: String::new() };
    assert_eq!(client.open().await.0, what.received);
    Ok(client)
}

/// So many messages have left.
pub(super) async fn left(session: &Session, count: u64) {
    while session.sent() < count {
        tokio::task::yield_now().await;
    }
    assert_eq!(session.sent(), count);
}

/// The connection is gone, and the server has noticed.
pub(super) async fn fall(session: &Session, client: Client) {
    drop(client);
    while !session.is_suspended() {
        tokio::task::yield_now().await;
    }
}

/// SE-02, SE-03, BY-31, PK-09: a session waits for its next connection, again and again; what was not
/// received comes again, what was sent meanwhile comes then.
#[tokio::test]
async fn a_session_goes_on_again_and_again() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, mut client) = begin(&sessions, Some("ann")).await;
    let sender = session.sender().clone();
    let mut received = 0;
    for round in 0..5 {
        for part in ["seen", "lost"] {
            sender.send(format!("{part} {round}")).await.unwrap();
        }
        if round > 0 {
            assert_eq!(client.text().await.unwrap(), format!("lost {}", round - 1));
            assert_eq!(client.text().await.unwrap(), format!("away {}", round - 1));
            received += 2;
        }
        assert_eq!(client.text().await.unwrap(), format!("seen {round}"));
        received += 1;
        let token = client.token.clone();
        fall(&session, client).await;
        assert_eq!(sender.send(format!("away {round}")).await, Ok(Sent::Kept));
        assert_eq!(sessions.suspended(), 1);
        client = resume(&sessions, &ask(&session, &token, received)).await.unwrap();
        assert!(!session.is_suspended());
        assert_eq!((sessions.len(), sessions.suspended()), (1, 0));
    }
    assert_eq!(session.sent(), 15);
}

/// BY-31: all ways to send count, while there is a connection and while there is none.
#[tokio::test]
async fn all_ways_to_send_count() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, mut client) = begin(&sessions, None).await;
    let say = |name: &str| {
        let sender = session.sender();
        let mut run = Run::default();
        run.push(PreparedMessage::new(&*format!("{name} run 1")));
        run.push(PreparedMessage::new(&*format!("{name} run 2")));
        sender.try_send(format!("{name} plain")).unwrap();
        sender.try_send_prepared(&PreparedMessage::new(&*format!("{name} prepared"))).unwrap();
        sender.feed(&*format!("{name} fed")).unwrap();
        sender.try_send_run(&run).unwrap();
        sender.try_send_latest(1, format!("{name} latest")).unwrap();
        let latest = PreparedMessage::new(&*format!("{name} latest prepared"));
        sender.try_send_latest_prepared(2, &latest).unwrap();
    };
    say("here");
    left(&session, 7).await;
    for part in ["plain", "prepared", "fed", "run 1", "run 2", "latest", "latest prepared"] {
        assert_eq!(client.text().await.unwrap(), format!("here {part}"));
    }
    let token = client.token.clone();
    fall(&session, client).await;
    say("away");
    assert_eq!(session.sent(), 14);
    let mut client = resume(&sessions, &ask(&session, &token, 7)).await.unwrap();
    for part in ["plain", "prepared", "fed", "run 1", "run 2", "latest", "latest prepared"] {
        assert_eq!(client.text().await.unwrap(), format!("away {part}"));
    }
    session.sender().try_send("on").unwrap();
    assert_eq!(client.text().await.unwrap(), "on");
}

/// BY-31: of values of which only the latest is wanted, only the latest waits for the next connection.
#[tokio::test]
async fn while_there_is_no_connection_the_latest_replaces() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, client) = begin(&sessions, None).await;
    let token = client.token.clone();
    fall(&session, client).await;
    for price in 0..1000 {
        session.sender().try_send_latest(7, format!("price {price}")).unwrap();
    }
    session.sender().try_send("end").unwrap();
    let mut client = resume(&sessions, &ask(&session, &token, 0)).await.unwrap();
    assert_eq!(client.text().await.unwrap(), "price 999");
    assert_eq!(client.text().await.unwrap(), "end");
}

/// BY-31: what is acknowledged is not kept; an acknowledgement of what was never sent is an error, and a
/// late one of an old connection is nothing.
#[tokio::test]
async fn what_is_acknowledged_is_not_kept() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, client) = begin(&sessions, None).await;
    for _ in 0..10 {
        session.sender().try_send("x".repeat(1000)).unwrap();
    }
    left(&session, 10).await;
    let all = sessions.kept_bytes();
    assert!(all >= 10_000);
    session.acknowledge(client.connection, 4).unwrap();
    assert!(sessions.kept_bytes() < all * 7 / 10);
    assert_eq!(session.acknowledge(client.connection, 11), Err(AckError));
    session.acknowledge(client.connection, 2).unwrap();
    session.acknowledge(client.connection + 1000, 10).unwrap();
    assert!(sessions.kept_bytes() >= 6000);
    session.acknowledge(client.connection, 10).unwrap();
    assert_eq!(sessions.kept_bytes(), 0);
    let resumed = resume(&sessions, &ask(&session, &client.token, 3)).await;
    assert_eq!(resumed.err(), Some(ResumeError::HistoryLost));
}

/// BY-31: what was said while there was no connection cannot have been received: who says so has lost nothing by it.
#[tokio::test]
async fn what_never_left_is_not_acknowledged() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, client) = begin(&sessions, None).await;
    session.sender().try_send("here").unwrap();
    left(&session, 1).await;
    let (token, connection) = (client.token.clone(), client.connection);
    fall(&session, client).await;
    for part in ["away 1", "away 2"] {
        assert_eq!(session.sender().try_send(part), Ok(Sent::Kept));
    }
    for ahead in [2, 3, 4] {
        let resumed = resume(&sessions, &ask(&session, &token, ahead)).await;
        assert_eq!(resumed.err(), Some(ResumeError::Ahead), "{ahead}");
        let _ = session.acknowledge(connection, ahead);
    }
    let mut client = resume(&sessions, &ask(&session, &token, 1)).await.unwrap();
    assert_eq!(client.text().await.unwrap(), "away 1");
    assert_eq!(client.text().await.unwrap(), "away 2");
}

/// BY-30: whoever resumes takes the session over; the connection that had it is closed with 4001, and what
/// comes over it does not count.
#[tokio::test]
async fn a_newer_connection_takes_the_session_over() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, mut old) = begin(&sessions, Some("ann")).await;
    session.sender().try_send("one").unwrap();
    assert_eq!(old.text().await.unwrap(), "one");
    assert!(session.count_received(old.connection));
    let mut new = resume(&sessions, &ask(&session, &old.token, 1)).await.unwrap();
    session.sender().try_send("two").unwrap();
    assert_eq!(new.text().await.unwrap(), "two");
    assert_eq!(old.peer.close_code().await, Some(4001));
    assert!(!session.count_received(old.connection));
    assert!(session.count_received(new.connection));
    assert_eq!(session.received(), 2);
    fall_over(old).await;
    // The end of the old one is nothing to the session.
    assert!(!session.is_suspended());
    assert_eq!(session.connection(), Some(new.connection));
}

async fn fall_over(client: Client) {
    drop(client);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A18, row 67, BY-30: the token of another session, none, the user of another, the name alone: refused, and
/// the session goes on where it was.
#[tokio::test]
async fn without_its_token_and_user_a_session_is_unknown() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, mut client) = begin(&sessions, Some("ann")).await;
    let (_other, stranger) = begin(&sessions, Some("bob")).await;
    let good = ask(&session, &client.token, 0);
    let bad = [
        Resume { token: &stranger.token, ..good },
        Resume { token: "", ..good },
        Resume { token: &client.token[1..], ..good },
        Resume { user: Some("bob"), ..good },
        Resume { user: None, ..good },
        Resume { id: "", ..good },
        Resume { id: &client.token, ..good },
    ];
    for bad in bad {
        assert_eq!(resume(&sessions, &bad).await.err(), Some(ResumeError::Unknown), "{bad:?}");
    }
    session.sender().try_send("still here").unwrap();
    assert_eq!(client.text().await.unwrap(), "still here");
    let resumed = resume(&sessions, &ask(&session, &client.token, 2)).await;
    assert_eq!(resumed.err(), Some(ResumeError::Ahead));
    assert_eq!(session.connection(), Some(client.connection));
}

/// A17: tokens are unique, of 256 bits, without bias.
#[tokio::test]
async fn tokens_are_random() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    const COUNT: u32 = 10_000;
    let sessions = Sessions::new(SessionConfig::default());
    let (mut tokens, mut ids) = (HashSet::new(), HashSet::new());
    let mut ones = [0_u32; 256];
    for _ in 0..COUNT {
        let (ours, _peer) = duplex(64);
        let socket = WebSocket::from_stream(ours, Role::Server, &Arc::new(quiet()));
        let mut token = String::new();
        let session = sessions.create(&socket.sender(), None, |opening| {
            token = opening.token.to_owned();
            Message::text("")
        });
        let session = session.unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert_eq!(bytes.len(), 32);
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
        }
        sessions.end(&session, 1000, "");
        assert!(tokens.insert(token) && ids.insert(session.id().clone()));
    }
    // Six times the standard deviation: of 256 bits none is that far off by chance.
    assert!(ones.iter().all(|count| count.abs_diff(COUNT / 2) < 300), "{ones:?}");
}

/// A17: a token is dead as soon as the client has shown that it has the next; before that the session is
/// not lost with the answer that carried it.
#[tokio::test]
async fn a_token_is_good_until_the_next_is_known() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, client) = begin(&sessions, None).await;
    let first = client.token.clone();
    fall(&session, client).await;
    for _ in 0..3 {
        // The answer never comes.
        let lost = resume(&sessions, &ask(&session, &first, 0)).await.unwrap();
        fall(&session, lost).await;
    }
    let client = resume(&sessions, &ask(&session, &first, 0)).await.unwrap();
    assert_ne!(client.token, first);
    assert!(session.count_received(client.connection));
    let again = resume(&sessions, &ask(&session, &first, 0)).await;
    assert_eq!(again.err(), Some(ResumeError::Unknown));
    let second = client.token.clone();
    let client = resume(&sessions, &ask(&session, &second, 0)).await.unwrap();
    session.acknowledge(client.connection, 0).unwrap();
    let again = resume(&sessions, &ask(&session, &second, 0)).await;
    assert_eq!(again.err(), Some(ResumeError::Unknown));
}

/// A19: of two who come at once with the same token one has the session, the other is closed with 4001 or
/// refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_come_at_once_one_has_the_session() {
    let sessions = Sessions::new(SessionConfig::default());
    for _ in 0..50 {
        let (session, client) = begin(&sessions, None).await;
        let token = client.token.clone();
        fall(&session, client).await;
        let tries = (0..2).map(|_| {
            let (sessions, session, token) = (sessions.clone(), session.clone(), token.clone());
            tokio::spawn(async move { resume(&sessions, &ask(&session, &token, 0)).await })
        });
        let mut clients = Vec::new();
        for attempt in tries.collect::<Vec<_>>() {
            clients.extend(attempt.await.unwrap());
        }
        let has_it = |client: &Client| session.connection() == Some(client.connection);
        assert_eq!(clients.iter().filter(|client| has_it(client)).count(), 1);
        for client in clients.iter_mut().filter(|client| !has_it(client)) {
            assert_eq!(client.peer.close_code().await, Some(4001));
        }
    }
}

/// SE-05: a session without a connection ends in time, and who comes later is told so.
#[tokio::test(start_paused = true)]
async fn a_session_expires() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, client) = begin(&sessions, None).await;
    let token = client.token.clone();
    fall(&session, client).await;
    tokio::time::advance(Duration::from_secs(119)).await;
    assert!(sessions.sweep().is_empty());
    tokio::time::advance(Duration::from_secs(2)).await;
    let resumed = resume(&sessions, &ask(&session, &token, 0)).await;
    assert_eq!(resumed.err(), Some(ResumeError::Expired));
    let ended = sessions.sweep();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].id(), session.id());
    assert_eq!((sessions.len(), sessions.suspended(), sessions.kept_bytes()), (0, 0, 0));
    assert_eq!(session.sender().try_send("late"), Err(SendError::Closed));
    let resumed = resume(&sessions, &ask(&session, &token, 0)).await;
    assert_eq!(resumed.err(), Some(ResumeError::Expired));
    let resumed = resume(&sessions, &ask(&session, "guessed", 0)).await;
    assert_eq!(resumed.err(), Some(ResumeError::Unknown));
}

/// Where there is no place the one that has waited for longest goes; where all are connected there is none.
#[tokio::test]
async fn who_has_waited_for_longest_makes_room() {
    let mut config = SessionConfig::default();
    config.sessions_max = 2;
    let sessions = Sessions::new(config);
    let (first, a) = begin(&sessions, None).await;
    let (second, b) = begin(&sessions, None).await;
    let (socket, _peer) = socket(&quiet());
    let full = sessions.create(&socket.sender(), None, opening).err();
    assert_eq!(full, Some(SessionError::Full { sessions_max: 2 }));
    let token = a.token.clone();
    fall(&first, a).await;
    fall(&second, b).await;
    sessions.create(&socket.sender(), None, opening).unwrap();
    assert_eq!(sessions.len(), 2);
    let ended = sessions.sweep();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].id(), first.id());
    let resumed = resume(&sessions, &ask(&first, &token, 0)).await;
    assert_eq!(resumed.err(), Some(ResumeError::Expired));
}

/// A session that is ended closes its connection with the code; without a connection it is gone at once.
#[tokio::test]
async fn a_session_can_be_ended() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, mut client) = begin(&sessions, None).await;
    session.sender().try_send("last words").unwrap();
    sessions.end(&session, 4000, "enough");
    assert_eq!(client.text().await.unwrap(), "last words");
    assert_eq!(client.peer.close_code().await, Some(4000));
    assert_eq!(session.sender().try_send("late"), Err(SendError::Closed));
    assert_eq!((sessions.len(), sessions.kept_bytes()), (0, 0));
}

/// What a connection began with is given up for the session it resumes.
#[tokio::test]
async fn a_resumed_session_replaces_the_one_a_connection_began_with() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, client) = begin(&sessions, None).await;
    let token = client.token.clone();
    fall(&session, client).await;
    session.sender().try_send("away").unwrap();
    let (socket, peer) = socket(&quiet());
    let sender: Sender = socket.sender();
    let fresh = sessions.create(&sender, None, opening).unwrap();
    let mut again = ask(&session, &token, 0);
    again.instead_of = Some(&fresh);
    sessions.resume(&sender, &again, opening).unwrap();
    let connection = socket.id();
    run(&sessions, &session, socket);
    assert_eq!(fresh.sender().try_send("nobody"), Err(SendError::Closed));
    assert_eq!(sessions.len(), 1);
    let mut client = Client { peer: RawPeer::client(peer), connection, token: String::new() };
    assert_eq!(client.open().await, (0, 0));
    assert_eq!(client.open().await, (0, 0));
    assert_eq!(client.text().await.unwrap(), "away");
}

/// What does not count is not sent again.
#[tokio::test]
async fn what_does_not_count_is_not_sent_again() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, mut client) = begin(&sessions, None).await;
    session.send_uncounted("ack").unwrap();
    session.sender().try_send("one").unwrap();
    assert_eq!(client.text().await.unwrap(), "ack");
    left(&session, 1).await;
    let token = client.token.clone();
    fall(&session, client).await;
    assert_eq!(session.send_uncounted("ack"), Err(SendError::Closed));
    let mut client = resume(&sessions, &ask(&session, &token, 0)).await.unwrap();
    assert_eq!(client.text().await.unwrap(), "one");
}

/// A22, row 69: ten thousand sessions without connections, with as much as they may keep, stay within the
/// bound of the whole server.
#[tokio::test]
async fn ten_thousand_suspended_sessions_stay_within_the_bound() {
    const BOUND: usize = 8 * KIB * KIB;
    let mut config = SessionConfig::default();
    config.kept_bytes_total_max = BOUND;
    let sessions = Sessions::new(config);
    let message = PreparedMessage::new(&*"x".repeat(KIB));
    for _ in 0..10_000 {
        let (socket, _peer) = socket(&quiet());
        let session = sessions.create(&socket.sender(), None, opening).unwrap();
        let connection = socket.id();
        drop(socket);
        assert!(sessions.suspend(&session, connection));
        for _ in 0..4 {
            assert_eq!(session.sender().try_send_prepared(&message), Ok(Sent::Kept));
        }
        assert!(sessions.kept_bytes() <= BOUND);
    }
    assert_eq!(sessions.suspended(), 10_000);
    assert!(sessions.kept_bytes() > BOUND - 2 * KIB);
    for session in sessions.all() {
        sessions.end(&session, 1000, "");
    }
    assert_eq!(sessions.kept_bytes(), 0);
}

/// An application's own state goes with a session.
#[tokio::test]
async fn something_can_be_attached() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, _client) = begin(&sessions, None).await;
    assert_eq!(session.attached::<String>(), None);
    assert!(session.attach(Arc::new("state".to_owned())));
    assert!(!session.attach(Arc::new(1_u32)));
    let known = sessions.get(session.id().as_str()).unwrap();
    assert_eq!(known.attached::<String>().as_deref().map(String::as_str), Some("state"));
    assert_eq!(known.attached::<u32>(), None);
}

/// Nothing that is shown of a session or its opening has the token.
#[tokio::test]
async fn a_token_is_not_shown() {
    let sessions = Sessions::new(SessionConfig::default());
    let (socket, _peer) = socket(&quiet());
    let mut shown = String::new();
    let mut token = String::new();
    let session = sessions.create(&socket.sender(), Some("ann"), |opening| {
        shown = format!("{opening:?}");
        token = opening.token.to_owned();
        Message::text("")
    });
    let session = session.unwrap();
    shown += &format!("{session:?} {sessions:?} {:?}", ask(&session, &token, 0));
    assert!(!shown.contains(&token), "{shown}");
}

/// Row 67: a connection that has a session which another cannot have any more loses it, too, and is closed.
#[tokio::test]
async fn a_session_whose_history_is_lost_ends_for_all() {
    let mut config = SessionConfig::default();
    config.kept_messages_max = 1;
    let sessions = Sessions::new(config);
    let (session, mut client) = begin(&sessions, None).await;
    for text in ["one", "two"] {
        session.sender().try_send(text).unwrap();
        assert_eq!(client.text().await.unwrap(), text);
    }
    let resumed = resume(&sessions, &ask(&session, &client.token, 0)).await;
    assert_eq!(resumed.err(), Some(ResumeError::HistoryLost));
    assert_eq!(client.peer.close_code().await, Some(4001));
}

/// What a connection was told before its session began is told first.
#[tokio::test]
async fn what_waits_on_the_connection_leaves_before_the_session() {
    let sessions = Sessions::new(SessionConfig::default());
    let (socket, peer) = socket(&quiet());
    let connection = socket.id();
    socket.sender().try_send("before").unwrap();
    let session = sessions.create(&socket.sender(), None, opening).unwrap();
    session.sender().try_send("after").unwrap();
    run(&sessions, &session, socket);
    let mut client = Client { peer: RawPeer::client(peer), connection, token: String::new() };
    assert_eq!(client.text().await.unwrap(), "before");
    assert_eq!(client.open().await, (0, 0));
    assert_eq!(client.text().await.unwrap(), "after");
    left(&session, 1).await;
}
