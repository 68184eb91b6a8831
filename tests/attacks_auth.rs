//! Attacks on the door of a running hub that asks who somebody is: raw sockets with forged tokens,
//! guessed passwords, odd names and lies about where they come from. A healthy client is served while
//! they try, the heap is counted, and so is every refusal.

#![cfg(all(feature = "hub", feature = "auth"))]

#[path = "support/heap.rs"]
mod heap;
mod support;
#[path = "support/tokens.rs"]
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::auth::{
    AuthError, Authenticator, Credentials, Identity, JwtVerifier, RoomAuth, Secret,
};
use sockeye::hub::limits::Limits;
use sockeye::hub::metrics::Rejection;

use heap::Heap;
use support::hub::{HubSite, behind_a_proxy, echo, gracefully, of_client};
use support::server::{Reply, request_for};
use tokens::{SECRET, forged, now, signed, token_of};

const KIB: usize = 1024;

fn secret() -> Secret {
    Secret::new(SECRET).unwrap()
}

/// With its token in the header, from an address of its own.
async fn with_token(site: &HubSite, number: usize, token: &str) -> Reply {
    let token = format!("Authorization: Bearer {token}");
    site.request(&request_for("/", &[&token, &of_client(number)])).await
}

/// All of these are refused with 401, and each is counted once.
async fn all_unauthorized(tokens: &[(String, String)]) {
    let mut heap = Heap::turn().await;
    let hub = behind_a_proxy(Limits::default());
    let site = HubSite::with_auth(hub, JwtVerifier::new(secret()), echo()).await;
    let mut healthy = site.healthy(&format!("/?token={}", token_of("ann"))).await;
    assert_eq!(with_token(&site, 0, &token_of("bob")).await.status, 101);
    heap.begin();
    for (number, (what, token)) in tokens.iter().enumerate() {
        let reply = with_token(&site, number + 1, token).await;
        assert_eq!(reply.status, 401, "{what}: {token}");
        assert!(reply.header("www-authenticate").is_some(), "{what}");
        assert_eq!(reply.header("connection"), Some("close"), "{what}");
        let shown = String::from_utf8_lossy(&reply.rest).into_owned();
        assert!(token.len() < 8 || !shown.contains(token), "{what}: {shown}");
    }
    healthy.check().await;
    let metrics = site.hub.metrics();
    assert_eq!(metrics.rejected[&Rejection::Unauthorized], tokens.len() as u64);
    assert_eq!(metrics.rejected_total(), tokens.len() as u64);
    heap.assert_held(64 * KIB, "tokens that were refused");
    drop(healthy);
    site.end(gracefully()).await;
}

/// A01, AU-12, row 53: forged tokens.
#[tokio::test]
async fn a01_forged_tokens() {
    let tokens = forged(now());
    assert!(tokens.len() >= 40, "{}", tokens.len());
    all_unauthorized(&tokens).await;
}

/// A02, A05, rows 54 and 57: times that are none, members twice, deep nesting, under our signature.
#[tokio::test]
async fn a02_a05_odd_claims() {
    let exp = now() + 600;
    let (deep, closed) = ("[".repeat(1_000), "]".repeat(1_000));
    // Each is a user's, and would be good without what is odd in it.
    let claims = [
        r#"{"sub":"42"}"#.to_owned(),
        format!(r#"{{"sub":"42","exp":"{exp}"}}"#),
        r#"{"sub":"42","exp":-1}"#.to_owned(),
        r#"{"sub":"42","exp":1e400}"#.to_owned(),
        r#"{"sub":"42","exp":9223372036854775808}"#.to_owned(),
        r#"{"sub":"42","exp":NaN}"#.to_owned(),
        r#"{"sub":"42","exp":null}"#.to_owned(),
        r#"{"sub":"42","exp":0}"#.to_owned(),
        format!(r#"{{"sub":"42","exp":{}}}"#, now() - 32),
        format!(r#"{{"sub":"42","exp":{exp},"nbf":"999"}}"#),
        format!(r#"{{"sub":"42","exp":{exp},"nbf":{}}}"#, now() + 60),
        format!(r#"{{"sub":"42","exp":{exp},"iat":{}}}"#, now() + 60),
        format!(r#"{{"sub":"1","sub":"2","exp":{exp}}}"#),
        format!(r#"{{"sub":"42","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"sub":"42","exp":{exp},"a":{deep}1{closed}}}"#),
        format!(r#"{{"sub":"42","exp":{exp},"a":{deep}"#),
        "[]".to_owned(),
        String::new(),
    ];
    let header = r#"{"alg":"HS256"}"#;
    let sign = |claims: &String| (claims.clone(), signed(header, claims.as_bytes(), &SECRET));
    all_unauthorized(&claims.iter().map(sign).collect::<Vec<_>>()).await;
}

/// A04, row 56: texts that a lenient decoder takes, and texts that are no token at all.
#[tokio::test]
async fn a04_odd_texts() {
    let good = token_of("42");
    let parts: Vec<&str> = good.split('.').collect();
    let mut tokens = vec![(String::new(), String::new())];
    for part in 0..3 {
        let (first, rest) = parts[part].split_at(1);
        for odd in [
            format!("{}=", parts[part]),
            format!("{first}+{rest}"),
            format!("{first}/{rest}"),
            format!("{first} {rest}"),
            format!("{first}!{rest}"),
            format!("{first}%{rest}"),
            format!("{first}%00{rest}"),
            format!("{rest}{first}"),
        ] {
            let mut parts = parts.clone();
            parts[part] = &odd;
            tokens.push((odd.clone(), parts.join(".")));
        }
    }
    // Bits behind the last byte.
    let (front, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let others = alphabet.chars().filter(|other| !last.starts_with(*other));
    tokens.extend(others.map(|other| (format!("ends in {other}"), format!("{front}{other}"))));
    all_unauthorized(&tokens).await;
}

/// A03, row 55: endless tokens are refused by the head's limits, the longest that passes them by the
/// verifier; neither costs memory.
#[tokio::test]
async fn a03_long_tokens() {
    let mut heap = Heap::turn().await;
    let hub = behind_a_proxy(Limits::default());
    let site = HubSite::with_auth(hub, JwtVerifier::new(secret()), echo()).await;
    let mut healthy = site.healthy(&format!("/?token={}", token_of("ann"))).await;
    let dots = ".".repeat(1024 * KIB);
    let in_header = |len: usize| {
        let line = format!("Authorization: Bearer {}", &dots[..len]);
        request_for("/", &[&line, &of_client(len % 1000)])
    };
    let in_query = |len: usize| request_for(&format!("/?token={}", &dots[..len]), &[&of_client(1)]);
    let in_list = |len: usize| {
        let line = format!("Sec-WebSocket-Protocol: bearer.{}", &dots[..len]);
        request_for("/", &[&line, &of_client(2)])
    };
    let attacks = [
        (431, in_header(dots.len())),
        (431, in_header(8 * KIB + 1)),
        (401, in_header(8_000)),
        (414, in_query(dots.len())),
        (401, in_query(8_000)),
        (431, in_list(dots.len())),
        (401, in_list(8_000)),
    ];
    heap.begin();
    for (status, request) in attacks {
        assert_eq!(site.request(&request).await.status, status);
        heap.assert_held(128 * KIB, "a long token");
        healthy.check().await;
    }
    drop(healthy);
    site.end(gracefully()).await;
}

/// Passwords of rooms, and a user who may not come in though the password is right.
struct Doors {
    rooms: RoomAuth,
    asked: Arc<AtomicUsize>,
}

impl Authenticator for Doors {
    async fn authenticate(&self, credentials: Credentials) -> Result<Identity, AuthError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let identity = self.rooms.authenticate(credentials).await?;
        if identity.id() == Some("eve") { Err(AuthError::Refused) } else { Ok(identity) }
    }
}

fn doors() -> (Doors, Arc<AtomicUsize>) {
    let rooms = RoomAuth::new(secret());
    rooms.passwords().set("chat", "salmon").unwrap();
    let asked = Arc::<AtomicUsize>::default();
    (Doors { rooms, asked: asked.clone() }, asked)
}

/// A06, rows 58 and 61: whether it is the room that is not known, the password or the user that is
/// wrong, the answer is the same to the byte, and so is what the server did for it: it asked once, and
/// took the same memory as often.
#[tokio::test]
async fn a06_nobody_finds_out_names() {
    let heap = Heap::turn().await;
    let (auth, asked) = doors();
    let site = HubSite::with_auth(behind_a_proxy(Limits::default()), auth, echo()).await;
    let (eve, ann) = (token_of("eve"), token_of("ann"));
    let mut healthy = site.healthy(&format!("/?token={ann}&room=chat&room_password=salmon")).await;
    // Of one length, so that what is read is as long.
    let requests = [
        ("room", "cave", "salmon", &ann),
        ("password", "chat", "marlin", &ann),
        ("user", "chat", "salmon", &eve),
    ];
    let (mut answers, mut works) = (Vec::new(), Vec::new());
    for (kind, (what, room, password, token)) in requests.into_iter().enumerate() {
        let target = format!("/?token={token}&room={room}&room_password={password}");
        let mut costs = Vec::new();
        for number in 0..20 {
            let request = request_for(&target, &[&of_client(100 * (kind + 1) + number)]);
            let (before, asked_before) = (heap.allocated(), asked.load(Ordering::SeqCst));
            let reply = site.request(&request).await;
            let after = heap.allocated();
            assert_eq!(asked.load(Ordering::SeqCst) - asked_before, 1, "{what}");
            costs.push((after.0 - before.0, after.1 - before.1));
            assert_eq!(reply.status, 403, "{what}");
            answers.push((reply.head, reply.rest));
        }
        healthy.check().await;
        // Now and then a table grows.
        costs.sort_unstable();
        works.push((costs[costs.len() / 2], what));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(works.iter().all(|(work, _)| *work == works[0].0), "{works:?}");
    drop(healthy);
    site.end(gracefully()).await;
}
