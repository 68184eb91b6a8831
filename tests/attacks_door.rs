//! Attacks on who somebody is and where they come from, at the door of a running hub: secrets that
//! might be shown, guesses, tokens that end, spoofed addresses, odd names, and every reason for a
//! refusal, counted once.

#![cfg(all(feature = "hub", feature = "auth"))]

#[path = "support/heap.rs"]
mod heap;
mod support;
#[path = "support/tokens.rs"]
mod tokens;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sockeye::Answer;
use sockeye::auth::{
    AuthError, CredentialSources, Credentials, Identity, JwtVerifier, RoomAuth, Secret,
    authenticate_fn,
};
use sockeye::frame::Frame;
use sockeye::handshake::{ProxyHeader, TrustedProxies};
use sockeye::hub::limits::Limits;
use sockeye::hub::metrics::Rejection;

use tokio::io::AsyncWriteExt;

use heap::Heap;
use support::hub::{HubSite, behind_a_proxy, build, echo, gracefully, of_client};
use support::pair::quiet;
use support::server::{lawful, parse, read_reply, request_for, within};
use tokens::{SECRET, now, token, token_of};

const KIB: usize = 1024;

fn secret() -> Secret {
    Secret::new(SECRET).unwrap()
}

/// `right` is somebody, `banned` may not, and everything else is a guess.
fn clerk() -> impl sockeye::auth::Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some("right") => Ok(Identity::new("somebody")),
        Some("banned") => Err(AuthError::Refused),
        Some(_) => Err(AuthError::Invalid),
    })
}

/// A07, row 60: a secret in the query, a header, a subprotocol or a password is in no answer, number,
/// or `Debug` of anything the application gets hold of, whether it was good or not.
#[tokio::test]
async fn a07_secrets_are_shown_nowhere() {
    let _heap = Heap::turn().await;
    const MARKER: &str = "marker77";
    let shown = Arc::new(Mutex::new(Vec::<String>::new()));
    let show = |text: String| shown.lock().unwrap().push(text);
    let rooms = RoomAuth::new(Secret::new("marker77-secret-of-more-than-32-bytes").unwrap());
    rooms.passwords().set("chat", MARKER).unwrap();
    show(format!("{rooms:?}"));
    let hub = build(|hub| hub.config(quiet()));
    let on_request = {
        let shown = shown.clone();
        move |request: sockeye::Request| {
            shown.lock().unwrap().push(format!("{request:?}"));
            async move { Answer::accept() }
        }
    };
    let acceptor = hub.acceptor().on_request(on_request);
    let acceptor = hub.guard(acceptor, rooms, CredentialSources::new().allow_query());
    show(format!("{acceptor:?}"));
    let open = {
        let shown = shown.clone();
        move |connection: &mut sockeye::hub::PeerConnection<'_, '_>| {
            let peer = connection.peer();
            let text = format!("{peer:?} {:?} {connection:?}", peer.identity());
            shown.lock().unwrap().push(text);
        }
    };
    let handlers = echo().on_open(open);
    show(format!("{handlers:?}"));
    let site = HubSite::on(hub, acceptor, handlers).await;
    let password = format!(
        "Sec-WebSocket-Protocol: chat, room-password.{}",
        tokens::encode(MARKER.as_bytes())
    );
    let bearer = format!("Authorization: Bearer {MARKER}.{MARKER}.{MARKER}");
    let entry = format!("Sec-WebSocket-Protocol: chat, bearer.{MARKER}");
    for (status, target, line) in [
        (101, format!("/?room=chat&room_password={MARKER}"), "X: y"),
        (101, "/?room=chat".to_owned(), &*password),
        (403, format!("/?room=chat&room_password=not{MARKER}"), "X: y"),
        (403, format!("/?room={MARKER}&room_password={MARKER}"), "X: y"),
        (401, format!("/?room=chat&token={MARKER}"), "X: y"),
        (401, "/?room=chat".to_owned(), &*bearer),
        (401, "/?room=chat".to_owned(), &*entry),
        (400, format!("/?room=chat&token={MARKER}&token=%zz"), "X: y"),
        (400, format!("/?room={MARKER}%00"), "X: y"),
    ] {
        let reply = site.request(&request_for(&target, &[line])).await;
        assert_eq!(reply.status, status, "{target} {line}");
        show(format!("{} {}", reply.head, String::from_utf8_lossy(&reply.rest)));
    }
    show(format!("{:?} {:?} {}", site.hub, site.hub.metrics(), site.hub.prometheus()));
    show(format!("{:?} {:?}", site.hub.peers(), site.hub.config()));
    let report = site.end(gracefully()).await;
    show(format!("{report:?}"));
    let shown = shown.lock().unwrap();
    assert!(shown.len() >= 16);
    let encoded = tokens::encode(MARKER.as_bytes());
    let is_secret = |text: &&String| text.contains(MARKER) || text.contains(&encoded);
    assert_eq!(shown.iter().find(is_secret), None);
}

/// A08, AU-04, row 61: after ten failures within a minute the address gets 429, whatever it presents,
/// and no other address does; what is no guess does not count.
#[tokio::test]
async fn a08_guessing() {
    let mut heap = Heap::turn().await;
    let site = HubSite::with_auth(behind_a_proxy(Limits::default()), clerk(), echo()).await;
    let mut healthy = site.healthy("/?token=right").await;
    heap.begin();
    let (guesser, other) = (of_client(1), of_client(2));
    for _ in 0..20 {
        assert_eq!(site.raw_status("/", &[&guesser]).await, 401, "nothing was presented");
        assert_eq!(site.raw_status("/?token=right", &[&guesser]).await, 101);
    }
    for guess in 0..10 {
        let target = format!("/?token=guess{guess}");
        assert_eq!(site.raw_status(&target, &[&guesser]).await, 401, "{guess}");
    }
    for token in ["guess", "right", "banned"] {
        let reply = site.request(&request_for(&format!("/?token={token}"), &[&guesser])).await;
        assert_eq!(reply.status, 429);
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    assert_eq!(site.raw_status("/?token=right", &[&other]).await, 101);
    assert_eq!(site.raw_status("/?token=guess", &[&other]).await, 401);
    // Guesses from thousands of addresses grow nothing, and free nobody.
    for number in 100..2_000 {
        let address = format!("X-Forwarded-For: 10.2.{}.{}", number / 250, number % 250);
        assert_eq!(site.raw_status("/?token=guess", &[&address]).await, 401);
    }
    assert_eq!(site.raw_status("/?token=right", &[&guesser]).await, 429);
    healthy.check().await;
    heap.assert_held(1024 * KIB, "two thousand addresses that guessed");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A08: an authenticator that does not answer within the handshake's deadline has told nothing, so it
/// is no failure of the client: 408 each time, and then the right token is taken.
#[tokio::test]
async fn a08_a_slow_authenticator_is_no_guess() {
    let _heap = Heap::turn().await;
    let slow = authenticate_fn(async |credentials: Credentials| {
        if credentials.token() == Some("slow") {
            std::future::pending::<()>().await;
        }
        Ok(Identity::new("somebody"))
    });
    let hub = build(|hub| hub.config(quiet()));
    let acceptor = hub.acceptor().handshake_timeout(Duration::from_millis(20));
    let acceptor = hub.guard(acceptor, slow, CredentialSources::new().allow_query());
    let site = HubSite::on(hub, acceptor, echo()).await;
    for _ in 0..12 {
        assert_eq!(site.raw_status("/?token=slow", &[]).await, 408);
    }
    assert_eq!(site.raw_status("/?token=right", &[]).await, 101);
    let rejected = site.hub.metrics().rejected;
    assert_eq!((rejected[&Rejection::Timeout], rejected[&Rejection::HandshakeRate]), (12, 0));
    site.end(gracefully()).await;
}

/// A09, BY-24, row 62: a token that ends in mid-connection closes it with 4401, whatever is on its way;
/// others go on.
#[tokio::test]
async fn a09_a_token_ends() {
    let _heap = Heap::turn().await;
    let hub = build(|hub| hub.config(quiet()));
    let site = HubSite::with_auth(hub, JwtVerifier::new(secret()), echo()).await;
    let mut healthy = site.healthy(&format!("/?token={}", token_of("ann"))).await;
    // Over already, within the leeway: it is let in, and told soon.
    let late = token(&json!({ "sub": "bob", "exp": now() - 29 }));
    let mut peer = site.peer(&format!("/?token={late}")).await;
    peer.send(Frame::text("hello")).await;
    assert_eq!(within(peer.data()).await, Some(Frame::text("hello")));
    // A message that it never ends does not put the end off.
    peer.write(&[0x01, 0x81, 0, 0, 0, 0, b'x']).await;
    assert_eq!(within(peer.close_code()).await, Some(4401));
    healthy.check().await;
    drop(peer);
    site.has(1).await;
    assert_eq!(site.hub.user("bob").len(), 0);
    drop(healthy);
    site.end(gracefully()).await;
}

/// A10, row 63: who is no trusted proxy is who it is, whatever it writes: 300 spoofed addresses are one,
/// for the places of an address and for guesses alike.
#[tokio::test]
async fn a10_spoofed_addresses() {
    let mut heap = Heap::turn().await;
    let mut limits = Limits::default();
    limits.connections_per_address_max = Some(3);
    let hub = build(|hub| hub.limits(limits).config(quiet()));
    let site = HubSite::with_auth(hub, clerk(), echo()).await;
    let mut healthy = site.healthy("/?token=right").await;
    let peers = [site.peer("/?token=right").await, site.peer("/?token=right").await];
    heap.begin();
    for number in 0..300 {
        let spoofed = format!("10.9.{}.{}", number / 250, number % 250);
        let lines = [
            format!("X-Forwarded-For: {spoofed}"),
            format!("X-Forwarded-For: {spoofed}, 127.0.0.1"),
            format!("Forwarded: for={spoofed}"),
            format!("X-Real-IP: {spoofed}"),
        ];
        let line = lines[number % 4].as_str();
        assert_eq!(site.raw_status("/?token=right", &[line]).await, 429, "{line}");
    }
    assert_eq!(site.hub.metrics().rejected[&Rejection::AddressFull], 300);
    drop(peers);
    site.has(1).await;
    for number in 0..300 {
        let line = of_client(number);
        let expected = if number < 10 { 401 } else { 429 };
        assert_eq!(site.raw_status("/?token=guess", &[&line]).await, expected, "{line}");
    }
    healthy.check().await;
    heap.assert_held(64 * KIB, "spoofed addresses");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A11, A13, row 63: behind a trusted proxy the chain is read from the right to the first who is not
/// trusted, what is malformed ends it at the proxy, and a /64 of IPv6 is one client.
#[tokio::test]
async fn a11_a13_chains_of_proxies() {
    let _heap = Heap::turn().await;
    let mut limits = Limits::default();
    limits.connections_per_address_max = Some(1);
    let site = HubSite::start(behind_a_proxy(limits), echo()).await;
    let healthy = site.peer("/").await;
    // The first of each holds the only place of its client; the others claim to be somebody else.
    for chains in [
        &["203.0.113.1", "10.0.0.1, 203.0.113.1", "10.0.0.2,,203.0.113.1, 127.0.0.9"][..],
        &["203.0.113.2:1234", "x, 203.0.113.2", "127.0.0.1, 203.0.113.2:99", "203.0.113.2"],
        &["2001:db8::1", "2001:db8::ffff:0:0:2", "10.0.0.3, [2001:db8::77]:443"],
        &["::ffff:203.0.113.3", "203.0.113.3"],
        &["203.0.113.4"],
    ] {
        let line = format!("X-Forwarded-For: {}", chains[0]);
        let holder = site.request(&request_for("/", &[&line])).await;
        assert_eq!(holder.status, 101, "{line}");
        for chain in &chains[1..] {
            let line = format!("X-Forwarded-For: {chain}");
            assert_eq!(site.raw_status("/", &[&line]).await, 429, "{line}");
        }
        // Then it is the proxy, whose place the healthy client has.
        for malformed in ["unknown", "203.0.113.300", "_hidden", "203.0.113.9 203.0.113.8"] {
            let line = format!("X-Forwarded-For: 203.0.113.77, {malformed}");
            assert_eq!(site.raw_status("/", &[&line]).await, 429, "{line}");
        }
        drop(holder);
        site.has(1).await;
    }
    let other = site.raw_status("/", &["X-Forwarded-For: 2001:db8:0:1::1"]).await;
    assert_eq!(other, 101, "another /64 is another client");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A39, LM-03: a user with as many connections as it may have gets 429, another does not, and a place
/// that is freed is taken at once.
#[tokio::test]
async fn a39_a_full_user() {
    let mut heap = Heap::turn().await;
    let mut limits = Limits::default();
    limits.connections_per_user_max = Some(2);
    let site = HubSite::with_auth(behind_a_proxy(limits), JwtVerifier::new(secret()), echo()).await;
    let mut healthy = site.healthy(&format!("/?token={}", token_of("bob"))).await;
    let target = format!("/?token={}", token_of("ann"));
    let mut peers = vec![site.peer(&target).await, site.peer(&target).await];
    heap.begin();
    for number in 0..50 {
        // From anywhere, with any of its tokens.
        let again = token(&json!({ "sub": "ann", "exp": now() + 600 + number as u64 }));
        let status = site.raw_status(&format!("/?token={again}"), &[&of_client(number)]).await;
        assert_eq!(status, 429);
    }
    for _ in 0..20 {
        drop(peers.remove(0));
        site.has(2).await;
        peers.push(site.peer(&target).await);
        assert_eq!(site.raw_status(&target, &[]).await, 429);
    }
    assert_eq!(site.hub.metrics().rejected[&Rejection::UserFull], 70);
    healthy.check().await;
    heap.assert_held(64 * KIB, "a full user");
    drop((healthy, peers));
    site.end(gracefully()).await;
}

/// A43, HS-10, row 64: names of rooms that are none are 400, before the authenticator is asked.
#[tokio::test]
async fn a43_odd_rooms_in_the_query() {
    let mut heap = Heap::turn().await;
    let auth = authenticate_fn(async |credentials: Credentials| {
        assert!(credentials.room().is_none_or(|room| !room.contains(char::is_control)));
        Ok(Identity::guest())
    });
    let site = HubSite::with_auth(behind_a_proxy(Limits::default()), auth, echo()).await;
    let mut healthy = site.healthy("/").await;
    let long = ["r".repeat(129), "%72".repeat(129), format!("a{}", "%C3%A9".repeat(64))];
    let names = ["", "a%00", "a%0d%0ab", "%1b[31m", "%7f", "%c2%85", "%E2%80%A8", "%20a", "a+"];
    let escapes = ["%", "%4", "%zz", "%u0041", "%ff", "%ed%a0%80", "a&room=b", "a&ro%6fm=b"];
    heap.begin();
    let mut count = 0;
    for name in names.into_iter().chain(escapes).chain(long.iter().map(String::as_str)) {
        let status = site.raw_status(&format!("/?room={name}"), &[&of_client(count)]).await;
        assert_eq!(status, 400, "{name}");
        count += 1;
    }
    assert_eq!(site.hub.metrics().rejected[&Rejection::BadRequest], count as u64);
    assert_eq!(site.hub.rooms(), [], "none of them was made");
    for name in ["r".repeat(128), "%00".replace('%', "%25"), "chat%3Ageneral+%C3%A9".into()] {
        assert_eq!(site.raw_status(&format!("/?room={name}"), &[&of_client(500)]).await, 101);
    }
    healthy.check().await;
    heap.assert_held(64 * KIB, "odd rooms");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A header of the PROXY protocol for this client.
fn proxied(client: &str, encode: fn(&ProxyHeader, &mut Vec<u8>)) -> Vec<u8> {
    let (source, destination) = (client.parse().unwrap(), "192.0.2.1:443".parse().unwrap());
    let mut bytes = Vec::new();
    encode(&ProxyHeader::Proxied { source, destination }, &mut bytes);
    bytes
}

/// Everything that comes back for these bytes, written in pieces of this length.
async fn throw(site: &HubSite, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut stream = site.raw().await;
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(piece) {
        // It may be closed before it has all.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    read_reply(&mut stream).await
}

async fn proxy_site(trusted: &str) -> HubSite {
    let mut limits = Limits::default();
    limits.connections_per_address_max = Some(1);
    let hub = build(|hub| hub.limits(limits).config(quiet()));
    let acceptor = hub.acceptor().handshake_timeout(Duration::from_millis(300));
    let acceptor = acceptor.proxy_protocol(TrustedProxies::parse([trusted]).unwrap());
    HubSite::on(hub, acceptor, echo()).await
}

/// A12, row 63: a PROXY header is required of whoever is trusted, and its client counts; without one,
/// with a broken or an endless one, the connection is closed without a word.
#[tokio::test]
async fn a12_proxy_headers_of_the_trusted() {
    let mut heap = Heap::turn().await;
    let site = proxy_site("127.0.0.0/8").await;
    let with = |header: Vec<u8>| [header, lawful()].concat();
    let v1 = |client| with(proxied(client, ProxyHeader::encode_v1));
    let v2 = |client| with(proxied(client, ProxyHeader::encode_v2));
    // What the thread has once is there.
    assert_eq!(parse(&throw(&site, &v1("203.0.113.9:1"), 1000).await).status, 101);
    site.has(0).await;
    heap.begin();
    for piece in [1, 7, 1000] {
        let mut holder = site.raw().await;
        for piece in v2("203.0.113.1:1234").chunks(piece) {
            holder.write_all(piece).await.unwrap();
        }
        assert!(read_reply(&mut holder).await.starts_with(b"HTTP/1.1 101 "), "{piece}");
        for same in [v1("203.0.113.1:99"), v2("203.0.113.1:1")] {
            assert_eq!(parse(&throw(&site, &same, piece).await).status, 429, "{piece}");
        }
        assert_eq!(parse(&throw(&site, &v1("203.0.113.2:1"), piece).await).status, 101);
        drop(holder);
        site.has(0).await;
    }
    let long = [b"PROXY TCP4 ", "1".repeat(600).as_bytes()].concat();
    let tlvs = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 70_000]].concat();
    let before = site.hub.metrics();
    for attack in [
        lawful(),
        with(b"PROXY TCP4 203.0.113.1\r\n".to_vec()),
        with(b"proxy TCP4 203.0.113.1 192.0.2.1 1 2\r\n".to_vec()),
        with(b"PROXY TCP4 203.0.113.1 192.0.2.1 1 2\n".to_vec()),
        with(b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c".to_vec()),
        long,
        tlvs,
    ] {
        let shown = String::from_utf8_lossy(&attack[..attack.len().min(60)]).into_owned();
        assert_eq!(throw(&site, &attack, 1000).await, b"", "{shown:?}");
    }
    let since = site.hub.metrics().since(&before);
    assert_eq!((since.rejected[&Rejection::BadRequest], since.rejected_total()), (7, 7));
    heap.assert_held(128 * KIB, "PROXY headers");
    site.end(gracefully()).await;
}

/// A12, row 63: who is not trusted gets no further with a PROXY header than with any other bytes.
#[tokio::test]
async fn a12_proxy_headers_of_others() {
    let _heap = Heap::turn().await;
    let site = proxy_site("10.0.0.0/8").await;
    let healthy = site.healthy("/").await;
    for encode in [ProxyHeader::encode_v1, ProxyHeader::encode_v2] {
        let attack = [proxied("203.0.113.1:1234", encode), lawful()].concat();
        assert_eq!(parse(&throw(&site, &attack, 1000).await).status, 400);
    }
    assert_eq!(parse(&throw(&site, &lawful(), 1000).await).status, 429, "it is itself");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A12, A13, row 3: one client behind a proxy has 32 handshakes under way at most, a /64 of IPv6 counts
/// as one, and the proxy's other clients are not held up by it.
#[tokio::test]
async fn a12_half_open_handshakes_behind_a_proxy() {
    let _heap = Heap::turn().await;
    let hub = build(|hub| hub.config(quiet()));
    let acceptor = hub.acceptor().handshake_timeout(Duration::from_secs(3600));
    let acceptor = acceptor.proxy_protocol(TrustedProxies::parse(["127.0.0.0/8"]).unwrap());
    let site = HubSite::on(hub, acceptor, echo()).await;
    let mut silent = Vec::new();
    for number in 0..32 {
        let client = format!("[2001:db8::{number:x}:1]:80");
        let mut stream = site.raw().await;
        stream.write_all(&proxied(&client, ProxyHeader::encode_v2)).await.unwrap();
        silent.push(stream);
    }
    let from = |client| [proxied(client, ProxyHeader::encode_v1), lawful()].concat();
    let (same, other) = (from("[2001:db8::ffff]:80"), from("[2001:db8:0:1::1]:80"));
    for _ in 0..3 {
        assert_eq!(parse(&throw(&site, &same, 1000).await).status, 503);
        assert_eq!(parse(&throw(&site, &other, 1000).await).status, 101);
    }
    assert_eq!(site.hub.metrics().rejected[&Rejection::HalfOpen], 3);
    // Each that ends makes room for one.
    drop(silent.pop());
    within(async { while parse(&throw(&site, &same, 1000).await).status != 101 {} }).await;
    drop(silent);
    site.end(gracefully()).await;
}
