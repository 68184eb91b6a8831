//! How many connections may keep a context of compression: as many as this, of each kind, in the whole process. One test, for
//! they are counted there.

mod support;

use http::Request;
use sockeye::deflate::Deflate;
use sockeye::handshake::Acceptance;
use sockeye::net::Answer;
use sockeye::protocol::MessageRef;
use sockeye::{Acceptor, Role};

use support::deflate::{agree, config, end_with, json};
use support::pair::End;

const CONTEXTS_MAX: usize = 1024;

/// As little memory as may be.
fn small() -> Deflate {
    let settings = Deflate::context_takeover().window_bits(9).unwrap();
    settings.peer_window_bits(9).unwrap().memory_level(1).unwrap()
}

/// Ends with these settings, whose peers would keep a context.
fn ends(settings: Deflate, count: usize) -> Vec<End> {
    let (_, params) = agree(&small(), &settings).unwrap();
    (0..count).map(|_| end_with(Role::Server, config(settings), &params)).collect()
}

/// How many bytes the last of equal messages takes. A context is earned by the first of them.
fn last_message(end: &mut End) -> usize {
    let text = json(1000, 1);
    let sent = (0..8).map(|_| {
        end.send(MessageRef::Text(&text));
        end.flush().len()
    });
    sent.last().unwrap()
}

/// What a client is answered that would keep a context, and whose server grants it one of these ways.
async fn answered(acceptor: &Acceptor) -> String {
    let request = Request::get("/").header("host", "a").header("upgrade", "websocket");
    let request = request.header("connection", "upgrade").header("sec-websocket-version", "13");
    let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let request = request.header("sec-websocket-extensions", "permessage-deflate");
    let upgrading = acceptor.upgrade(&request.body(()).unwrap(), None).await.unwrap();
    upgrading.response().headers()["sec-websocket-extensions"].to_str().unwrap().to_owned()
}

/// BY-01, row 32: contexts have a bound in the process, whoever chose the settings; beyond it messages are compressed each by itself.
#[tokio::test]
async fn contexts_are_counted() {
    const NO_CONTEXT: &str = "client_no_context_takeover";
    let settings = Deflate::context_takeover();
    let acceptors = [
        Acceptor::new(config(settings)),
        Acceptor::new(config(Deflate::disabled())).on_request(move |_| async move {
            Answer::Upgrade(Acceptance::default().deflate(settings))
        }),
    ];
    for _ in 0..2 {
        // Of the peers.
        let mut kept = ends(small().own_context(false), CONTEXTS_MAX - 1);
        for acceptor in &acceptors {
            assert!(!answered(acceptor).await.contains(NO_CONTEXT));
        }
        kept.extend(ends(small().own_context(false), 1));
        for acceptor in &acceptors {
            assert!(answered(acceptor).await.contains(NO_CONTEXT));
        }
        drop(kept);
        // Our own.
        let mut kept = ends(small().peer_context(false), CONTEXTS_MAX + 1);
        let lens: Vec<usize> = kept.iter_mut().map(last_message).collect();
        let (first, beyond) = (lens[0], lens[CONTEXTS_MAX]);
        assert!(first + 20 < beyond, "{first} bytes with a context, {beyond} without");
        let with_one = lens.iter().filter(|&&len| len == first).count();
        assert_eq!(with_one, CONTEXTS_MAX);
    }
}
