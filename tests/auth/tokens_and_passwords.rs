//! Floor 7 through the public API: tokens, room passwords, identities, where credentials are read, and
//! who decides. What attackers do is in `token_attacks` and `doors`.

#![cfg(feature = "auth")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::tokens::{NOW, SECRET, at, now_or_never, token};
use http::{HeaderName, Request, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use sockeye::CloseCode;
use sockeye::auth::{
    AuthError, Authenticator, Claims, CredentialSources, Credentials, CredentialsError,
    GuessLimiter, Identity, JwtError, JwtSigner, JwtVerifier, QueryError, RoomAuth, RoomNameError,
    RoomPasswords, RoomsWithoutPassword, Secret, SetupError, SharedAuthenticator, authenticate_fn,
    is_credential,
};

fn secret() -> Secret {
    Secret::new(SECRET).unwrap()
}

fn verifier() -> JwtVerifier {
    JwtVerifier::new(secret())
}

fn verify(claims: &Value) -> Result<Claims, JwtError> {
    verifier().verify(&token(claims), at(NOW))
}

fn ask(authenticator: &impl Authenticator, who: Credentials) -> Result<Identity, AuthError> {
    now_or_never(authenticator.authenticate(who))
}

fn request(target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get(target).body(()).unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

fn read(target: &str, headers: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
    CredentialSources::new().read(&request(target, headers), at(NOW))
}

fn read_query(target: &str, headers: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
    CredentialSources::new().allow_query().read(&request(target, headers), at(NOW))
}

/// AU-07: the token of RFC 7515 A.1, which others made.
#[test]
fn rfc7515_a_1_the_example_of_the_standard() {
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let verifier = JwtVerifier::new(Secret::new(crate::tokens::decode(key)).unwrap()).issuer("joe");
    let claims = verifier.verify(token, at(1_300_819_379)).unwrap();
    assert_eq!(claims.claim::<bool>("http://example.com/is_root").unwrap(), Some(true));
    assert_eq!(claims.expires_at(), Some(at(1_300_819_380)));
    assert_eq!(verifier.verify(token, at(1_300_819_410)).unwrap_err(), JwtError::Expired);
}

/// AU-07: what we sign others verify, and what they sign we do.
#[test]
fn tokens_are_those_of_everybody() {
    let claims = json!({ "sub": "42", "exp": NOW + 60 });
    let ours = JwtSigner::new(secret()).sign(&claims).unwrap();
    let parts: Vec<&str> = ours.split('.').collect();
    let sum = crate::tokens::hmac(&SECRET, format!("{}.{}", parts[0], parts[1]).as_bytes());
    assert_eq!(parts[2], crate::tokens::encode(&sum));
    let header: Value = serde_json::from_slice(&crate::tokens::decode(parts[0])).unwrap();
    assert_eq!(header, json!({ "alg": "HS256", "typ": "JWT" }));
    assert_eq!(verifier().verify(&ours, at(NOW)).unwrap().subject(), Some("42"));
    assert_eq!(verify(&claims).unwrap().subject(), Some("42"));
    for no_object in [json!(1), json!([]), json!("a"), json!(null)] {
        assert!(JwtSigner::new(secret()).sign(&no_object).is_err(), "{no_object}");
    }
}

/// AU-07: a token for a user in one call, which ends when it was told to; one for ever has the last date there is.
#[test]
fn tokens_for_a_user_end_in_time() {
    let signer = JwtSigner::new(secret());
    let verifier = JwtVerifier::new(secret());
    let before = SystemTime::now();
    let token = signer.sign_for("ann \"\u{1}", Duration::from_millis(60_900));
    let claims = verifier.verify(&token, before).unwrap();
    assert_eq!(claims.subject(), Some("ann \"\u{1}"));
    let ends = claims.expires_at().unwrap();
    let earliest = before + Duration::from_secs(59);
    assert!((earliest..=SystemTime::now() + Duration::from_secs(61)).contains(&ends));
    let issued: u64 = claims.claim("iat").unwrap().unwrap();
    assert!((60..=61).contains(&ends.duration_since(at(issued)).unwrap().as_secs()));
    // The leeway is 30 seconds.
    let late = verifier.verify(&token, ends + Duration::from_secs(31));
    assert_eq!(late.unwrap_err(), JwtError::Expired);
    let for_ever = signer.sign_for("ann", Duration::MAX);
    let claims = verifier.verify(&for_ever, before).unwrap();
    assert_eq!(claims.expires_at(), Some(at(253_402_300_799)));
}

/// AU-09: claims of any type.
#[test]
fn claims_are_read_as_any_type() {
    let claims = verify(&json!({
        "sub": "42", "name": "Ann", "exp": NOW + 60, "level": 7, "tags": ["a", "b"],
    }));
    let claims = claims.unwrap();
    assert_eq!((claims.subject(), claims.name()), (Some("42"), Some("Ann")));
    assert_eq!(claims.claim::<u8>("level").unwrap(), Some(7));
    assert_eq!(claims.claim::<Vec<&str>>("tags").unwrap(), Some(vec!["a", "b"]));
    assert_eq!(claims.claim::<u8>("absent").unwrap(), None);
    assert!(claims.claim::<u8>("tags").is_err());
    assert_eq!(claims.parse_as::<HashMap<&str, Value>>().unwrap().len(), 5);
}

/// Row 54: the table of times and leeways.
#[test]
fn s4_1_4_times_have_a_leeway() {
    let second = Duration::from_secs(1);
    for (claim, good, bad, error) in [
        ("exp", NOW - 29, NOW - 30, JwtError::Expired),
        ("nbf", NOW + 30, NOW + 31, JwtError::NotYetValid),
        ("iat", NOW + 30, NOW + 31, JwtError::IssuedInFuture),
    ] {
        let with = |value: u64| {
            let mut claims = json!({ "exp": NOW + 1_000 });
            claims[claim] = json!(value);
            verify(&claims).err()
        };
        assert_eq!((with(good), with(bad)), (None, Some(error)), "{claim}");
    }
    let strict = verifier().leeway(Duration::ZERO).unwrap();
    let until_now = token(&json!({ "exp": NOW }));
    assert_eq!(strict.verify(&until_now, at(NOW)).unwrap_err(), JwtError::Expired);
    assert!(strict.verify(&until_now, at(NOW) - second).is_ok());
    let fraction = token(&json!({ "exp": NOW as f64 + 0.5 }));
    assert!(strict.verify(&fraction, at(NOW)).is_ok());
    assert!(strict.verify(&fraction, at(NOW) + second).is_err());

    assert!(verifier().leeway(Duration::from_secs(120)).is_ok());
    let error = verifier().leeway(Duration::from_millis(120_001)).unwrap_err();
    assert_eq!(error, SetupError::LeewayTooLong { limit: Duration::from_secs(120) });
}

/// Row 54: `exp` is required unless it was said that it is not.
#[test]
fn an_end_is_required() {
    let endless = token(&json!({ "sub": "42" }));
    assert_eq!(verifier().verify(&endless, at(NOW)).unwrap_err(), JwtError::ClaimMissing("exp"));
    let claims = verifier().without_expiry().verify(&endless, at(NOW)).unwrap();
    assert_eq!(claims.expires_at(), None);
    let ended = token(&json!({ "exp": 1 }));
    let error = verifier().without_expiry().verify(&ended, at(NOW)).unwrap_err();
    assert_eq!(error, JwtError::Expired);
}

/// A02: audience, issuer and subject, when they are set.
#[test]
fn s4_1_a_token_is_for_us_and_of_whom_we_trust() {
    let verifier = verifier().audience("chat").issuer("login").subject("42");
    let with = |name: &str, value: Value| {
        let mut claims = json!({ "aud": "chat", "iss": "login", "sub": "42", "exp": NOW + 60 });
        claims[name] = value;
        verifier.verify(&token(&claims), at(NOW)).err()
    };
    assert_eq!(with("aud", json!("chat")), None);
    assert_eq!(with("aud", json!(["mail", "chat"])), None);
    for audience in [json!("mail"), json!(["mail"]), json!([]), json!("chat "), json!("Chat")] {
        assert_eq!(with("aud", audience), Some(JwtError::Audience));
    }
    assert_eq!(with("iss", json!("logins")), Some(JwtError::Issuer));
    assert_eq!(with("sub", json!("4")), Some(JwtError::Subject));
    let bare = token(&json!({ "exp": NOW + 60 }));
    assert_eq!(verifier.verify(&bare, at(NOW)).unwrap_err(), JwtError::Audience);
    let unasked = token(&json!({ "aud": "mail", "iss": "x", "exp": NOW + 60 }));
    assert!(self::verifier().verify(&unasked, at(NOW)).is_ok());
}

/// AU-07, row 53: keys are rotated by name, and a name counts.
#[test]
fn keys_are_rotated_by_name() {
    let other = || Secret::new([8; 32]).unwrap();
    let claims = json!({ "exp": NOW + 60 });
    let old = JwtSigner::named("2024", secret()).sign(&claims).unwrap();
    let new = JwtSigner::named("2025", other()).sign(&claims).unwrap();
    let verifier = JwtVerifier::named("2024", secret()).key("2025", other()).unwrap();
    assert!(verifier.verify(&old, at(NOW)).is_ok() && verifier.verify(&new, at(NOW)).is_ok());
    let swapped = JwtSigner::named("2025", secret()).sign(&claims).unwrap();
    assert_eq!(verifier.verify(&swapped, at(NOW)).unwrap_err(), JwtError::Signature);
    let unnamed = token(&claims);
    assert_eq!(verifier.verify(&unnamed, at(NOW)).unwrap_err(), JwtError::UnknownKey);
    let unnamed_only = self::verifier();
    assert_eq!(unnamed_only.verify(&old, at(NOW)).unwrap_err(), JwtError::UnknownKey);
    assert_eq!(verifier.key("2024", other()).unwrap_err(), SetupError::KeyTwice);
}

/// ER-06, ER-07: what the client is told, and what the operator sees.
#[test]
fn errors_say_little_to_clients_and_why_to_operators() {
    let expired = verify(&json!({ "exp": NOW - 60 })).unwrap_err();
    assert_eq!((expired.to_string(), expired), ("jwt expired".into(), JwtError::Expired));
    let wrong = verify(&json!({ "exp": "soon" })).unwrap_err();
    assert_eq!(wrong.to_string(), "invalid jwt");
    assert_eq!(format!("{wrong:?}"), "ClaimType(\"exp\")");
}

/// AU-05: set, check, remove.
#[test]
fn rooms_have_passwords() {
    let rooms = RoomPasswords::new(secret());
    rooms.set("chat", "one").unwrap();
    rooms.set("attic", "two").unwrap();
    for (room, password, is_open) in [
        ("chat", "one", true),
        ("attic", "two", true),
        ("chat", "two", false),
        ("chat", "on", false),
        ("chat", "one ", false),
        ("chat", "", false),
        ("Chat", "one", false),
        ("cellar", "one", false),
        ("", "", false),
    ] {
        assert_eq!(rooms.check(room, password), is_open, "{room} {password}");
    }
    rooms.set("chat", "three").unwrap();
    assert!(rooms.check("chat", "three") && !rooms.check("chat", "one"));
    assert!(rooms.has_password("chat") && !rooms.has_password("cellar"));
    assert!(rooms.remove("chat") && !rooms.remove("chat"));
    assert!(!rooms.check("chat", "three") && !rooms.has_password("chat"));
    let longest = "p".repeat(1024);
    rooms.set("chat", &longest).unwrap();
    assert!(rooms.check("chat", &longest) && !rooms.check("chat", &(longest + "p")));
}

/// AU-06: a secret of the system's own is another one each time.
#[test]
fn secrets_of_the_system_differ() {
    let signed =
        |secret: &Secret| JwtSigner::new(secret.clone()).sign(&json!({"sub": "a"})).unwrap();
    let (one, other) = (Secret::from_os().unwrap(), Secret::from_os().unwrap());
    assert_eq!(signed(&one), signed(&one));
    assert_ne!(signed(&one), signed(&other));
}

/// AU-05: rooms without a password are closed, unless they are said to be open.
#[test]
fn rooms_without_a_password_have_a_policy() {
    let rooms = RoomPasswords::new(secret()).without_password(RoomsWithoutPassword::Open);
    rooms.set("chat", "one").unwrap();
    assert!(rooms.check("attic", "") && rooms.check("attic", "any"));
    assert!(!rooms.check("chat", "") && !rooms.check("chat", "any") && rooms.check("chat", "one"));
    assert!(!rooms.check("", "") && !rooms.check("a\0", ""));
    rooms.remove("chat");
    assert!(rooms.check("chat", ""));
}

/// AU-05, row 64: what is kept has bounds.
#[test]
fn passwords_and_their_number_are_bounded() {
    let rooms = RoomPasswords::new(secret()).rooms_max(2);
    let length = SetupError::PasswordLength { limit: 1024 };
    assert_eq!(rooms.set("a", ""), Err(length.clone()));
    assert_eq!(rooms.set("a", &"p".repeat(1025)), Err(length));
    assert_eq!(rooms.set("", "p"), Err(SetupError::Room(RoomNameError::Empty)));
    rooms.set("a", &"p".repeat(1024)).unwrap();
    rooms.set("b", "p").unwrap();
    assert_eq!(rooms.set("c", "p"), Err(SetupError::TooManyRooms { limit: 2 }));
    rooms.set("b", "q").unwrap();
    assert!(rooms.remove("a") && rooms.set("c", "p").is_ok());
    assert!(!rooms.check("c", &"p".repeat(1025)));
}

/// Passwords are set while others come in.
#[test]
fn passwords_may_be_set_from_any_thread() {
    let rooms = Arc::new(RoomPasswords::new(secret()));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let rooms = rooms.clone();
            scope.spawn(move || {
                let room = format!("room {thread}");
                for round in 0..200 {
                    let password = round.to_string();
                    rooms.set(&room, &password).unwrap();
                    assert!(rooms.check(&room, &password));
                }
            });
        }
    });
    assert!((0..4).all(|thread| rooms.check(&format!("room {thread}"), "199")));
}

/// AU-09, BY-24: an identity of a token, and of one's own making.
#[test]
fn identities_know_who_and_until_when() {
    let claims = verify(&json!({
        "sub": "42", "name": "Ann", "roles": ["admin", "user"], "exp": NOW + 60,
    }));
    let ann = Identity::from_claims(claims.unwrap()).unwrap();
    assert_eq!((ann.id(), ann.name()), (Some("42"), Some("Ann")));
    assert_eq!(ann.roles(), ["admin", "user"]);
    assert!(ann.has_role("admin") && !ann.has_role("adm") && !ann.is_guest());
    assert_eq!(ann.expires_at(), Some(at(NOW + 60)));
    assert_eq!(ann.expires_in(at(NOW)), Some(Duration::from_secs(60)));
    assert_eq!(ann.expires_in(at(NOW + 61)), Some(Duration::ZERO));
    assert_eq!(ann.claims().unwrap().subject(), Some("42"));

    let renamed = ann.clone().with_name("Anne").with_expiry(at(NOW));
    assert_eq!((ann.name(), renamed.name()), (Some("Ann"), Some("Anne")));
    let guest = Identity::guest();
    assert_eq!((guest.id(), guest.expires_in(at(NOW)), guest.is_guest()), (None, None, true));
}

/// Row 54: a claim that decides what somebody may do is never taken for an absent one.
#[test]
fn identities_need_a_subject_and_roles_of_their_form() {
    let identity = |mut claims: Value| {
        claims["exp"] = json!(NOW + 60);
        Identity::from_claims(verify(&claims).unwrap())
    };
    for claims in [json!({}), json!({ "sub": "" })] {
        assert_eq!(identity(claims).unwrap_err(), JwtError::ClaimMissing("sub"));
    }
    for roles in [json!(1), json!(null), json!({}), json!(["a", 1])] {
        let error = identity(json!({ "sub": "42", "roles": roles })).unwrap_err();
        assert_eq!(error, JwtError::ClaimType("roles"));
    }
    assert_eq!(identity(json!({ "sub": "42", "roles": "a" })).unwrap().roles(), ["a"]);
}

/// AU-08, HS-10: where a token may stand.
#[test]
fn tokens_are_read_from_headers_and_subprotocols() {
    for (headers, token) in [
        (&[][..], None),
        (&[("Authorization", "Bearer abc")], Some("abc")),
        (&[("Authorization", "bearer  abc==")], Some("abc==")),
        (&[("Authorization", "Basic abc")], None),
        (&[("Sec-WebSocket-Protocol", "chat, bearer.a.b-c")], Some("a.b-c")),
        (&[("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", "bearer.a")], Some("a")),
        (&[("Sec-WebSocket-Protocol", "Bearer.a, bearer, xbearer.a")], None),
        (&[("Authorization", "Bearer a"), ("Sec-WebSocket-Protocol", "bearer.a")], Some("a")),
    ] {
        let credentials = read("/?token=query", headers).unwrap();
        assert_eq!(credentials.token(), token, "{headers:?}");
    }
    assert!(is_credential("bearer.abc") && is_credential("room-password.abc"));
    assert!(!is_credential("chat") && !is_credential("bearer"));
}

/// AU-05, AU-08, HS-10, row 60: the query is read for the room, and for secrets only when it is said.
#[test]
fn the_query_holds_secrets_only_when_allowed() {
    let target = "/ws?room=a+b&room_password=c%2Fd&token=e.f";
    let shut = read(target, &[]).unwrap();
    assert_eq!((shut.room(), shut.room_password(), shut.token()), (Some("a b"), None, None));
    let open = read_query(target, &[]).unwrap();
    assert_eq!(open.room(), Some("a b"));
    assert_eq!((open.room_password(), open.token()), (Some("c/d"), Some("e.f")));
    assert_eq!((open.uri().path(), open.now()), ("/ws", at(NOW)));

    let offer = [("Sec-WebSocket-Protocol", "chat, room-password.Yy9k")];
    assert_eq!(read("/", &offer).unwrap().room_password(), Some("c/d"));
    let agreed = read_query(target, &offer).unwrap();
    assert_eq!(agreed.room_password(), Some("c/d"));
}

/// AU-08: several credentials agree, or nobody gets in.
#[test]
fn credentials_that_disagree_are_refused() {
    let bearer = ("Authorization", "Bearer a");
    for (target, headers) in [
        ("/", &[bearer, ("Authorization", "Bearer b")][..]),
        ("/", &[bearer, ("Sec-WebSocket-Protocol", "bearer.b")]),
        ("/", &[("Sec-WebSocket-Protocol", "bearer.a, bearer.b")]),
        ("/?token=b", &[bearer]),
        ("/", &[("Sec-WebSocket-Protocol", "room-password.YQ, room-password.Yg")]),
        ("/?room_password=b", &[("Sec-WebSocket-Protocol", "room-password.YQ")]),
    ] {
        let error = read_query(target, headers).unwrap_err();
        assert_eq!(error, CredentialsError::Disagree, "{target} {headers:?}");
        assert_eq!(AuthError::from(error).status(), StatusCode::BAD_REQUEST);
    }
    let twice = CredentialsError::Query(QueryError::Twice);
    assert_eq!(read_query("/?token=a&token=a", &[]).unwrap_err(), twice);
    assert_eq!(read("/?room=a&room=a", &[]).unwrap_err(), twice);
    assert!(read("/?token=a&token=b", &[]).is_ok(), "not looked at");
}

/// AU-01, AU-02, AU-03, AU-12: one's own authenticators, as types, closures and values.
#[test]
fn anybody_can_decide() {
    struct Sessions;
    impl Authenticator for Sessions {
        async fn authenticate(&self, who: Credentials) -> Result<Identity, AuthError> {
            std::future::ready(()).await;
            match who.token() {
                Some("session") => Ok(Identity::new("ann")),
                Some(_) => Err(AuthError::Invalid),
                None => Err(AuthError::Missing),
            }
        }
    }
    let function = authenticate_fn(async |who: Credentials| {
        who.headers().get("x-user").map_or(Err(AuthError::Missing), |_| Ok(Identity::new("bob")))
    });
    let anonymous = Credentials::new(at(NOW));
    let with_header = anonymous.clone().with_head(&request("/", &[("x-user", "bob")]));
    assert_eq!(ask(&function, with_header).unwrap().id(), Some("bob"));

    for any in [SharedAuthenticator::new(Sessions), SharedAuthenticator::new(Arc::new(Sessions))] {
        let any = SharedAuthenticator::new(any);
        let session = anonymous.clone().with_token("session");
        assert_eq!(ask(&any, session).unwrap().id(), Some("ann"));
        assert_eq!(ask(&any, anonymous.clone()).unwrap_err(), AuthError::Missing);
        let error = ask(&any, anonymous.clone().with_token("x")).unwrap_err();
        assert_eq!((error.status(), error), (StatusCode::UNAUTHORIZED, AuthError::Invalid));
    }
}

/// AU-07, AU-08, AU-12: a verifier decides by itself.
#[test]
fn a_verifier_is_an_authenticator() {
    let good = token(&json!({ "sub": "42", "exp": NOW + 60 }));
    let header = format!("Bearer {good}");
    let who = read("/", &[("Authorization", &header)]).unwrap();
    assert_eq!(ask(&verifier(), who).unwrap().id(), Some("42"));
    let nobody = read("/", &[]).unwrap();
    assert_eq!(ask(&verifier(), nobody).unwrap_err(), AuthError::Missing);
    let old = Credentials::new(at(NOW + 90)).with_token(good);
    assert_eq!(ask(&verifier(), old).unwrap_err(), AuthError::Jwt(JwtError::Expired));
}

/// AU-05, AU-06, AU-08: passwords and tokens under one secret, as in the seed.
#[test]
fn room_auth_asks_for_the_password_and_takes_the_token() {
    let auth = RoomAuth::new(secret());
    auth.passwords().set("chat", "room-password").unwrap();
    let good = token(&json!({ "sub": "42", "exp": NOW + 60 }));
    let ask_for =
        |auth: &RoomAuth, query: &str| ask(auth, read_query(&format!("/ws?{query}"), &[]).unwrap());
    let right = "room=chat&room_password=room-password";
    assert!(ask_for(&auth, right).unwrap().is_guest());
    assert_eq!(ask_for(&auth, &format!("{right}&token={good}")).unwrap().id(), Some("42"));
    let bad = ask_for(&auth, &format!("{right}&token={good}x")).unwrap_err();
    assert_eq!(bad, AuthError::Jwt(JwtError::Signature));
    for wrong in ["", "room=chat", "room=chat&room_password=x", "room=attic&room_password=x"] {
        assert_eq!(ask_for(&auth, wrong).unwrap_err(), AuthError::Refused, "{wrong}");
        let with_token = format!("{wrong}&token={good}");
        assert_eq!(ask_for(&auth, &with_token).unwrap_err(), AuthError::Refused, "{wrong}");
    }
    let auth = auth.require_token();
    assert_eq!(ask_for(&auth, right).unwrap_err(), AuthError::Missing);
    assert_eq!(ask_for(&auth, &format!("{right}&token={good}")).unwrap().id(), Some("42"));
    assert!(auth.verifier().verify(&good, at(NOW)).is_ok());
}

/// AU-11, AU-12: each error has its status, its headers and its close code.
#[test]
fn errors_become_answers() {
    let soon = Duration::from_millis(1_001);
    for (error, status, close_code, header) in [
        (AuthError::Missing, 401, 1008, Some(("www-authenticate", "Bearer"))),
        (
            AuthError::Jwt(JwtError::Expired),
            401,
            4401,
            Some(("www-authenticate", "Bearer error=\"invalid_token\"")),
        ),
        (
            AuthError::Invalid,
            401,
            4401,
            Some(("www-authenticate", "Bearer error=\"invalid_token\"")),
        ),
        (
            AuthError::Credentials(CredentialsError::Malformed),
            401,
            4401,
            Some(("www-authenticate", "Bearer error=\"invalid_token\"")),
        ),
        (AuthError::Credentials(CredentialsError::Disagree), 400, 4401, None),
        (AuthError::Refused, 403, 4403, None),
        (AuthError::RateLimited { retry_after: soon }, 429, 1008, Some(("retry-after", "2"))),
        (AuthError::Unavailable { retry_after: soon }, 503, 1013, Some(("retry-after", "2"))),
        (
            AuthError::RateLimited { retry_after: Duration::from_secs(3) },
            429,
            1008,
            Some(("retry-after", "3")),
        ),
    ] {
        let response = error.to_response();
        assert_eq!((response.status(), error.status().as_u16()), (error.status(), status));
        assert_eq!(error.close_code(), CloseCode::from_u16(close_code), "{error:?}");
        assert!(error.close_code().is_sendable());
        assert_eq!(response.headers()["connection"], "close");
        assert_eq!(response.headers().len(), 2 + usize::from(header.is_some()), "{error:?}");
        if let Some((name, value)) = header {
            assert_eq!(response.headers()[name], value, "{error:?}");
        }
        assert_eq!(response.body(), format!("{error}\n").as_bytes());
        assert_eq!(error.retryable(), matches!(status, 429 | 503));
    }
}

/// AU-12: who gives the right credentials is never limited, and neither is who has none.
#[test]
fn only_guesses_count_against_an_address() {
    let (limiter, now) = (GuessLimiter::new(), Instant::now());
    let peer = "192.0.2.1".parse().unwrap();
    let outcomes = [
        None,
        Some(AuthError::Missing),
        Some(AuthError::Jwt(JwtError::Expired)),
        Some(AuthError::Unavailable { retry_after: Duration::ZERO }),
    ];
    for outcome in outcomes.iter().cycle().take(100) {
        limiter.begin(peer, now).unwrap().end(outcome.as_ref());
    }
    assert!(format!("{limiter:?}").contains("addresses: 0"), "{limiter:?}");
}

proptest! {
    /// AU-07: what is signed comes back.
    #[test]
    fn round_trip(subject: String, name: String, numbers: Vec<u32>, life in 1u64..1_000_000_000) {
        let claims = json!({ "sub": subject, "name": name, "numbers": numbers, "exp": NOW + life });
        let signed = JwtSigner::new(secret()).sign(&claims).unwrap();
        match verifier().verify(&signed, at(NOW)) {
            Ok(read) => {
                prop_assert_eq!(read.subject(), Some(subject.as_str()));
                prop_assert_eq!(read.name(), Some(name.as_str()));
                prop_assert_eq!(read.claim::<Vec<u32>>("numbers").unwrap(), Some(numbers));
                prop_assert_eq!(read.expires_at(), Some(at(NOW + life)));
            }
            Err(error) => prop_assert!(error == JwtError::TooLong && signed.len() > 8192),
        }
    }

    /// Row 54: the leeway table for any time and leeway.
    #[test]
    fn times_follow_the_table(exp in 0u64..4_000_000_000, now in 0u64..4_000_000_000, leeway in 0u64..=120) {
        let verifier = verifier().leeway(Duration::from_secs(leeway)).unwrap();
        let verdict = verifier.verify(&token(&json!({ "exp": exp })), at(now)).err();
        prop_assert_eq!(verdict, (now >= exp + leeway).then_some(JwtError::Expired));
        let begins = json!({ "exp": now + 1, "nbf": exp });
        let verdict = verifier.verify(&token(&begins), at(now)).err();
        prop_assert_eq!(verdict, (exp > now + leeway).then_some(JwtError::NotYetValid));
    }
}

/// A clock that was never set does not panic.
#[test]
fn a_clock_before_1970_is_taken_for_1970() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let error = verifier().verify(&token(&json!({ "exp": 10, "nbf": 31 })), before).unwrap_err();
    assert_eq!(error, JwtError::NotYetValid);
}
