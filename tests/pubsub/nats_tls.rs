//! Floor 8: TLS between a bus and NATS, with the real program and fakes of it.

#![cfg(all(unix, feature = "nats", feature = "ring"))]

use std::fs;

use sockeye::pubsub::nats::Nats;
use sockeye::pubsub::{Broker, Bus, PubSubErrorKind};

use crate::support::nats::{Fake, INFO, LOGIN, PASSWORD, Server, USER, temporary};
use crate::support::pubsub::{config, conforms, listening, message};
use crate::support::server::within;
use crate::support::tls::Authority;

const WANTS_TLS: &str = "INFO {\"tls_required\":true}\r\n";

/// A server with a certificate of this authority.
async fn start(authority: &Authority) -> Option<Server> {
    let (chain, key) = (temporary("pem"), temporary("key"));
    let issued = authority.issue(&["localhost", "127.0.0.1"]);
    fs::write(&chain, issued.chain).unwrap();
    fs::write(&key, issued.key).unwrap();
    let files = format!("cert_file: {chain:?}, key_file: {key:?}, timeout: 10");
    let server = Server::start(&format!("{LOGIN}tls {{ {files} }}\n")).await;
    fs::remove_file(chain).unwrap();
    fs::remove_file(key).unwrap();
    server
}

/// BY-40: by `tls://`, and by `nats://` where the server asks for it.
#[tokio::test]
async fn nats_conforms_by_tls() {
    let authority = Authority::new();
    let Some(server) = start(&authority).await else { return };
    let port = server.address().port();
    let by = |scheme: &str| {
        let url = format!("{scheme}://localhost:{port}");
        Nats::new(&url).unwrap().user_and_password(USER, PASSWORD).tls(authority.connector())
    };
    conforms(by("tls")).await;
    let (bus, mut events) = listening(by("nats"), config(), &["c"]).await;
    bus.publish("c", "within TLS").unwrap();
    assert_eq!(message(&mut events).await.1, "within TLS");
}

/// A59: a server that is somebody else is not told who we are.
#[tokio::test]
async fn a59_somebody_elses_certificate() {
    let Some(server) = start(&Authority::new()).await else { return };
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://{USER}:{PASSWORD}@{}", server.address());
        let broker = Nats::new(&url).unwrap().tls(Authority::new().connector());
        let Err(error) = within(broker.connect()).await else { panic!("it is trusted") };
        assert_eq!(error.kind(), PubSubErrorKind::Unreachable);
        let texts = format!("{error:?} {error}");
        assert!(texts.contains("not trusted") && !texts.contains(PASSWORD), "{texts}");
    }
}

/// A59: who asks for TLS tells nothing to a server that has none, to one that speaks before it, and to one that breaks it
/// off.
#[tokio::test]
async fn a59_nothing_is_told_outside_of_tls() {
    let early = format!("{WANTS_TLS}PONG\r\n");
    for (scheme, first, kind) in [
        ("tls", INFO, PubSubErrorKind::Setting),
        ("tls", &early, PubSubErrorKind::Answer),
        ("nats", &early, PubSubErrorKind::Answer),
        ("nats", WANTS_TLS, PubSubErrorKind::Unreachable),
        ("tls", "INFO {\"tls_available\":true}\r\n", PubSubErrorKind::Unreachable),
    ] {
        let fake = Fake::start(first, "").await;
        let url = format!("{scheme}://{USER}:{PASSWORD}@{}", fake.address);
        let broker = Nats::new(&url).unwrap().tls(Authority::new().connector());
        let Err(error) = within(broker.connect()).await else { panic!("it is trusted") };
        assert_eq!(error.kind(), kind, "{scheme} {first} {error:?}");
        fake.has_ended(1).await;
        let heard = fake.heard("").await;
        assert!(!heard.contains("CONNECT") && !heard.contains(PASSWORD), "{heard}");
        let (bus, _events) = Bus::start(broker, config());
        assert_eq!(crate::support::brokers::down_by(&bus).await, kind);
    }
}
