//! A token verified and signed, and a room's password checked, beside the HMAC that each needs.

mod support;

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use sockeye::auth::{
    CredentialSources, GuessLimiter, Identity, JwtSigner, JwtVerifier, RoomPasswords, Secret,
};

const SECRET: [u8; 32] = [7; 32];

/// What a chat gives its users.
fn claims() -> Value {
    json!({
        "sub": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "name": "Ann Example",
        "iss": "https://login.example.com",
        "aud": "chat",
        "roles": ["member", "moderator"],
        "iat": 1_999_996_400,
        "exp": 2_000_000_000,
    })
}

fn auth(criterion: &mut Criterion) {
    let secret = Secret::new(SECRET).expect("32 bytes");
    let signer = JwtSigner::new(secret.clone());
    let verifier = JwtVerifier::new(secret.clone()).audience("chat");
    let token = signer.sign(&claims()).expect("an object");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_999_997_000);
    let (signed, _) = token.rsplit_once('.').expect("a token");

    let mut group = criterion.benchmark_group("auth");
    let keyed = Hmac::<Sha256>::new_from_slice(&SECRET).expect("any key");
    group.bench_function("hmac alone", |bencher| {
        bencher.iter(|| keyed.clone().chain_update(black_box(signed)).finalize().into_bytes());
    });
    group.bench_function("verify", |bencher| {
        bencher.iter(|| verifier.verify(black_box(&token), now).expect("a good token"));
    });
    group.bench_function("verify, identity", |bencher| {
        bencher.iter(|| {
            let claims = verifier.verify(black_box(&token), now).expect("a good token");
            Identity::from_claims(claims).expect("a subject")
        });
    });
    group.bench_function("sign", |bencher| {
        bencher.iter(|| signer.sign(black_box(&claims())).expect("an object"));
    });

    let rooms = RoomPasswords::new(secret);
    rooms.set("chat:general", "swordfish").expect("a room");
    for (name, room) in [("known room", "chat:general"), ("unknown room", "chat:generic")] {
        group.bench_function(format!("password, {name}"), |bencher| {
            bencher.iter(|| rooms.check(black_box(room), black_box("marlin")));
        });
    }

    let request = http::Request::get("/ws?room=chat").header("Host", "chat.example.com");
    let request = request.header("Authorization", format!("Bearer {token}"));
    let request = request.body(()).expect("a request");
    let sources = CredentialSources::new();
    group.bench_function("read credentials", |bencher| {
        bencher.iter(|| sources.read(black_box(&request), now).expect("credentials"));
    });

    let (limiter, peer) = (GuessLimiter::new(), "192.0.2.1".parse().expect("an address"));
    let begun = std::time::Instant::now();
    group.bench_function("limiter", |bencher| {
        bencher.iter(|| limiter.begin(peer, begun).expect("no failure").end(None));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = support::brief();
    targets = auth
}
criterion_main!(benches);
