//! What a session costs that waits for its client.

#![cfg(feature = "session")]

#[path = "support/heap.rs"]
mod heap;

use std::sync::Arc;

use sockeye::session::{Opening, Session, SessionConfig, Sessions};
use sockeye::{Config, Message, Role, WebSocket};
use tokio::io::duplex;

use heap::Heap;

const SESSIONS: usize = 1000;

/// Payload bytes of each event that is kept.
const EVENT_BYTES: usize = 64;

/// What is seen, and little more: a session with nothing kept, and each event that is.
const SESSION_BYTES_MAX: usize = 570;
const KEPT_BYTES_MAX: usize = 106;

/// The table for a thousand is 80 KiB; a hundred fit into what is kept.
const MOVED_BYTES_MAX: usize = 16 * 1024;
const ONE_BYTES_MAX: usize = 16 * 1024;

fn opening(opening: &Opening<'_>) -> Message {
    Message::text(opening.token.to_owned())
}

/// A session whose connection is gone, with so many events that its client has not received.
fn suspended(sessions: &Sessions, config: &Arc<Config>, kept: usize) -> Session {
    let (ours, _) = duplex(1024);
    let socket = WebSocket::from_stream(ours, Role::Server, config);
    let session = sessions.create(&socket.sender(), Some("ann"), opening).unwrap();
    assert!(sessions.suspend(&session, socket.id()));
    for _ in 0..kept {
        session.sender().try_send(vec![7; EVENT_BYTES]).unwrap();
    }
    session
}

/// BY-30, SE-02: a session without a connection holds neither the connection's memory nor a task.
#[tokio::test]
async fn by_30_a_suspended_session_is_small() {
    let mut heap = Heap::turn().await;
    let config = Arc::new(Config::default());
    let [empty, full] = [0, 16].map(|kept| {
        median_of_three(|| {
            let sessions = Sessions::new(SessionConfig::default());
            heap.begin();
            let all: Vec<Session> =
                (0..SESSIONS).map(|_| suspended(&sessions, &config, kept)).collect();
            assert_eq!((sessions.suspended(), all.len()), (SESSIONS, SESSIONS));
            let held = heap.held() / SESSIONS;
            println!("a suspended session with {kept} events: {held} bytes of heap");
            held
        })
    });
    assert!(empty <= SESSION_BYTES_MAX, "{empty} bytes a session");
    let kept = (full - empty) / 16;
    assert!(kept <= EVENT_BYTES + KEPT_BYTES_MAX, "{kept} bytes an event that is kept");
}

/// BY-30: what a crowd of sessions took is given back when they have ended, and not with each one that does.
#[tokio::test]
async fn by_30_a_crowd_that_has_gone_leaves_nothing() {
    let mut heap = Heap::turn().await;
    let config = Arc::new(Config::default());
    let mut moved = Vec::new();
    let left = median_of_three(|| {
        let sessions = Sessions::new(SessionConfig::default());
        heap.begin();
        let mut all: Vec<Session> =
            (0..SESSIONS).map(|_| suspended(&sessions, &config, 0)).collect();
        let end = |session: Session| sessions.end(&session, 1000, "");
        let whole = heap.allocated().1;
        all.drain(..SESSIONS / 2).for_each(end);
        moved.push(heap.allocated().1 - whole);
        all.drain(1..).for_each(end);
        all.shrink_to_fit();
        assert_eq!(sessions.len(), 1);
        println!("one of a thousand sessions: {} bytes of heap", heap.held());
        heap.held()
    });
    assert!(left <= ONE_BYTES_MAX, "one of a thousand sessions: {left} bytes");
    let moved = median(moved);
    assert!(moved <= MOVED_BYTES_MAX, "{moved} bytes are allocated to end half of them");
}

/// Of the rounds of a test one may see what the harness does for the other: it makes that one's runtime, of 21 KB, or drops it.
fn median_of_three(round: impl FnMut() -> usize) -> usize {
    median(std::iter::repeat_with(round).take(3).collect())
}

fn median(mut seen: Vec<usize>) -> usize {
    seen.sort_unstable();
    seen[seen.len() / 2]
}
