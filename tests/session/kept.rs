//! Floor 10: what a session keeps, and what it does not.

#![cfg(feature = "session")]

use std::time::Duration;

use sockeye::MessageKind;
use sockeye::session::{ResumeError, SessionConfig, Sessions};
use tokio::io::AsyncWriteExt;

use super::resume::{ask, begin, fall, left, resume};

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
