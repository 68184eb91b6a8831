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

/// Whether somebody with this token is let in there.
async fn is_let_in(node: &str, token: &str) -> bool {
    let bearer = format!("Bearer {token}").parse().unwrap();
    let connector = connector(Config::default()).header(http::header::AUTHORIZATION, bearer);
    match connector.connect(&format!("ws://{node}/ws")).await {
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
        let ahead = 1 + chance.below(50);
        let nodes = [("slow", 0), ("fast", ahead)];
        for (name, ahead) in nodes {
            sim.host(name, move || node(ahead));
        }
        // At once, and at least once in any 20 s behind.
        let mut waits = vec![Duration::ZERO];
        waits.extend((0..15).map(|_| chance.between(1_000, 20_000)));
        sim.client("client", async move {
            let begun = now();
            let tokens = nodes.map(|(_, ahead)| {
                let signed = 1_000_000 + begun + ahead;
                let times =
                    json!({"sub": "ann", "iat": signed, "nbf": signed, "exp": signed + GOOD});
                JwtSigner::new(secret()).sign(&times).unwrap()
            });
            let (mut good, mut bad) = (0, 0);
            for wait in waits {
                pass(wait).await;
                for ((_, signed_ahead), token) in nodes.iter().zip(&tokens) {
                    for (node, ahead) in nodes {
                        let (here, signed) = (now() + ahead, begun + signed_ahead);
                        let is_good = here + LEEWAY >= signed && here < signed + GOOD + LEEWAY;
                        let is_near = here.abs_diff(signed + GOOD + LEEWAY) <= 1
                            || (here + LEEWAY).abs_diff(signed) <= 1;
                        if is_near {
                            continue;
                        }
                        assert_eq!(is_let_in(node, token).await, is_good, "{here} of {signed}");
                        if is_good { good += 1 } else { bad += 1 }
                    }
                }
            }
            assert!(good > 0 && bad > 0, "{good} and {bad}");
            Ok(())
        });
        play(&mut sim, Vec::new());
    });
}
