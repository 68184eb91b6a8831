//! Tokens against an independent check: what is accepted has our signature, one algorithm and an end to
//! come; a good token with one byte changed is refused.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use sockeye::auth::{Claims, JwtVerifier, Secret};

const SECRET: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;
const LEEWAY: f64 = 30.0;

/// One byte that says what is asked of a token and what is made of the rest: a text that is taken as it is, `header NUL claims`
/// that are signed, or `place byte claims` where the claims are signed and then changed.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    let asked = Asked(kind / 3);
    match kind % 3 {
        0 => check(&String::from_utf8_lossy(rest), asked),
        1 => {
            let (header, claims) = halves(rest);
            check(&signed(header, claims), asked);
        }
        _ => changed(rest),
    }
}

/// What a verifier asks for beside the signature: nothing and an end where the byte is that of a digit.
#[derive(Clone, Copy)]
struct Asked(u8);

impl Asked {
    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    const fn audience(self) -> bool {
        self.has(1)
    }

    const fn issuer(self) -> bool {
        self.has(2)
    }

    const fn subject(self) -> bool {
        self.has(4)
    }

    const fn no_end(self) -> bool {
        self.has(8)
    }

    const fn named_key(self) -> bool {
        self.has(32)
    }

    const fn no_leeway(self) -> bool {
        self.has(64)
    }

    fn verifier(self) -> JwtVerifier {
        let secret = |bytes| Secret::new(bytes).expect("32 bytes");
        let mut verifier = match self.named_key() {
            true => JwtVerifier::named("k", secret(SECRET)),
            false => JwtVerifier::new(secret(SECRET)),
        };
        verifier = verifier.key("other", secret([8; 32])).expect("another");
        if self.audience() {
            verifier = verifier.audience("a");
        }
        if self.issuer() {
            verifier = verifier.issuer("i");
        }
        if self.subject() {
            verifier = verifier.subject("s");
        }
        if self.no_end() {
            verifier = verifier.without_expiry();
        }
        if self.no_leeway() {
            verifier = verifier.leeway(Duration::ZERO).expect("none");
        }
        verifier
    }
}

fn verify(token: &str, asked: Asked) -> Option<Claims> {
    asked.verifier().verify(token, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).ok()
}

fn check(token: &str, asked: Asked) {
    let Some(read) = verify(token, asked) else {
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
    assert_eq!(header.get("kid").and_then(Value::as_str), asked.named_key().then_some("k"));
    let leeway = if asked.no_leeway() { 0.0 } else { LEEWAY };
    let seconds = |name: &str| claims.get(name).map(|at| at.as_f64().expect("a number"));
    match seconds("exp") {
        Some(at) => assert!(at > NOW as f64 - leeway),
        None => assert!(asked.no_end()),
    }
    for begin in ["nbf", "iat"] {
        assert!(seconds(begin).is_none_or(|at| at <= NOW as f64 + leeway));
    }
    let is_for = |audience: &Value| match audience {
        Value::Array(all) => all.iter().any(|one| one == "a"),
        one => one == "a",
    };
    assert!(!asked.audience() || is_for(&claims["aud"]));
    assert!(!asked.issuer() || claims["iss"] == "i");
    assert!(!asked.subject() || claims["sub"] == "s");
    assert_eq!(read.subject(), claims["sub"].as_str());
    assert_eq!(read.name(), claims["name"].as_str());
    assert_eq!(read.claim::<Value>("jti").expect("any").as_ref(), claims.get("jti"));
    assert_eq!(read.parse_as::<Value>().expect("any"), claims);
    assert_eq!(format!("{read:?}"), "Claims { .. }", "nothing of it is logged");
    assert!(format!("{:?}", asked.verifier()).starts_with("JwtVerifier { keys: 2, leeway: "));
    if let Some(end) = read.expires_at() {
        let end = end.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs_f64();
        let at = seconds("exp").expect("it has an end");
        assert!((end - at).abs() <= 1e-6 * at.abs(), "{end} for {at}");
    }
}

fn changed(data: &[u8]) {
    let [place, byte, subject @ ..] = data else {
        return;
    };
    let subject = String::from_utf8_lossy(subject);
    let claims = serde_json::json!({ "sub": subject, "exp": NOW + 60 }).to_string();
    let token = signed(br#"{"alg":"HS256"}"#, claims.as_bytes());
    let Some(read) = verify(&token, Asked(0)) else {
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
    assert!(other == token || verify(&other, Asked(0)).is_none());
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
