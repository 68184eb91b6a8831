//! An application on several listeners at once. Over real sockets.

#![cfg(all(unix, feature = "app"))]

use std::io::ErrorKind;

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use sockeye::app::{App, AppError, Context};
use sockeye::handshake::{ForwardedHeader, HandshakeError, TrustedProxies};
use sockeye::hub::Hub;
use sockeye::hub::limits::Limits;
use sockeye::{Connector, Error, Server};

use crate::support::app::{AppClient, AppSite};
use crate::support::pair::quiet;
use crate::support::server::within;

fn app() -> App {
    App::new()
        .on("join", async |context: Context, _: Value| {
            context.join("lobby").unwrap();
            json!({"session": context.session_id()})
        })
        .on("say", async |context: Context, payload: Value| {
            context.to_room("lobby").send("said", &payload).unwrap();
        })
}

async fn joined(connector: Connector, url: &str) -> AppClient {
    let mut client = AppClient { socket: within(connector.connect(url)).await.unwrap() };
    client.created().await;
    client.send("join", json!({})).await;
    client.expect("join.ack").await;
    client
}

/// SV-01, SV-02, SV-05, BY-27: two addresses and a Unix socket are one application: who comes by one of them hears who
/// comes by another, and a stop ends all.
#[tokio::test]
async fn sv_02_several_listeners_are_one_application() {
    let path = std::env::temp_dir().join(format!("sockeye-app-{}.sock", std::process::id()));
    let app = app()
        .listen(within(Server::bind("127.0.0.1:0")).await.unwrap())
        .listen(within(Server::bind("127.0.0.1:0")).await.unwrap())
        .listen_unix(&path);
    let running = within(app.start()).await.unwrap();
    assert_eq!(running.local_addrs().len(), 2, "the Unix socket has none");
    let urls: Vec<_> = running.local_addrs().iter().map(|at| format!("ws://{at}/ws")).collect();
    let mut clients = Vec::new();
    for url in urls.iter().chain([&format!("ws+unix://{}:/ws", path.display())]) {
        clients.push(joined(Connector::new(quiet()), url).await);
    }
    clients[2].send("say", json!({"n": 1})).await;
    for client in &mut clients {
        assert_eq!(client.expect("said").await, json!({"n": 1}));
    }
    let refused = App::new().listen_unix(&path).start().await;
    match refused {
        Err(AppError::Io(error)) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
        other => panic!("{other:?}"),
    }
    let taken = running.local_addrs()[0];
    match App::new().host("127.0.0.1").port(taken.port()).start().await {
        Err(AppError::Io(error)) => {
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().starts_with(&format!("{taken}: ")), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let site = AppSite { running };
    let ended = async {
        for client in &mut clients {
            assert_eq!(u16::from(client.ended().await.code), 1001);
        }
    };
    let (report, ()) = tokio::join!(site.stop(), ended);
    assert_eq!((report.told, report.left), (3, 0));
    assert!(!path.exists());
}

/// A10, BY-27: behind a proxy at a Unix socket limits go by the address that it writes, where the hub believes it; else
/// nobody there has one.
#[tokio::test]
async fn a10_behind_a_proxy_at_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("sockeye-proxy-{}.sock", std::process::id()));
    let url = format!("ws+unix://{}:/ws", path.display());
    for (trusted, third) in [("unix:", Some(429)), ("127.0.0.1", None)] {
        let mut limits = Limits::default();
        limits.connections_per_address_max = Some(1);
        let proxies = TrustedProxies::parse([trusted]).unwrap();
        let hub = Hub::builder().limits(limits).behind(proxies, ForwardedHeader::XForwardedFor);
        let running = within(app().hub(hub).listen_unix(&path).start()).await.unwrap();
        let from = async |client: &'static str| {
            let connector = Connector::new(quiet());
            let connector = connector.header(
                HeaderName::from_static("x-forwarded-for"),
                HeaderValue::from_static(client),
            );
            within(connector.connect(&url)).await
        };
        let first = from("203.0.113.9").await.unwrap();
        let other = from("6.6.6.6, 203.0.113.10").await.unwrap();
        let again = from("203.0.113.9").await;
        let status = again.as_ref().err().and_then(|error| match error {
            Error::Handshake(HandshakeError::UnexpectedStatus(refused)) => {
                Some(refused.status().as_u16())
            }
            _ => None,
        });
        assert_eq!(status, third, "{trusted}: {again:?}");
        drop((first, other, again));
        AppSite { running }.stop().await;
    }
}

#[cfg(feature = "ring")]
mod tls {
    use super::*;
    use crate::support::tls::Authority;

    /// SV-02, AU-13: TLS beside TCP.
    #[tokio::test]
    async fn sv_02_tls_is_one_of_them() {
        let authority = Authority::new();
        let bound = within(Server::bind("127.0.0.1:0")).await.unwrap();
        let app = app().host("127.0.0.1").listen(bound.tls(authority.here()));
        let plain = within(Server::bind("127.0.0.1:0")).await.unwrap();
        let running = within(app.listen(plain).start()).await.unwrap();
        let [secure, plain] = running.local_addrs() else { panic!("two addresses") };
        let by_tls = Connector::new(quiet()).tls(authority.connector());
        let mut ann = joined(by_tls, &format!("wss://{secure}/ws")).await;
        let mut bob = joined(Connector::new(quiet()), &format!("ws://{plain}/ws")).await;
        ann.send("say", json!({"n": 2})).await;
        assert_eq!(bob.expect("said").await, json!({"n": 2}));
        assert_eq!(ann.expect("said").await, json!({"n": 2}));
    }
}
