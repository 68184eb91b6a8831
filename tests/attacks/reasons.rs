//! Every way not to get into a running hub, over raw sockets: each is counted once, as what it is.

#![cfg(all(feature = "hub", feature = "auth"))]

use std::time::Duration;

use sockeye::auth::{AuthError, CredentialSources, Credentials, Identity, authenticate_fn};
use sockeye::frame::Frame;
use sockeye::handshake::Acceptance;
use sockeye::hub::limits::{Limits, Rate};
use sockeye::hub::metrics::{CloseClass, JoinRefusal, Rejection};
use sockeye::hub::{Handlers, Hub, HubBuilder, Shutdown};
use sockeye::{Acceptor, Answer};
use tokio::io::AsyncWriteExt;

use crate::support::hub::{HubSite, build, gracefully};
use crate::support::pair::quiet;
use crate::support::server::{
    lawful, parse, read_reply, request_for, request_line, request_with, within,
};

fn limited(change: fn(&mut Limits)) -> Hub {
    build(|hub: HubBuilder| {
        let mut limits = Limits::default();
        change(&mut limits);
        hub.limits(limits).config(quiet())
    })
}

/// Unwinds as a panic does, without a word on the terminal.
fn panics() -> ! {
    std::panic::resume_unwind(Box::new("as asked"))
}

/// A site that knows users and has a hook.
async fn site(limits: fn(&mut Limits)) -> HubSite {
    let auth = authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some("eve") => Err(AuthError::Refused),
        Some("later") => Err(AuthError::Unavailable { retry_after: Duration::from_secs(7) }),
        Some("slow") => std::future::pending().await,
        Some("bug") => panics(),
        Some(user) if user.starts_with("user") => Ok(Identity::new(user)),
        Some(_) => Err(AuthError::Invalid),
    });
    let hub = limited(limits);
    let acceptor = hub.acceptor().handshake_timeout(Duration::from_millis(300));
    let acceptor = acceptor.on_request(|request| async move {
        match (request.is_upgrade(), request.path()) {
            (_, "/bug") => panics(),
            (true, "/gone") => Answer::refuse(http::StatusCode::GONE, "gone"),
            (true, "/mistaken") => Answer::Upgrade(Acceptance::default().subprotocol("none")),
            (false, "/page") => Answer::respond(http::StatusCode::OK, "text/plain", "a page"),
            (false, "/missing") => Answer::refuse(http::StatusCode::NOT_FOUND, "no page"),
            _ => Answer::accept(),
        }
    });
    let acceptor = hub.guard(acceptor, auth, CredentialSources::new().allow_query());
    HubSite::on(hub, acceptor, Handlers::new()).await
}

/// One attack, and what it adds to the counters.
async fn counts(site: &HubSite, request: &[u8], status: u16, reason: Option<Rejection>) {
    let before = site.hub.metrics();
    let reply = site.request(request).await;
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    assert_eq!(reply.status, status, "{shown}");
    assert_counted(site, &before, reason, &shown);
}

#[track_caller]
fn assert_counted(
    site: &HubSite,
    before: &sockeye::hub::metrics::Snapshot,
    reason: Option<Rejection>,
    what: &str,
) {
    let since = site.hub.metrics().since(before);
    let counted: Vec<_> = since.rejected.iter().filter(|(_, count)| **count > 0).collect();
    let expected: Vec<_> = reason.iter().map(|reason| (reason, &1)).collect();
    assert_eq!(counted, expected, "{what}");
}

/// A42, MT-01, LM-01: what the head, the origin, the authenticator and the hook refuse.
#[tokio::test]
async fn a42_refusals_of_requests() {
    use Rejection::{BadRequest, Forbidden, Hook, Origin, Other, Unauthorized};
    let site = site(|_| {}).await;
    let target = |target: &str| request_for(target, &[]);
    let origin = ["Origin: https://evil.test"];
    for (request, status, reason) in [
        (b"NONSENSE\r\n\r\n".to_vec(), 400, Some(BadRequest)),
        (request_line("POST / HTTP/1.1"), 405, Some(BadRequest)),
        (request_line("GET / HTTP/1.0"), 505, Some(BadRequest)),
        (request_line(&format!("GET /{} HTTP/1.1", "x".repeat(9_000))), 414, Some(BadRequest)),
        (request_for("/", &[&format!("X: {}", "x".repeat(9_000))]), 431, Some(BadRequest)),
        (request_with("Sec-WebSocket-Key", &[]), 400, Some(BadRequest)),
        (
            request_with("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 12"]),
            426,
            Some(BadRequest),
        ),
        (request_for("/", &["Content-Length: 5"]), 400, Some(BadRequest)),
        (target("/?room=%zz&token=user"), 400, Some(BadRequest)),
        (request_for("/?token=user", &origin), 403, Some(Origin)),
        (request_for("/?token=user", &[origin[0], origin[0]]), 400, Some(BadRequest)),
        (target("/"), 401, Some(Unauthorized)),
        (target("/?token=guess"), 401, Some(Unauthorized)),
        (target("/?token=%20"), 401, Some(Unauthorized)),
        (target("/?token=eve"), 403, Some(Forbidden)),
        (target("/?token=later"), 503, Some(Other)),
        (target("/gone?token=user"), 410, Some(Hook)),
        (target("/mistaken?token=user"), 500, Some(Other)),
        (b"GET /missing HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 404, Some(Hook)),
        // A page is what was asked for; asked for as a WebSocket it is none.
        (b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 200, None),
        (b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 426, Some(BadRequest)),
        (target("/?token=user"), 101, None),
    ] {
        counts(&site, &request, status, reason).await;
    }
    site.has(0).await;
    let metrics = site.hub.metrics();
    assert_eq!((metrics.accepted, metrics.closed_total(), metrics.rejected_total()), (1, 1, 20));
    site.end(gracefully()).await;
}

/// A42: what is cut off, too slow, or lost.
#[tokio::test]
async fn a42_refusals_by_time_and_loss() {
    let site = site(|_| {}).await;
    for slow in [&b""[..], b"GET / HT", &lawful()[..100]] {
        let before = site.hub.metrics();
        let mut stream = site.raw().await;
        stream.write_all(slow).await.unwrap();
        assert_eq!(parse(&read_reply(&mut stream).await).status, 408);
        assert_counted(&site, &before, Some(Rejection::Timeout), "slow");
    }
    counts(&site, &request_for("/?token=slow", &[]), 408, Some(Rejection::Timeout)).await;
    for cut in [0, 1, 50, lawful().len() - 1] {
        let before = site.hub.metrics();
        let mut stream = site.raw().await;
        stream.write_all(&lawful()[..cut]).await.unwrap();
        drop(stream);
        within(async {
            while site.hub.metrics().rejected_total() == before.rejected_total() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_counted(&site, &before, Some(Rejection::Other), "lost");
    }
    site.end(gracefully()).await;
}

/// A42, A37 to A39: what is full, or too fast; a hub that ends.
#[tokio::test]
async fn a42_refusals_by_limits() {
    use Rejection::{AddressFull, HandshakeRate, Other, ServerFull, UserFull};
    let second = request_for("/?token=user", &[]);
    for (limits, status, reason) in [
        ((|limits| limits.connections_max = 1) as fn(&mut Limits), 503, ServerFull),
        (|limits| limits.connections_per_address_max = Some(1), 429, AddressFull),
        (|limits| limits.connections_per_user_max = Some(1), 429, UserFull),
        (
            |limits| limits.handshakes_per_address = Some(Rate::per_minute(1).burst(1)),
            429,
            HandshakeRate,
        ),
    ] {
        let site = site(limits).await;
        let first = site.peer("/?token=user").await;
        for _ in 0..3 {
            counts(&site, &second, status, Some(reason)).await;
        }
        drop(first);
        site.end(gracefully()).await;
    }
    let site = site(|_| {}).await;
    for _ in 0..10 {
        counts(&site, &request_for("/?token=guess", &[]), 401, Some(Rejection::Unauthorized)).await;
    }
    counts(&site, &second, 429, Some(HandshakeRate)).await;
    site.hub.shutdown(Shutdown::new(Duration::ZERO)).await.unwrap();
    counts(&site, &second, 503, Some(Other)).await;
    site.end(gracefully()).await;
}

/// A42, rows 13 and 48: a hook or an authenticator that panics answers 500, before or after it has waited; each is
/// counted, a guess that ends so as well, and whoever comes next is served.
#[tokio::test]
async fn a42_hooks_that_panic() {
    let site = site(|_| {}).await;
    let plain = b"GET /bug HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    for request in [request_for("/bug?token=user", &[]), plain, request_for("/?token=bug", &[])] {
        counts(&site, &request, 500, Some(Rejection::Panic)).await;
        counts(&site, &request_for("/?token=user", &[]), 101, None).await;
    }
    assert_eq!(site.hub.metrics().handler_panics, 3);
    for _ in 1..10 {
        counts(&site, &request_for("/?token=bug", &[]), 500, Some(Rejection::Panic)).await;
    }
    let eleventh = request_for("/?token=bug", &[]);
    counts(&site, &eleventh, 429, Some(Rejection::HandshakeRate)).await;
    site.has(0).await;
    assert_eq!((site.hub.metrics().accepted, site.hub.metrics().handler_panics), (3, 12));
    site.end(gracefully()).await;
}

/// A42, A40: who is let in, and not into the first room, is closed with 1008 or 1013, and counted so; so is the
/// room.
#[tokio::test]
async fn a42_first_rooms_that_refuse() {
    let auth = authenticate_fn(async |_| Ok(Identity::new("user")));
    let hub = build(|hub| {
        let hub = hub.on_join(|_, name| name != "closed");
        hub.room_members_max(1).config(quiet())
    });
    let acceptor = hub.guard(hub.acceptor(), auth, CredentialSources::new().allow_query());
    let site = HubSite::on(hub, acceptor, Handlers::new()).await;
    let mut first = site.peer("/?room=small").await;
    site.has(1).await;
    let classes = [
        ("closed", CloseClass::PolicyViolation, 1008, JoinRefusal::Hook),
        ("small", CloseClass::TryAgainLater, 1013, JoinRefusal::RoomFull),
    ];
    for (room, class, code, refusal) in classes {
        let before = site.hub.metrics();
        let mut peer = site.peer(&format!("/?room={room}")).await;
        assert_eq!(within(peer.close_code()).await, Some(code), "{room}");
        let since = site.hub.metrics().since(&before);
        assert_eq!((since.closed[&class], since.closed_total()), (1, 1), "{room}");
        assert_eq!((since.accepted, since.joins_refused[&refusal]), (1, 1), "{room}");
    }
    first.send(Frame::ping("well?")).await;
    assert_eq!(within(first.frame()).await, Some(Frame::pong("well?")));
    drop(first);
    site.end(gracefully()).await;
}

/// A42, row 3: who comes while too many handshakes are under way.
#[tokio::test]
async fn a42_half_open_handshakes() {
    let hub = limited(|_| {});
    let acceptor = Acceptor::new(quiet()).handshake_timeout(Duration::from_secs(3600));
    let site = HubSite::on(hub.clone(), hub.admit_with(acceptor), Handlers::new()).await;
    let mut silent = Vec::new();
    while silent.len() < 1024 {
        silent.push(site.raw().await);
    }
    // They are accepted in the order in which they came.
    counts(&site, &lawful(), 503, Some(Rejection::HalfOpen)).await;
    counts(&site, &lawful(), 503, Some(Rejection::HalfOpen)).await;
    drop(silent);
    site.end(gracefully()).await;
}
