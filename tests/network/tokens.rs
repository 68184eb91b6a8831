//! Nodes whose clocks differ.

use std::time::{Duration, SystemTime};

use serde_json::json;
use sockeye::app::App;
use sockeye::auth::{
    AuthError, Credentials, Identity, JwtSigner, JwtVerifier, Secret, authenticate_fn,
};
use sockeye::{Config, Error, HandshakeError};

use crate::world::{Ended, connector, listen, network, pass, play, with_seeds};

/// How long a token is good, and how far clocks may be apart.
const GOOD: u64 = 60;
const LEEWAY: u64 = 30;

fn secret() -> Secret {
    Secret::new("0123456789abcdef0123456789abcdef").unwrap()
}

/// Seconds since the network began, and the clock that is so far ahead.
fn now() -> u64 {
    turmoil::sim_elapsed().unwrap().as_secs()
}

fn clock(ahead: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + now() + ahead)
}

/// A node that judges tokens by its own clock.
async fn node(ahead: u64) -> Ended {
    let verifier = JwtVerifier::new(secret());
    let by_token = authenticate_fn(move |credentials: Credentials| {
        let claims = credentials
            .token()
            .ok_or(AuthError::Missing)
            .and_then(|token| verifier.verify(token, clock(ahead)).map_err(AuthError::from));
        async move { Ok(Identity::new(claims?.subject().unwrap_or_default())) }
    });
    let running = App::new().authenticator(by_token).listen(listen().await).start().await?;
    std::future::pending::<()>().await;
    drop(running);
    Ok(())
}

/// Whether somebody with this token is let in.
async fn is_let_in(token: &str) -> bool {
    let bearer = format!("Bearer {token}").parse().unwrap();
    let connector = connector(Config::default()).header(http::header::AUTHORIZATION, bearer);
    match connector.connect("ws://node/ws").await {
        Ok(_) => true,
        Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => {
            assert_eq!(refused.status().as_u16(), 401);
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// AU-02, A55: a token that one node has signed is good on another as far as their clocks agree, to 30 s: neither before its time by the
/// clock of the one, nor after its end by that of the other.
#[test]
fn tokens_of_a_node_whose_clock_differs() {
    with_seeds(|seed, mut chance| {
        let mut sim = network(seed, 20, 600);
        let (signs, judges) = (chance.below(50), chance.below(50));
        sim.host("node", move || node(judges));
        let waits: Vec<_> = (0..12).map(|_| chance.between(1_000, 20_000)).collect();
        sim.client("client", async move {
            let signed = now() + signs;
            let times = json!({"sub": "ann", "iat": 1_000_000 + signed, "nbf": 1_000_000 + signed,
                "exp": 1_000_000 + signed + GOOD});
            let token = JwtSigner::new(secret()).sign(&times)?;
            let (mut good, mut bad) = (0, 0);
            for wait in waits {
                pass(wait).await;
                let here = now() + judges;
                let is_good = here + LEEWAY >= signed && here < signed + GOOD + LEEWAY;
                let is_near = here.abs_diff(signed + GOOD + LEEWAY) <= 1
                    || (here + LEEWAY).abs_diff(signed) <= 1;
                if is_near {
                    continue;
                }
                assert_eq!(is_let_in(&token).await, is_good, "{here} of {signed}");
                if is_good { good += 1 } else { bad += 1 }
            }
            assert!(good > 0 && bad > 0, "{good} and {bad}");
            Ok(())
        });
        play(&mut sim, Vec::new());
    });
}
