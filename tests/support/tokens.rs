//! Tokens made without the crate: base64url and HMAC by hand, so that a mistake is not made twice.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The secret of the tests.
pub(crate) const SECRET: [u8; 32] = *b"a secret that is 32 bytes long !";

/// The time of the tests, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// base64url without padding, a bit at a time.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let character = |at: usize| {
        let index = (0..6).fold(0, |index, offset| index << 1 | bit(at + offset));
        char::from(ALPHABET[usize::from(index)])
    };
    (0..bytes.len() * 8).step_by(6).map(character).collect()
}

/// Of what is known to be base64url.
pub(crate) fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for byte in text.bytes() {
        let index = ALPHABET.iter().position(|known| *known == byte).expect("base64url");
        held = held << 6 | index as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

/// HMAC-SHA256. Source: RFC 2104 2.
pub(crate) fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

/// A token of any header and any payload, signed with any key.
pub(crate) fn signed(header: &str, payload: &[u8], key: &[u8]) -> String {
    let front = format!("{}.{}", encode(header.as_bytes()), encode(payload));
    let sum = hmac(key, front.as_bytes());
    format!("{front}.{}", encode(&sum))
}

/// A token as everybody makes them.
pub(crate) fn token(claims: &Value) -> String {
    signed(r#"{"alg":"HS256","typ":"JWT"}"#, claims.to_string().as_bytes(), &SECRET)
}

/// The time of running servers, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A token of this user that is good for ten minutes from now.
pub(crate) fn token_of(user: &str) -> String {
    token(&serde_json::json!({ "sub": user, "exp": now() + 600 }))
}

/// The result of a future that waits for nothing.
pub(crate) fn now_or_never<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// What a forger tries: no token of these is good at any time. Each with what is wrong with it.
pub(crate) fn forged(now: u64) -> Vec<(String, String)> {
    let payload = format!(r#"{{"sub":"42","exp":{}}}"#, now + 600);
    let with_header = |header: &str| signed(header, payload.as_bytes(), &SECRET);
    let good = with_header(r#"{"alg":"HS256"}"#);
    let (front, signature) = good.rsplit_once('.').unwrap();
    let mut tokens = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "RS256", "ES256", "HS384", "hs256", ""] {
        let token = with_header(&format!(r#"{{"alg":"{alg}"}}"#));
        let (front, _) = token.rsplit_once('.').unwrap();
        tokens.push((format!("{alg}, unsigned"), format!("{front}.")));
        tokens.push((format!("{alg}, signed"), token));
    }
    for header in [
        r#"{}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","kid":"../../dev/null"}"#,
        r#"{"alg":"HS256","kid":"' OR 1"}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#,
        r#"{"alg":"HS256","jku":"https://evil.test/k"}"#,
        r#"{"alg":"HS256","x5u":"https://evil.test/k"}"#,
        r#"{"alg":"HS256","x5c":["MIIB"]}"#,
        r#"{"alg":"HS256","b64":false}"#,
    ] {
        tokens.push((header.to_owned(), with_header(header)));
    }
    let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(4096));
    tokens.push(("a kid of 4 KiB".to_owned(), with_header(&long)));
    for key in [&b""[..], &[0; 32], b"secret", &SECRET[..31]] {
        let token = signed(r#"{"alg":"HS256"}"#, payload.as_bytes(), key);
        tokens.push((format!("another key: {key:?}"), token));
    }
    let other = token(&serde_json::json!({ "sub": "41", "exp": now + 600 }));
    let other = other.rsplit_once('.').unwrap().1;
    let (head, body) = front.split_once('.').unwrap();
    for (what, token) in [
        ("no signature", format!("{front}.")),
        ("a signature of another", format!("{front}.{other}")),
        ("a signature cut short", format!("{front}.{}", &signature[..42])),
        ("two segments", front.to_owned()),
        ("two, signed", format!("{head}.{signature}")),
        ("four segments", format!("{good}.{signature}")),
        ("five segments", format!("{good}.a.b")),
        ("three empty ones", "..".to_owned()),
        ("one", head.to_owned()),
        ("another body", format!("{head}.{}.{signature}", encode(b"{}"))),
        ("a body twice", format!("{head}.{body}{body}.{signature}")),
    ] {
        tokens.push((what.to_owned(), token));
    }
    tokens
}
