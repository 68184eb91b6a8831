//! What is tried against floor 7 with tokens: forged ones, odd claims, odd texts. What is tried at the
//! door is in `doors`.

#![cfg(feature = "auth")]

use crate::tokens::{NOW, SECRET, at, encode, hmac, now_or_never, signed, token};
use proptest::prelude::*;
use serde_json::{Value, json};
use sockeye::auth::{
    AuthError, Authenticator, Credentials, Identity, JwtError, JwtVerifier, Secret,
};

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn secret() -> Secret {
    Secret::new(SECRET).unwrap()
}

fn refused(token: &str) -> JwtError {
    refused_by(&JwtVerifier::new(secret()), token)
}

/// Verified and through the door: the error is one that answers 401.
fn refused_by(verifier: &JwtVerifier, token: &str) -> JwtError {
    let shown: String = token.chars().take(200).collect();
    let error = verifier.verify(token, at(NOW)).expect_err(&shown);
    let who = Credentials::new(at(NOW)).with_token(token);
    let answer = now_or_never(verifier.authenticate(who)).unwrap_err();
    assert_eq!((answer.status().as_u16(), &answer), (401, &AuthError::Jwt(error)), "{shown}");
    assert!(["invalid jwt", "jwt expired"].contains(&answer.to_string().as_str()));
    error
}

fn good_payload() -> Vec<u8> {
    json!({ "sub": "42", "exp": NOW + 60 }).to_string().into_bytes()
}

fn good() -> String {
    signed(HEADER, &good_payload(), &SECRET)
}

/// A good token but for this header.
fn with_header(header: &str) -> String {
    signed(header, &good_payload(), &SECRET)
}

/// A good token but for these claims.
fn with_claims(claims: &str) -> String {
    signed(HEADER, claims.as_bytes(), &SECRET)
}

#[test]
fn the_token_that_all_others_are_made_of_is_good() {
    assert!(JwtVerifier::new(secret()).verify(&good(), at(NOW)).is_ok());
}

/// A01, row 53: other algorithms, and none, with our signature and without any.
#[test]
fn a01_algorithms() {
    let mut count = 0;
    for alg in [
        "\"none\"",
        "\"None\"",
        "\"NONE\"",
        "\"nOnE\"",
        "\"RS256\"",
        "\"ES256\"",
        "\"HS384\"",
        "\"HS512\"",
        "\"PS256\"",
        "\"EdDSA\"",
        "\"hs256\"",
        "\"HS256 \"",
        "\"HS256\\u0000\"",
        "\"\"",
        "null",
        "256",
        "[\"HS256\"]",
        "{\"HS256\":1}",
    ] {
        let token = with_header(&format!(r#"{{"alg":{alg}}}"#));
        assert_eq!(refused(&token), JwtError::Algorithm, "{alg}");
        let (front, _) = token.rsplit_once('.').unwrap();
        assert_eq!(refused(&format!("{front}.")), JwtError::Algorithm, "{alg}, no signature");
        count += 2;
    }
    for header in [r#"{"typ":"JWT"}"#, "{}", r#"{"ALG":"HS256"}"#] {
        assert_eq!(refused(&with_header(header)), JwtError::Algorithm, "{header}");
        count += 1;
    }
    assert!(count >= 39);
}

/// A01, row 53: headers that are odd, or bring a key.
#[test]
fn a01_headers() {
    for (header, error) in [
        (r#"{"alg":"HS256","alg":"HS256"}"#, JwtError::Header),
        (r#"{"alg":"none","alg":"HS256"}"#, JwtError::Header),
        (r#"{"alg":"HS256","\u0061lg":"none"}"#, JwtError::Header),
        (r#"{"alg":"HS256","x":{"a":1,"a":2}}"#, JwtError::Header),
        (r#""HS256""#, JwtError::Header),
        (r#"["HS256"]"#, JwtError::Header),
        (r#"{"alg":"HS256"} x"#, JwtError::Header),
        (r#"{"alg":"HS256""#, JwtError::Header),
        ("", JwtError::Header),
        (r#"{"alg":"HS256","crit":["exp"]}"#, JwtError::HeaderMember("crit")),
        (r#"{"alg":"HS256","crit":[]}"#, JwtError::HeaderMember("crit")),
        (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#, JwtError::HeaderMember("jwk")),
        (r#"{"alg":"HS256","jku":"https://evil.test/k"}"#, JwtError::HeaderMember("jku")),
        (r#"{"alg":"HS256","x5u":"https://evil.test/k"}"#, JwtError::HeaderMember("x5u")),
        (r#"{"alg":"HS256","x5c":["MIIB"]}"#, JwtError::HeaderMember("x5c")),
        (r#"{"alg":"HS256","x5t":"AAAA"}"#, JwtError::HeaderMember("x5t")),
        (r#"{"alg":"HS256","x5t#S256":"AAAA"}"#, JwtError::HeaderMember("x5t#S256")),
        (r#"{"alg":"HS256","b64":false}"#, JwtError::HeaderMember("b64")),
        (r#"{"alg":"HS256","kid":1}"#, JwtError::HeaderMember("kid")),
        (r#"{"alg":"HS256","kid":null}"#, JwtError::HeaderMember("kid")),
        (r#"{"alg":"HS256","kid":["a"]}"#, JwtError::HeaderMember("kid")),
    ] {
        assert_eq!(refused(&with_header(header)), error, "{header}");
    }
}

/// A01, row 53: names of keys are looked up, and nothing else is done with them.
#[test]
fn a01_names_of_keys() {
    let named = JwtVerifier::named("2025", secret());
    let long = "k".repeat(4096);
    for name in
        ["../../dev/null", "' OR 1", "' UNION SELECT 'k", "", "2025 ", "2024", "a\0b", &long]
    {
        for key in [&SECRET[..], b""] {
            let header = json!({ "alg": "HS256", "kid": name }).to_string();
            let token = signed(&header, &good_payload(), key);
            assert_eq!(refused(&token), JwtError::UnknownKey, "{name}");
            assert_eq!(refused_by(&named, &token), JwtError::UnknownKey, "{name}");
        }
    }
}

/// A01: signatures of others.
#[test]
fn a01_signatures() {
    let token = good();
    let (front, signature) = token.rsplit_once('.').unwrap();
    let other = with_claims(&json!({ "sub": "41", "exp": NOW + 60 }).to_string());
    let other = other.rsplit_once('.').unwrap().1;
    let short = &signature[..42];
    let truncated = encode(&hmac(&SECRET, front.as_bytes())[..16]);
    for signature in ["", other, short, &truncated, &"A".repeat(43), &"A".repeat(86), "AA"] {
        assert_eq!(refused(&format!("{front}.{signature}")), JwtError::Signature, "{signature}");
    }
    for key in [&b""[..], &[0; 32], b"secret", &SECRET[..31], &[7; 32]] {
        assert_eq!(refused(&signed(HEADER, &good_payload(), key)), JwtError::Signature, "{key:?}");
    }
}

/// A01, row 55: more or fewer segments than three.
#[test]
fn a01_segments() {
    let token = good();
    let parts: Vec<&str> = token.split('.').collect();
    let (two, two_signed) = (parts[..2].join("."), [parts[0], parts[2]].join("."));
    let (more, before) = (format!("{token}."), format!(".{token}"));
    let (four, five) = (format!("{token}.{}", parts[2]), format!("{token}.a.b"));
    for token in ["", parts[0], &two, &two_signed, &more, &before, &four, &five] {
        let error = refused(token);
        let expected = [JwtError::Segments, JwtError::Header, JwtError::Encoding];
        assert!(expected.contains(&error), "{error:?}");
    }
    assert_eq!(refused(&five), JwtError::Segments);
    assert_eq!(refused(".."), JwtError::Header);
}

/// A02, row 54: times that are none, with our signature.
#[test]
fn a02_times() {
    assert_eq!(refused(&with_claims(r#"{"sub":"42"}"#)), JwtError::ClaimMissing("exp"));
    for name in ["exp", "nbf", "iat"] {
        for value in [
            "\"1900000000\"",
            "\"\"",
            "null",
            "true",
            "[]",
            "{}",
            "-1",
            "-1.5",
            "1e300",
            "9223372036854775808",
            "18446744073709551616",
            "1900000000000",
        ] {
            let claims = match name {
                "exp" => format!(r#"{{"exp":{value}}}"#),
                _ => format!(r#"{{"exp":1900000000,"{name}":{value}}}"#),
            };
            assert_eq!(refused(&with_claims(&claims)), JwtError::ClaimType(name), "{claims}");
        }
        for value in ["1e400", "-1e400", "NaN", "Infinity", "1.", "+1", "0x1", "1_0"] {
            let claims = format!(r#"{{"exp":1900000000,"{name}":{value}}}"#);
            assert_eq!(refused(&with_claims(&claims)), JwtError::Claims, "{claims}");
        }
    }
    assert_eq!(refused(&with_claims(&format!(r#"{{"exp":{}}}"#, NOW - 31))), JwtError::Expired);
    assert_eq!(refused(&with_claims(r#"{"exp":0}"#)), JwtError::Expired);
    assert_eq!(refused(&with_claims(r#"{"exp":1.5e9}"#)), JwtError::Expired);
}

/// A03, row 55: long tokens cost nothing; a token may have 8 KiB and not a byte more.
#[test]
fn a03_lengths() {
    assert_eq!(refused(&".".repeat(1024 * 1024)), JwtError::TooLong);
    assert_eq!(refused(&"a".repeat(64 * 1024 * 1024)), JwtError::TooLong);
    assert_eq!(refused(&".".repeat(8192)), JwtError::Segments);
    let of_len = |len: usize| {
        let longer = |pad: usize| {
            with_claims(&json!({ "exp": NOW + 60, "pad": "p".repeat(pad) }).to_string())
        };
        (5_900..6_200).map(longer).find(|token| token.len() == len)
    };
    let longest = of_len(8192).expect("a token of that length");
    assert!(JwtVerifier::new(secret()).verify(&longest, at(NOW)).is_ok());
    let over = (8193..8196).find_map(of_len).expect("a token a little longer");
    assert_eq!(refused(&over), JwtError::TooLong);
}

/// A04, row 56: each segment has one text, whatever a lenient decoder makes of others.
#[test]
fn a04_base64url() {
    let token = good();
    let parts: Vec<&str> = token.split('.').collect();
    for part in 0..3 {
        let segment = parts[part];
        let (first, rest) = segment.split_at(1);
        let mut odd = vec![
            format!("{segment}="),
            format!("{segment}=="),
            format!("{segment}===="),
            format!(" {segment}"),
            format!("{segment} "),
            format!("{segment}\n"),
            format!("{first}\n{rest}"),
            format!("{first}\t{rest}"),
            format!("{segment}\0"),
            format!("{first}\0{rest}"),
            format!("{segment}!!!!"),
            format!("{segment}é"),
            format!("{first}+{rest}"),
            format!("{first}/{rest}"),
            format!("{first}%{rest}"),
        ];
        odd.extend(trailing_bits(segment));
        for segment in odd {
            let mut parts = parts.clone();
            parts[part] = &segment;
            let error = refused(&parts.join("."));
            let expected = [JwtError::Encoding, JwtError::Signature];
            assert!(expected.contains(&error), "{segment:?}: {error:?}");
        }
    }
    let plain: String = good().chars().map(|c| if c == '-' { '+' } else { c }).collect();
    let plain = plain.replace('_', "/");
    assert!(plain == good() || refused(&plain) == JwtError::Encoding);
}

/// Other texts that decode to the same bytes when bits behind the last one are ignored.
fn trailing_bits(segment: &str) -> Vec<String> {
    let bytes = crate::tokens::decode(segment);
    let (front, last) = segment.split_at(segment.len() - 1);
    let all = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']);
    let texts = all.filter(|c| !last.starts_with(*c)).map(|c| format!("{front}{c}"));
    texts.filter(|text| crate::tokens::decode(text) == bytes).collect()
}

/// A04: bits behind the last byte, signed as they stand.
#[test]
fn a04_signed_over_another_text() {
    let header = encode(HEADER.as_bytes());
    let payload = (0..3).map(|pad| json!({ "exp": NOW + 60, "p": "p".repeat(pad) }).to_string());
    let mut count = 0;
    for payload in payload {
        for odd in trailing_bits(&encode(payload.as_bytes())) {
            let front = format!("{header}.{odd}");
            let token = format!("{front}.{}", encode(&hmac(&SECRET, front.as_bytes())));
            assert_eq!(refused(&token), JwtError::Encoding);
            count += 1;
        }
        let front = format!("{header}.{}=", encode(payload.as_bytes()));
        let token = format!("{front}.{}", encode(&hmac(&SECRET, front.as_bytes())));
        assert_eq!(refused(&token), JwtError::Encoding);
    }
    assert!(count >= 15, "{count}");
}

/// A05, row 57: claims that stand there twice, and depth, with our signature.
#[test]
fn a05_duplicates_and_depth() {
    for claims in [
        r#"{"sub":"1","sub":"2","exp":1900000000}"#.to_owned(),
        r#"{"exp":1,"exp":1900000000}"#.to_owned(),
        r#"{"exp":1900000000,"\u0065xp":1900000000}"#.to_owned(),
        r#"{"exp":1900000000,"a":{"b":1,"b":2}}"#.to_owned(),
        r#"{"exp":1900000000,"a":[{"b":1,"b":2}]}"#.to_owned(),
        format!(r#"{{"exp":1900000000,"a":{}1{}}}"#, "[".repeat(1_000), "]".repeat(1_000)),
        format!(r#"{{"exp":1900000000,"a":{}1{}}}"#, "{\"a\":".repeat(1_000), "}".repeat(1_000)),
        format!(r#"{{"exp":1900000000,"a":{}"#, "[".repeat(5_000)),
        format!(r#"{{"exp":1900000000,"a":{}1{}}}"#, "[".repeat(8), "]".repeat(8)),
        "[]".to_owned(),
        "\"a\"".to_owned(),
        String::new(),
    ] {
        let shown: String = claims.chars().take(60).collect();
        assert_eq!(refused(&with_claims(&claims)), JwtError::Claims, "{shown}");
    }
    let shallow = format!(r#"{{"exp":1900000000,"a":{}1{}}}"#, "[".repeat(7), "]".repeat(7));
    assert!(JwtVerifier::new(secret()).verify(&with_claims(&shallow), at(NOW)).is_ok());
    assert_eq!(
        refused(&signed(HEADER, b"{\"exp\":1900000000,\"a\":\"\xff\"}", &SECRET)),
        JwtError::Claims
    );
}

/// Row 58: every bit of a token counts.
#[test]
fn every_bit_counts() {
    let verifier = JwtVerifier::new(secret());
    let tokens = [good(), token(&json!({ "sub": "42", "name": "Ann", "exp": NOW + 60 }))];
    for token in tokens {
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(flipped) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(verifier.verify(&flipped, at(NOW)).is_err(), "bit {bit}");
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Any change of a byte of a good token is refused.
    #[test]
    fn any_changed_byte_is_refused(at_byte: prop::sample::Index, byte in 0u8..128, claims in json_value()) {
        let token = token(&json!({ "exp": NOW + 60, "any": claims }));
        prop_assume!(token.len() <= 8192);
        let verifier = JwtVerifier::new(secret());
        prop_assert!(verifier.verify(&token, at(NOW)).is_ok());
        let mut bytes = token.clone().into_bytes();
        let place = at_byte.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(verifier.verify(&changed, at(NOW)).is_err());
    }

    /// Any value for a claim that we look at is taken or refused, and a time that is taken is good.
    #[test]
    fn any_claim_never_panics(name in "exp|nbf|iat|sub|aud|iss|name|roles", value in json_value()) {
        let mut claims = json!({ "sub": "42", "exp": NOW + 60 });
        claims[name.as_str()] = value.clone();
        let verdict = JwtVerifier::new(secret()).verify(&token(&claims), at(NOW));
        if name == "exp" && verdict.is_ok() {
            let exp = value.as_f64().unwrap();
            prop_assert!(exp > (NOW - 30) as f64 && exp < 253_402_300_800.0);
        }
        if let Ok(claims) = verdict {
            let _ = Identity::from_claims(claims);
        }
    }

    /// Any header and any payload, signed by us, never panic; nor does any text.
    #[test]
    fn anything_signed_never_panics(header: String, payload: Vec<u8>, text: String) {
        let verifier = JwtVerifier::new(secret());
        prop_assert!(verifier.verify(&signed(&header, &payload, &SECRET), at(NOW)).is_err());
        prop_assert!(verifier.verify(&text, at(NOW)).is_err());
        prop_assert!(verifier.verify(&signed(HEADER, &payload, &SECRET), at(NOW)).is_err());
    }
}
