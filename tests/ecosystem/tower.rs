//! Doors as services and layers, in routers of axum's.

#![cfg(all(feature = "tower", feature = "axum", feature = "app"))]

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, ORIGIN};
use http::{Extensions, Request};
use http_body_util::{BodyExt as _, Empty};
use serde_json::{Value, json};
use sockeye::app::{App, Context, Route, Running, authenticated};
use sockeye::auth::{AuthError, Authenticator, Credentials, Identity, authenticate_fn};
use sockeye::handshake::{ForwardedHeader, Offer, TrustedProxies};
use sockeye::hub::Hub;
use sockeye::hub::limits::Limits;
use sockeye::hyper::ExtendedConnect;
use sockeye::tower::{DoorLayer, DoorService};
use sockeye::{Connector, NetStream, WebSocket};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::serving::{Http2, refusal};
use crate::support::app::{AppClient, AppSite};
use crate::support::pair::quiet;
use crate::support::server::within;

/// A router with pages of axum's, and an application in it.
struct Site {
    address: SocketAddr,
    app: AppSite,
    _tasks: JoinSet<()>,
}

impl Site {
    async fn start(app: App, mount: impl FnOnce(&Running) -> Router) -> Self {
        let running = within(app.attach()).await.unwrap();
        let router = mount(&running);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tasks.spawn(async { axum::serve(listener, service).await.unwrap() });
        Self { address, app: AppSite { running }, _tasks: tasks }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    async fn socket(&self, connector: &Connector, path: &str) -> WebSocket<NetStream> {
        within(connector.connect(&self.url(path))).await.unwrap()
    }

    async fn refused(&self, connector: &Connector, path: &str) -> u16 {
        refusal(within(connector.connect(&self.url(path))).await).status().as_u16()
    }

    /// Status and body of a page, over HTTP/2.
    async fn page(&self, path: &str) -> (u16, String) {
        let mut http2 = Http2::connect(self.address).await;
        let request = Request::get(format!("http://{}{path}", self.address));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = within(http2.requests.send_request(request)).await.unwrap();
        let status = response.status().as_u16();
        let body = within(response.into_body().collect()).await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

fn connect_info(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
}

fn by_token() -> impl Authenticator {
    authenticate_fn(async |credentials: Credentials| match credentials.token() {
        None => Err(AuthError::Missing),
        Some(user) => Ok(Identity::new(user)),
    })
}

async fn who(context: Context, _: Value) -> Value {
    json!({"user": context.user_id()})
}

fn app() -> App {
    App::new()
        .authenticator(by_token())
        .on("who", who)
        .route("/members", Route::events().guard(authenticated()).on("who", who))
        .health("/healthz")
}

fn with(name: HeaderName, value: &str) -> Connector {
    Connector::new(quiet()).header(name, value.parse().unwrap())
}

/// TW-01: an application on paths of a router, beside pages of axum's, over both versions of HTTP: its guards, users, origins
/// and pages hold, and its stop closes all that came in.
#[tokio::test]
async fn an_application_is_mounted_on_paths() {
    let site = Site::start(app(), |running| {
        let sockets = DoorService::new(running.door()).peer_addr(connect_info);
        Router::new()
            .route("/", get(async || "a page of axum's"))
            .route_service("/ws", sockets.clone())
            .route_service("/members", sockets.clone())
            .route_service("/healthz", sockets)
    })
    .await;
    assert_eq!(site.page("/").await, (200, "a page of axum's".to_owned()));
    assert_eq!(site.page("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(site.page("/ws").await.0, 426);
    let nobody = Connector::new(quiet());
    assert_eq!(site.refused(&nobody, "/members").await, 401);
    assert_eq!(site.refused(&with(ORIGIN, "https://evil.test"), "/ws").await, 403);
    assert_eq!(site.refused(&nobody, "/elsewhere").await, 404);
    let ann = with(AUTHORIZATION, "Bearer ann");
    let one = site.socket(&ann, "/members").await;
    let token = Offer::default().header(AUTHORIZATION, HeaderValue::from_static("Bearer ann"));
    let connect = ExtendedConnect::new(quiet()).offer(token);
    let mut http2 = Http2::connect(site.address).await;
    let two = http2.open(&connect, "/members").await.unwrap();
    let mut clients = [AppClient { socket: one }, AppClient { socket: two }];
    for client in &mut clients {
        client.created().await;
        client.send("who", json!({})).await;
        assert_eq!(client.expect("who.ack").await, json!({"user": "ann"}));
    }
    let [mut one, mut two] = clients;
    let address = site.address;
    let (report, first, second) = tokio::join!(site.app.stop(), one.ended(), two.ended());
    assert_eq!((report.told, report.left), (2, 0));
    assert_eq!((u16::from(first.code), u16::from(second.code)), (1001, 1001));
    let late = within(nobody.connect(&format!("ws://{address}/ws"))).await;
    assert_eq!(refusal(late).status(), 503);
}

/// TW-02: a layer takes WebSockets, on every path, to the application, and leaves the rest to the router.
#[tokio::test]
async fn a_layer_takes_the_websockets() {
    let site = Site::start(app(), |running| {
        Router::new()
            .route("/ws", get(async || "a page on the same path"))
            .layer(DoorLayer::new(running.door()).peer_addr(connect_info))
    })
    .await;
    assert_eq!(site.page("/ws").await, (200, "a page on the same path".to_owned()));
    assert_eq!(
        site.page("/healthz").await.0,
        404,
        "a page of the application's is none of the router's"
    );
    let ann = with(AUTHORIZATION, "Bearer ann");
    let mut client = AppClient { socket: site.socket(&ann, "/members").await };
    client.created().await;
    let nobody = Connector::new(quiet());
    assert_eq!(site.refused(&nobody, "/members").await, 401);
    let mut http2 = Http2::connect(site.address).await;
    let connect = ExtendedConnect::new(quiet());
    let mut over_http2 = AppClient { socket: http2.open(&connect, "/ws").await.unwrap() };
    over_http2.created().await;
    assert_eq!(refusal(http2.open(&connect, "/nowhere").await).status(), 404);
    let (report, ended) = tokio::join!(site.app.stop(), client.ended());
    assert_eq!(report.told, 2);
    assert_eq!(u16::from(ended.code), 1001);
}

/// TW-03: the peer's address is the one that axum knows, and what a trusted proxy says of its client holds; without an address
/// nobody is trusted.
#[tokio::test]
async fn proxies_are_trusted_by_the_address_that_axum_knows() {
    for (is_known, third) in [(true, 429), (false, 101)] {
        let proxies = TrustedProxies::parse(["127.0.0.1"]).unwrap();
        let mut limits = Limits::default();
        limits.connections_per_address_max = Some(2);
        let hub = Hub::builder().limits(limits).behind(proxies, ForwardedHeader::XForwardedFor);
        let site = Site::start(App::new().hub(hub), |running| {
            let sockets = DoorService::new(running.door());
            let sockets = if is_known { sockets.peer_addr(connect_info) } else { sockets };
            Router::new().route_service("/ws", sockets)
        })
        .await;
        let client = with(HeaderName::from_static("x-forwarded-for"), "203.0.113.7");
        let other = with(HeaderName::from_static("x-forwarded-for"), "203.0.113.8");
        let _first = [site.socket(&client, "/ws").await, site.socket(&client, "/ws").await];
        let again = within(client.connect(&site.url("/ws"))).await;
        let status = again.map_or_else(
            |error| refusal(Err::<(), _>(error)).status().as_u16(),
            |socket| socket.response().unwrap().status().as_u16(),
        );
        assert_eq!(status, third, "{is_known}");
        drop(site.socket(&other, "/ws").await);
    }
}
