//! Tokens against an independent check: what is accepted has our signature, one algorithm and an end to
//! come; a good token with one byte changed is refused.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use sockeye::auth::{JwtVerifier, Secret};

const SECRET: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;
const LEEWAY: f64 = 30.0;

/// One byte that says what is made of the rest: a text that is taken as it is, `header NUL claims` that
/// are signed, or `place byte claims` where the claims are signed and then changed.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    match kind % 3 {
        0 => check(&String::from_utf8_lossy(rest)),
        1 => {
            let (header, claims) = halves(rest);
            check(&signed(header, claims));
        }
        _ => changed(rest),
    }
}

fn verify(token: &str) -> Option<sockeye::auth::Claims> {
    let verifier = JwtVerifier::new(Secret::new(SECRET).expect("32 bytes"));
    verifier.verify(token, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).ok()
}

fn check(token: &str) {
    let Some(read) = verify(token) else {
        return;
    };
    assert!(token.len() <= 8192);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, sum] = parts[..] else {
        panic!("{} segments", parts.len());
    };
    let decode = |segment| URL_SAFE_NO_PAD.decode(segment).expect("base64url");
    assert_eq!(decode(sum), hmac(format!("{header}.{claims}").as_bytes()));
    let parse = |segment| serde_json::from_slice::<Value>(&decode(segment)).expect("JSON");
    let (header, claims) = (parse(header), parse(claims));
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none() && header.get("jwk").is_none());
    assert!(claims["exp"].as_f64().expect("a number") > NOW as f64 - LEEWAY);
    assert_eq!(read.subject(), claims["sub"].as_str());
}

fn changed(data: &[u8]) {
    let [place, byte, subject @ ..] = data else {
        return;
    };
    let subject = String::from_utf8_lossy(subject);
    let claims = serde_json::json!({ "sub": subject, "exp": NOW + 60 }).to_string();
    let token = signed(br#"{"alg":"HS256"}"#, claims.as_bytes());
    let Some(read) = verify(&token) else {
        // Escapes make it longer than any that is looked at.
        assert!(token.len() > 8192, "a good token of {} bytes", token.len());
        return;
    };
    assert_eq!(read.subject(), Some(&*subject));
    let mut bytes = token.clone().into_bytes();
    // From the end, where the bits behind the last byte are.
    let place = bytes.len() - 1 - usize::from(*place) % bytes.len();
    bytes[place] = *byte;
    let other = String::from_utf8_lossy(&bytes);
    assert!(other == token || verify(&other).is_none());
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let border = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (header, claims) = data.split_at(border);
    (header, claims.get(1..).unwrap_or_default())
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let front = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    format!("{front}.{}", URL_SAFE_NO_PAD.encode(hmac(front.as_bytes())))
}

fn hmac(bytes: &[u8]) -> Vec<u8> {
    let keyed = Hmac::<Sha256>::new_from_slice(&SECRET).expect("any key");
    keyed.chain_update(bytes).finalize().into_bytes().to_vec()
}
