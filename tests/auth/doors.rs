//! What is tried at the door of floor 7: finding out names, finding secrets in what is printed,
//! guessing, and odd texts in the request.

#![cfg(feature = "auth")]

use std::time::{Duration, Instant};

use crate::tokens::{NOW, SECRET, at, encode, now_or_never, signed};
use http::Request;
use serde_json::json;
use sockeye::auth::{
    AuthError, Authenticator, CredentialSources, Credentials, CredentialsError, GuessLimiter,
    Identity, JwtError, JwtSigner, JwtVerifier, QueryError, RoomAuth, RoomNameError, RoomPasswords,
    Secret, SharedAuthenticator, authenticate_fn,
};

fn with_claims(claims: &str) -> String {
    signed(r#"{"alg":"HS256"}"#, claims.as_bytes(), &SECRET)
}

/// A06, row 61: nobody finds out which rooms there are: the same bytes for every reason. That the work
/// is the same follows from the code: one look-up, one HMAC, one comparison, no branch before them.
#[test]
fn a06_one_answer_for_every_refusal() {
    let auth = RoomAuth::new(Secret::new(SECRET).unwrap());
    auth.passwords().set("chat", "right").unwrap();
    let stranger = authenticate_fn(async |_| Err(AuthError::Refused));
    let (auth, stranger) = (SharedAuthenticator::new(auth), SharedAuthenticator::new(stranger));
    let long = "p".repeat(5_000);
    let mut answers = Vec::new();
    for (authenticator, room, password) in [
        (&auth, Some("chat"), Some("wrong")),
        (&auth, Some("chat"), None),
        (&auth, Some("chat"), Some("")),
        (&auth, Some("chat"), Some(long.as_str())),
        (&auth, Some("attic"), Some("right")),
        (&auth, Some("attic"), None),
        (&auth, None, Some("right")),
        (&auth, None, None),
        (&auth, Some(""), Some("right")),
        (&stranger, Some("chat"), Some("right")),
    ] {
        let mut who = Credentials::new(at(NOW));
        who = room.into_iter().fold(who, Credentials::with_room);
        who = password.into_iter().fold(who, Credentials::with_room_password);
        let error = now_or_never(authenticator.authenticate(who)).unwrap_err();
        answers.push(format!("{:?}", error.to_response()));
    }
    assert!(answers[0].contains("403"), "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}

/// A07, row 60: nothing that is printed holds a secret, a password or a token.
#[test]
fn a07_nothing_shows_secrets() {
    const MARKER: &str = "marker-secret-of-more-than-32-bytes";
    let secret = Secret::new(MARKER).unwrap();
    let rooms = RoomPasswords::new(secret.clone());
    rooms.set("marker-room", MARKER).unwrap();
    let auth = RoomAuth::new(secret.clone());
    auth.passwords().set("marker-room", MARKER).unwrap();
    let signer = JwtSigner::named("marker-key", secret.clone());
    let verifier = JwtVerifier::named("marker-key", secret.clone());
    let claims = json!({ "sub": "42", "name": MARKER, "marker": MARKER, "exp": NOW + 60 });
    let token = signer.sign(&claims).unwrap();
    let claims = verifier.verify(&token, at(NOW)).unwrap();
    let identity = Identity::from_claims(claims.clone()).unwrap().with_role(MARKER);

    let request =
        Request::get(format!("/{MARKER}?token={MARKER}&room=marker&room_password={MARKER}"))
            .header("Authorization", format!("Bearer {MARKER}"))
            .header("Cookie", MARKER)
            .body(())
            .unwrap();
    let sources = CredentialSources::new().allow_query();
    let credentials = sources.read(&request, at(NOW)).unwrap();
    let closure = authenticate_fn(async |_| Ok(Identity::guest()));
    let mut shown = vec![
        format!("{secret:?} {rooms:?} {auth:?} {signer:?} {verifier:?} {claims:?} {identity:?}"),
        format!("{sources:?} {credentials:?} {closure:?} {:?}", SharedAuthenticator::new(auth)),
        format!("{secret:#?} {rooms:#?} {credentials:#?} {claims:#?} {identity:#?}"),
    ];
    shown.extend(shown_errors(MARKER));
    for text in &shown {
        assert!(!text.to_lowercase().contains("marker"), "{text}");
        assert!(!text.contains(&token) && !text.contains(&encode(MARKER.as_bytes())), "{text}");
    }
    assert!(format!("{identity:?}").contains("42"), "the id is shown");
}

/// What errors print whose causes all hold the marker.
fn shown_errors(marker: &str) -> Vec<String> {
    let verifier = JwtVerifier::new(Secret::new(SECRET).unwrap());
    let mut errors: Vec<AuthError> = Vec::new();
    for token in [
        marker.to_owned(),
        format!("{marker}.{marker}.{marker}"),
        signed(&format!(r#"{{"alg":"{marker}"}}"#), b"{}", &SECRET),
        signed(&format!(r#"{{"alg":"HS256","kid":"{marker}"}}"#), b"{}", &SECRET),
        with_claims(&format!(r#"{{"exp":"{marker}"}}"#)),
        with_claims(&format!(r#"{{"exp":1900000000,"iss":["{marker}"]}}"#)),
        with_claims(marker),
    ] {
        errors.push(verifier.verify(&token, at(NOW)).unwrap_err().into());
    }
    for query in [
        format!("room={marker}%zz"),
        format!("room={marker}%00"),
        format!("room={}", marker.repeat(10)),
        format!("room=a&token={marker}%20b"),
        format!("room=a&token={marker}&token={marker}"),
    ] {
        let request = Request::get(format!("/?{query}")).body(()).unwrap();
        let sources = CredentialSources::new().allow_query();
        errors.push(sources.read(&request, at(NOW)).unwrap_err().into());
    }
    let claims = with_claims(&format!(r#"{{"exp":1900000000,"a":1,"{marker}":2}}"#));
    let claims = verifier.verify(&claims, at(NOW)).unwrap();
    let wrong_type = claims.claim::<String>("a").unwrap_err();
    let texts = errors.iter().map(|error| {
        let response = error.to_response();
        format!("{error} {error:?} {:?} {:?}", response.headers(), response.body())
    });
    texts.chain([format!("{wrong_type} {wrong_type:?}")]).collect()
}

/// A08, row 61: the eleventh failed attempt within a minute is refused, from that address alone.
#[test]
fn a08_guessing() {
    let (limiter, begun) = (GuessLimiter::new(), Instant::now());
    let (peer, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let after = |seconds: u64| begun + Duration::from_secs(seconds);
    for attempt in 0..10 {
        limiter.begin(peer, after(attempt)).unwrap().end(Some(&AuthError::Refused));
    }
    let error = limiter.begin(peer, after(59)).unwrap_err();
    assert_eq!(error, AuthError::RateLimited { retry_after: Duration::from_secs(1) });
    assert_eq!(error.status().as_u16(), 429);
    limiter.begin(other, after(59)).unwrap().end(Some(&AuthError::Refused));
    // The first is a minute old, so one more may be tried, and that is one more failure.
    limiter.begin(peer, after(60)).unwrap().end(Some(&AuthError::Jwt(JwtError::Signature)));
    assert!(limiter.begin(peer, after(60)).is_err());
    for attempt in 0..10 {
        limiter.begin(peer, after(200 + attempt)).unwrap().end(Some(&AuthError::Invalid));
    }
    assert!(limiter.begin(peer, after(209)).is_err());
}

/// A08: attempts at once count before they fail, and those that are given up count as well.
#[test]
fn a08_guessing_at_once() {
    let (limiter, now) = (GuessLimiter::new(), Instant::now());
    let peer = "2001:db8::1".parse().unwrap();
    let mut under_way: Vec<_> = (0..10).map(|_| limiter.begin(peer, now).unwrap()).collect();
    let neighbour = "2001:db8::2".parse().unwrap();
    assert!(limiter.begin(neighbour, now).is_err(), "the same /64");
    assert!(limiter.begin("2001:db8:0:1::1".parse().unwrap(), now).is_ok());
    under_way.pop().unwrap().end(None);
    drop(limiter.begin(peer, now).unwrap());
    drop(under_way);
    assert!(limiter.begin(peer, now).is_err());
}

/// A08: who guesses from many addresses neither grows the table nor frees an address that is refused.
#[test]
fn a08_guessing_from_many_addresses() {
    let (limiter, now) = (GuessLimiter::new(), Instant::now());
    let peer = "192.0.2.1".parse().unwrap();
    for _ in 0..10 {
        drop(limiter.begin(peer, now).unwrap());
    }
    for number in 0..50_000u32 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        drop(limiter.begin(address.into(), now).unwrap());
    }
    assert!(limiter.begin(peer, now).is_err());
}

/// AU-08: where credentials come from is known where the server said it.
#[test]
fn credentials_know_their_address() {
    let request = Request::get("/ws").body(()).unwrap();
    let credentials = CredentialSources::new().read(&request, at(NOW)).unwrap();
    assert_eq!(credentials.peer_ip(), None);
    let address = "192.0.2.1".parse().unwrap();
    assert_eq!(credentials.with_peer_ip(address).peer_ip(), Some(address));
}

/// A08: of a hundred that guess at the same time nearly each is found out, for they do not share one place.
#[test]
fn a08_many_are_refused_at_once() {
    let (limiter, now) = (GuessLimiter::new(), Instant::now());
    let guessers: Vec<_> =
        (0..100).map(|n| std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()).collect();
    for _ in 0..10 {
        for address in &guessers {
            drop(limiter.begin(*address, now));
        }
    }
    let refused = guessers.iter().filter(|address| limiter.begin(**address, now).is_err()).count();
    assert!(refused > 90, "{refused}");
}

/// A43, HS-10: names of rooms in the query.
#[test]
fn a43_rooms_in_the_query() {
    let room = |room: &str| {
        let request = Request::get(format!("/ws?a=b&room={room}")).body(()).unwrap();
        let read = CredentialSources::new().read(&request, at(NOW));
        read.map(|credentials| credentials.room().map(str::to_owned))
    };
    assert_eq!(room(&"r".repeat(128)), Ok(Some("r".repeat(128))));
    assert_eq!(room("chat%3Ageneral+%C3%A9"), Ok(Some("chat:general é".to_owned())));
    let too_long = RoomNameError::TooLong { bytes: 129, limit_bytes: 128 };
    for (name, error) in [
        ("r".repeat(129), too_long.into()),
        ("%72".repeat(129), too_long.into()),
        (String::new(), RoomNameError::Empty.into()),
        ("a%00".into(), RoomNameError::Control.into()),
        ("a%0d%0ab".into(), RoomNameError::Control.into()),
        ("%1b[31m".into(), RoomNameError::Control.into()),
        ("%7f".into(), RoomNameError::Control.into()),
        ("%c2%85".into(), RoomNameError::Control.into()),
        ("%".into(), QueryError::Malformed.into()),
        ("%4".into(), QueryError::Malformed.into()),
        ("%zz".into(), QueryError::Malformed.into()),
        ("%u0041".into(), QueryError::Malformed.into()),
        ("%ff".into(), QueryError::Malformed.into()),
        ("%ed%a0%80".into(), QueryError::Malformed.into()),
        ("a&room=b".into(), QueryError::Twice.into()),
        ("a&ro%6fm=b".into(), QueryError::Twice.into()),
    ] as [(String, CredentialsError); 16]
    {
        assert_eq!(room(&name), Err(error), "{name}");
        assert_eq!(AuthError::from(error).status().as_u16(), 400, "{name}");
    }
}

/// A04: what is no token at all is refused before it is looked at, with 401.
#[test]
fn a04_credentials_of_no_form() {
    for (header, value) in [
        ("authorization", "Bearer"),
        ("authorization", "Bearer a b"),
        ("authorization", "Bearer a, Bearer b"),
        ("authorization", "Bearer \u{e9}"),
        ("sec-websocket-protocol", "chat, bearer."),
        ("sec-websocket-protocol", "bearer.a b"),
        ("sec-websocket-protocol", "room-password.YQ=="),
        ("sec-websocket-protocol", "room-password.YR"),
        ("sec-websocket-protocol", "room-password._w"),
    ] {
        let request = Request::get("/").header(header, value.as_bytes()).body(()).unwrap();
        let error = CredentialSources::new().read(&request, at(NOW)).unwrap_err();
        assert_eq!(error, CredentialsError::Malformed, "{value}");
        assert_eq!(AuthError::from(error).status().as_u16(), 401, "{value}");
    }
    for token in ["%00", "a%00b", "a%20b", "a%0a", "", "%C3%A9"] {
        let request = Request::get(format!("/?token={token}")).body(()).unwrap();
        let error = CredentialSources::new().allow_query().read(&request, at(NOW)).unwrap_err();
        assert_eq!(error, CredentialsError::Malformed, "{token}");
    }
}
