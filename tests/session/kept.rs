//! Floor 10: what a session keeps, and what it does not.

#![cfg(feature = "session")]

use std::time::Duration;

use sockeye::outbox::{Run, Sent};
use sockeye::protocol::Overflow;
use sockeye::session::{ResumeError, SessionConfig, Sessions};
use sockeye::{Connection, Handler, MessageKind, MessageRef, PreparedMessage, SendError};
use tokio::io::AsyncWriteExt;

use super::resume::{KIB, ask, begin, begin_with, fall, left, opening, resume, socket};
use crate::support::pair::quiet;

/// BY-31: more than may be kept goes at the old end; who needs it is told, and the session ends.
#[tokio::test]
async fn more_than_may_be_kept_is_told() {
    let bounds: [fn(&mut SessionConfig); 3] = [
        |config| config.kept_messages_max = 4,
        |config| config.kept_bytes_max = 4 * (1000 + 64),
        |config| config.kept_bytes_total_max = 4 * (1000 + 64),
    ];
    for set in bounds {
        let mut config = SessionConfig::default();
        set(&mut config);
        let sessions = Sessions::new(config);
        for (count, is_lost) in [(4, false), (5, true)] {
            let (session, client) = begin(&sessions, None).await;
            let token = client.token.clone();
            fall(&session, client).await;
            for _ in 0..count {
                session.sender().try_send("x".repeat(1000)).unwrap();
            }
            let resumed = resume(&sessions, &ask(&session, &token, 0)).await;
            assert_eq!(resumed.is_err(), is_lost);
            if let Err(error) = resumed {
                assert_eq!(error, ResumeError::HistoryLost);
                assert_eq!(sessions.sweep().len(), 1);
            } else {
                sessions.end(&session, 1000, "");
            }
            assert_eq!((sessions.len(), sessions.kept_bytes()), (0, 0));
        }
    }
}

/// BY-31, MS-07: what is written piece by piece counts and is not kept: who has it goes on, who has it not is told, and
/// nothing is sent that would take its place.
#[tokio::test]
async fn what_is_written_by_pieces_does_not_come_again() {
    for (received, expected) in
        [(2, Ok(())), (1, Err(ResumeError::HistoryLost)), (0, Err(ResumeError::HistoryLost))]
    {
        let sessions = Sessions::new(SessionConfig::default());
        let (session, mut client) = begin(&sessions, None).await;
        session.sender().try_send("before").unwrap();
        let mut writer = session.sender().send_stream(MessageKind::Text).await.unwrap();
        writer.write_all(b"by pieces").await.unwrap();
        writer.shutdown().await.unwrap();
        left(&session, 2).await;
        assert_eq!(client.text().await.unwrap(), "before");
        let token = client.token.clone();
        fall(&session, client).await;
        session.sender().try_send("away").unwrap();
        let resumed = resume(&sessions, &ask(&session, &token, received)).await;
        assert_eq!(resumed.as_ref().map(drop).map_err(|error| *error), expected, "{received}");
        if let Ok(mut client) = resumed {
            assert_eq!(client.text().await.unwrap(), "away");
        }
    }
}

/// What is old is not kept, whoever does not acknowledge.
#[tokio::test(start_paused = true)]
async fn what_is_old_is_not_kept() {
    let sessions = Sessions::new(SessionConfig::default());
    let (session, _client) = begin(&sessions, None).await;
    sessions.sweep();
    session.sender().try_send("old").unwrap();
    left(&session, 1).await;
    for _ in 0..2 {
        assert!(sessions.kept_bytes() > 0);
        tokio::time::advance(Duration::from_secs(300)).await;
        sessions.sweep();
    }
    assert_eq!(sessions.kept_bytes(), 0);
}

/// BY-31: a long message takes the room of as many as it needs.
#[tokio::test]
async fn a_long_message_takes_the_room_of_many() {
    let mut config = SessionConfig::default();
    config.kept_bytes_max = 4000;
    let sessions = Sessions::new(config);
    let (session, client) = begin(&sessions, None).await;
    fall(&session, client).await;
    for _ in 0..20 {
        session.sender().try_send("x".repeat(100)).unwrap();
    }
    assert_eq!(session.sender().queued().0, 20);
    session.sender().try_send("x".repeat(3000)).unwrap();
    let (messages, bytes) = session.sender().queued();
    assert!((2..=10).contains(&messages) && bytes == 3000 + (messages - 1) * 100, "{messages}");
    assert!(sessions.kept_bytes() <= 4000, "{}", sessions.kept_bytes());
}

/// BY-31: what waits for a connection is told as what waits for a socket is; of a key it is the latest alone, and that
/// counts as long as it is.
#[tokio::test]
async fn what_waits_for_a_connection_is_told() {
    let mut config = SessionConfig::default();
    config.kept_bytes_max = 4 * KIB;
    let sessions = Sessions::new(config);
    let (session, client) = begin(&sessions, None).await;
    let token = client.token.clone();
    fall(&session, client).await;
    let sender = session.sender();
    assert_eq!(sender.queued(), (0, 0));
    sender.try_send("first").unwrap();
    for number in 0..100 {
        sender.try_send_latest(7, format!("{number:->len$}", len = 1000 + number)).unwrap();
        assert_eq!(sender.queued(), (2, 5 + 1000 + number));
    }
    sender.try_send_latest(7, "99").unwrap();
    assert_eq!(sender.queued(), (2, 7));
    let mut client = resume(&sessions, &ask(&session, &token, 0)).await.unwrap();
    for expected in ["first", "99"] {
        assert_eq!(client.text().await.unwrap(), expected);
    }
    sessions.end(&session, 1000, "");
    assert_eq!(sessions.kept_bytes(), 0);
}

/// BY-31, BC-02: a run of a broadcast that does not fit ends its connection, and the session has all of it for the next.
#[tokio::test]
async fn a_run_that_does_not_fit_waits_for_the_next_connection() {
    for overflow in [Overflow::Close, Overflow::Block { timeout: Duration::from_secs(60) }] {
        let mut config = SessionConfig::default();
        config.kept_bytes_max = 4096 * KIB;
        let sessions = Sessions::new(config);
        let mut config = quiet();
        config.overflow = overflow;
        config.outbox_bytes_max = 300 * KIB;
        let (session, client) = begin_with(&config, &sessions, None).await;
        let messages: Vec<_> =
            (0..12).map(|number| format!("{number} {}", "x".repeat(60 * KIB))).collect();
        let mut run = Run::default();
        messages.iter().for_each(|text| run.push(PreparedMessage::new(&**text)));
        assert_eq!(session.sender().try_send_run(&run), Ok(Sent::Kept), "{overflow:?}");
        let token = client.token.clone();
        fall(&session, client).await;
        let mut client = resume(&sessions, &ask(&session, &token, 0)).await.unwrap();
        for expected in messages {
            assert!(client.text().await.is_some_and(|text| text == expected), "{overflow:?}");
        }
        sessions.end(&session, 1000, "");
    }
}

/// SE-03, BC-02: who waits for room in a session's connection waits as long as that connection's policy says.
#[tokio::test(start_paused = true)]
async fn a_session_waits_as_long_as_its_connection() {
    let sessions = Sessions::new(SessionConfig::default());
    let mut config = quiet();
    config.overflow = Overflow::Block { timeout: Duration::from_millis(50) };
    config.outbox_messages_max = 2;
    let (session, client) = begin_with(&config, &sessions, None).await;
    let text = "x".repeat(200 * KIB);
    let error = loop {
        if let Err(error) = session.sender().send(&*text).await {
            break error;
        }
    };
    assert_eq!(error, SendError::Timeout { timeout_ms: 50 });
    drop(client);
}

/// SE-02: a sender sees that the connection is gone before anybody says so: the session waits from when it is said, and not for
/// ever.
#[tokio::test(start_paused = true)]
async fn who_is_gone_is_waited_for_though_a_sender_saw_it_first() {
    let sessions = Sessions::new(SessionConfig::default());
    let (socket, peer) = socket(&quiet());
    let connection = socket.id();
    let session = sessions.create(&socket.sender(), None, opening).unwrap();
    drop((socket, peer));
    assert_eq!(session.sender().try_send("kept"), Ok(Sent::Kept));
    assert!(!sessions.suspend(&session, connection + 1));
    assert!(sessions.suspend(&session, connection));
    tokio::time::advance(SessionConfig::default().suspended_for).await;
    assert_eq!(sessions.sweep().len(), 1);
    assert!(sessions.is_empty());
}

/// SE-02, SE-06: sessions that begin to wait in the same moment end in the same moment, each, and whoever comes too late with its
/// token is told so.
#[tokio::test(start_paused = true)]
async fn all_that_wait_too_long_end() {
    let sessions = Sessions::new(SessionConfig::default());
    let mut all = Vec::new();
    for _ in 0..5 {
        let (socket, _peer) = socket(&quiet());
        let mut token = String::new();
        let session = sessions.create(&socket.sender(), None, |opened| {
            token = opened.token.to_owned();
            opening(opened)
        });
        all.push((session.unwrap(), socket.id(), token));
    }
    for (session, connection, _) in &all {
        assert!(sessions.suspend(session, *connection));
    }
    tokio::time::advance(SessionConfig::default().suspended_for).await;
    assert_eq!(sessions.sweep().len(), all.len());
    assert!(sessions.is_empty());
    for (session, _, token) in &all {
        let error = resume(&sessions, &ask(session, token, 0)).await.err();
        assert_eq!(error, Some(ResumeError::Expired));
        let error = resume(&sessions, &ask(session, "another", 0)).await.err();
        assert_eq!(error, Some(ResumeError::Unknown));
    }
}

/// SE-02, MT-01: what a connection takes with it is dropped, and what a session has kept is not; one that has ended takes no more.
#[tokio::test]
async fn what_is_kept_is_not_dropped() {
    for is_kept in [false, true] {
        let (socket, peer) = socket(&quiet());
        let sessions = Sessions::new(SessionConfig::default());
        let own = socket.sender();
        let session = is_kept.then(|| sessions.create(&own, None, opening).unwrap());
        let sender = session.as_ref().map_or(&own, |session| session.sender());
        // More than the way takes.
        for _ in 0..10 {
            sender.feed(&*vec![7; 100 * KIB]).unwrap();
        }
        let connection = socket.id();
        let driver = tokio::spawn(socket.run(Silent));
        tokio::task::yield_now().await;
        drop(peer);
        driver.await.unwrap();
        assert_eq!(own.dropped() > 0, !is_kept, "{} are dropped", own.dropped());
        if let Some(session) = &session {
            assert!(sessions.suspend(session, connection));
            assert!(!sender.is_closed());
            sessions.end(session, 1000, "");
            assert!(sender.is_closed() && sender.try_send("more").is_err());
        }
    }
}

struct Silent;

impl Handler for Silent {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}
