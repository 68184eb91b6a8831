//! One node.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::json;
use sockeye::app::{App, Running};
use sockeye::handshake::{ForwardedHeader, Origin, Origins};
use sockeye::http::HeaderValue;
use sockeye::http::header::CONTENT_SECURITY_POLICY;
use sockeye::hub::Shutdown;
use sockeye::pubsub::BusState;
use sockeye::{Acceptor, Server};

use super::children::parent_is_gone;
use super::doors::Doors;
use super::fleet::Ended;
use super::options::Node;
use super::{app, panel, people, stop};

/// The part of the time to go over which connections are told: each then has the rest of it.
const SPREAD: f64 = 0.5;

pub(crate) async fn run(node: Node) -> Ended {
    let server = Server::bind(node.addr).await?;
    let addr = server.local_addr()?;
    let running = node.broker.join(build(&node)?)?.listen(server).start().await?;
    let stopped = stop::asked();
    println!("node {} is at http://{addr}/", node.number);
    let is_child = node.is_child;
    let parent =
        async || if is_child { parent_is_gone().await } else { std::future::pending().await };
    let drains = tokio::select! {
        () = stopped => true,
        drains = parent() => drains,
        never = tell_of_broker(&running, node.number) => match never {},
        never = panel::run(running.hub()) => match never {},
    };
    // From here on nobody new is let in, which is how a balancer sees it. Whoever is here is told, and goes elsewhere; a node
    // that drains is there until all of them have their sessions there.
    let shutdown = Shutdown::new(node.drain.max(Duration::from_secs(1)));
    let shutdown = shutdown.spread(node.drain.mul_f64(SPREAD));
    if drains {
        running.drain(shutdown).await?
    } else {
        running.stop(shutdown).await?
    };
    Ok(())
}

fn build(node: &Node) -> Result<App, Box<dyn std::error::Error>> {
    let mut hub = app::hub();
    if let Some(proxies) = &node.by_header {
        hub = hub.behind(proxies.clone(), ForwardedHeader::XForwardedFor);
    }
    let mut app = app::app(hub, node.away, include_str!("site.js"))
        .state(Doors)
        .authenticator(people::guests())
        .require_auth()
        .health("/healthz")
        .page("/nodes.js", app::SCRIPT, nodes(node));
    if let Some(proxies) = &node.by_protocol {
        app = app.acceptor(Acceptor::default().proxy_protocol(proxies.clone()));
    }
    if !node.urls.is_empty() {
        let origins = node.urls.iter().map(|url| origin(url).parse::<Origin>());
        app = app.origins(Origins::List(origins.collect::<Result<_, _>>()?));
        app = app.page_header(CONTENT_SECURITY_POLICY, policy(&node.urls)?);
    }
    Ok(app)
}

/// What the page is told of where it may connect, this node first.
fn nodes(node: &Node) -> String {
    let numbers = node.number..;
    let count = node.urls.len().max(1);
    let known = node.urls.iter().zip(numbers).map(|(url, number)| {
        let number = (number - 1) % count + 1;
        json!({"name": format!("node {number}"), "url": url})
    });
    let mut known: Vec<_> = known.collect();
    if known.is_empty() {
        // Behind a balancer they are all the same.
        known.push(json!({"name": "", "url": "/chat"}));
    }
    format!("export const nodes = {};\n", json!(known))
}

/// Of the page that a node serves.
fn origin(url: &str) -> String {
    let origin = url.strip_suffix("/chat").unwrap_or(url);
    origin.replacen("ws", "http", 1)
}

/// As pages are sent by default, but they may connect to the other nodes.
fn policy(urls: &[String]) -> Result<HeaderValue, sockeye::http::header::InvalidHeaderValue> {
    let policy = format!(
        "default-src 'self'; connect-src 'self' {}; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        urls.join(" ")
    );
    policy.try_into()
}

/// Says when the broker goes and comes, for as long as the node runs.
async fn tell_of_broker(running: &Running, number: usize) -> Infallible {
    let Some(mut state) = running.hub().cluster().state() else {
        return std::future::pending().await;
    };
    let mut was_up = true;
    while state.changed().await.is_ok() {
        let (is_up, told) = match &*state.borrow_and_update() {
            BusState::Up { .. } => (true, "is back".to_owned()),
            BusState::Down { kind, .. } => {
                (false, format!("is away ({kind:?}): only those here are heard"))
            }
            _ => continue,
        };
        if is_up != was_up {
            eprintln!("node {number}: the broker {told}");
        }
        was_up = is_up;
    }
    std::future::pending().await
}
