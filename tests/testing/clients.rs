//! Clients that say what they expect.

use std::time::Duration;

use sockeye::testing::{Faults, Pair, TestClient, TestServer, TestStream, Valve};
use sockeye::{Acceptor, Answer, Config, Deflate, Origins, Server, WebSocket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::broken::failure;

async fn echo<S>(mut socket: WebSocket<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

fn server() -> TestServer {
    let acceptor = Acceptor::default().on_request(|request| async move {
        match request.path() {
            "/ws" => Answer::accept(),
            "/page" => Answer::respond(http::StatusCode::OK, "text/plain", "a page"),
            _ => Answer::refuse(http::StatusCode::NOT_FOUND, "not here"),
        }
    });
    TestServer::new(acceptor, |socket, _| echo(socket))
}

/// A client, and its peer played by the test.
fn played() -> (TestClient<TestStream>, WebSocket<TestStream>, Valve) {
    let (client, server) = Pair::new().streams();
    let valve = server.valve();
    let config = std::sync::Arc::new(Config::default());
    let server = WebSocket::from_stream(server, sockeye::Role::Server, &config);
    let client = WebSocket::from_stream(client, sockeye::Role::Client, &config);
    (TestClient::new(client).named("ann"), server, valve)
}

/// TE-07: in memory, with a real handshake, and on a port.
#[tokio::test]
async fn clients_are_served_in_memory_and_on_a_port() {
    let server = server();
    let mut client = server.connect("/ws").await;
    client.send_text("hello").await;
    client.expect_text("hello").await;
    client.send_binary(vec![1, 2, 3]).await;
    client.expect_binary(&[1, 2, 3]).await;
    assert_eq!(u16::from(client.close(1000, "bye").await.code), 1000);
    let mut client = server.open("/ws").faults(Faults::rough(5)).connect().await;
    client.send("rough").await;
    assert_eq!(client.next_text().await.as_str(), "rough");
    let ends = async { tokio::join!(server.stop(), client.expect_close(1001)) };
    tokio::time::timeout(Duration::from_secs(30), ends).await.unwrap();

    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/?token=secret", server.local_addr().unwrap());
    let serving = tokio::spawn(server.serve(|socket, _| echo(socket)));
    let mut client = TestClient::connect(&url).await;
    client.send_text("hello").await;
    client.expect_text("hello").await;
    assert!(!format!("{client:?}").contains("secret"));
    serving.abort();
    client.expect_close(1001).await;
}

/// TE-07: pages and refusals are seen without a socket.
#[tokio::test]
async fn pages_and_refusals_are_seen() {
    let server = server();
    let page = server.get("/page").await;
    assert_eq!((page.status().as_u16(), page.body().as_ref()), (200, &b"a page"[..]));
    assert_eq!(server.get("/ws").await.status().as_u16(), 426);
    let refused = server.open("/no").expect_refusal(404).await;
    assert_eq!(refused.body(), b"not here");
    server.open("/ws").origin("https://evil.example").expect_refusal(403).await;

    let said = failure(async { drop(server.open("/no?token=s3cret").connect().await) }).await;
    assert!(said.contains("/no: not let in: 404 Not Found \"not here\""), "{said}");
    assert!(said.starts_with("tests/testing/clients.rs:") && !said.contains("s3cret"), "{said}");
    let said = failure(async { drop(server.open("/no").expect_refusal(401).await) }).await;
    assert!(said.contains("/no: expected 401, but not so: 404"), "{said}");
    let said = failure(async { drop(server.open("/ws").expect_refusal(401).await) }).await;
    assert!(said.contains("/ws: expected 401, but it was let in"), "{said}");
}

/// TE-07: who the client is reaches the server.
#[tokio::test]
async fn the_server_sees_who_comes() {
    let acceptor = Acceptor::default().origins(Origins::Any);
    let server = TestServer::new(acceptor, |mut socket, request| async move {
        let seen = format!("{:?} {:?}", request.bearer_token(), request.peer_addr());
        let _ = socket.send(seen).await;
        while let Ok(Some(_)) = socket.recv().await {}
    });
    let opening = server.open("/").token("t0ken").from(([10, 0, 0, 1], 5).into());
    opening.connect().await.expect_text("Some(\"t0ken\") Some(10.0.0.1:5)").await;
}

/// TE-08: an expectation that does not hold says where it stands, what it expected, and what came.
#[tokio::test(start_paused = true)]
async fn broken_expectations_say_so() {
    let (mut ann, mut peer, _valve) = played();
    let line = line!() + 1;
    let broken = failure(ann.expect_text("hello"));
    let (said, sent) = tokio::join!(broken, peer.send("no"));
    sent.unwrap();
    let start = format!("tests/testing/clients.rs:{line}:");
    assert!(said.starts_with(&start), "{said}");
    assert!(said.ends_with("ann: expected the text \"hello\", but the text \"no\" came"), "{said}");

    peer.send(vec![0xab_u8; 3]).await.unwrap();
    let said = failure(async { drop(ann.next_text().await) }).await;
    assert!(said.contains("but 3 bytes binary that begin with [ab, ab, ab] came"), "{said}");
    peer.send("text").await.unwrap();
    let said = failure(ann.expect_binary(b"abc")).await;
    assert!(said.contains("expected 3 bytes binary that begin with [61, 62, 63]"), "{said}");
    peer.send("x".repeat(5000)).await.unwrap();
    let said = failure(ann.expect_text("y")).await;
    assert!(said.ends_with("xxx\"... of 5000 bytes came") && said.len() < 500, "{said}");
    peer.send("early").await.unwrap();
    let said = failure(ann.expect_nothing_for(Duration::from_secs(9))).await;
    assert!(said.contains("expected nothing for 9s, but the text \"early\" came"), "{said}");
}

/// TE-08: the end is told with its code, and a lost connection with 1006.
#[tokio::test(start_paused = true)]
async fn the_end_is_expected_by_its_code() {
    let (mut ann, mut peer, _valve) = played();
    peer.send("before").await.unwrap();
    let (outcome, closed) = tokio::join!(ann.expect_close(1008), peer.close(1008, "rules"));
    assert_eq!(outcome.reason.as_str(), "rules");
    closed.unwrap();
    let said = failure(ann.expect_text("x")).await;
    assert!(said.contains("but the connection ended with 1008 \"rules\""), "{said}");
    let said = failure(async { drop(ann.expect_close(1000).await) }).await;
    assert!(
        said.contains("expected the end with 1000, but the connection ended with 1008"),
        "{said}"
    );

    let (mut ann, _peer, valve) = played();
    valve.cut();
    drop(_peer);
    ann.expect_close(1006).await;
    let said = failure(ann.send_text("late")).await;
    assert!(said.contains("ann: cannot send: "), "{said}");
}

/// TE-09: nothing waits longer than its deadline, which is in the time of tokio.
#[tokio::test(start_paused = true)]
async fn nothing_waits_for_ever() {
    let (ann, _peer, _valve) = played();
    let mut ann = ann.deadline(Duration::from_secs(3));
    let began = Instant::now();
    let said = failure(ann.expect_text("x")).await;
    assert!(said.ends_with("expected the text \"x\", but nothing came in 3s"), "{said}");
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    let said = failure(async { drop(ann.expect_close(1000).await) }).await;
    assert!(said.ends_with("but the connection was open after 3s"), "{said}");
    let said = failure(async { drop(ann.close(1000, "").await) }).await;
    assert!(said.ends_with("not closed in 3s"), "{said}");

    let (client, _silent) = Pair::new().capacity(100).open();
    let mut ann = TestClient::new(client).deadline(Duration::from_secs(3));
    let said = failure(ann.send_text("x".repeat(1000))).await;
    assert!(said.ends_with("not sent in 3s"), "{said}");
}

/// TE-09: silence is expected in virtual time, and costs none.
#[tokio::test(start_paused = true)]
async fn silence_is_expected_without_waiting() {
    let (mut ann, mut peer, _valve) = played();
    let real = std::time::Instant::now();
    ann.expect_nothing_for(Duration::from_secs(20)).await;
    peer.send("now").await.unwrap();
    ann.expect_text("now").await;
    assert!(real.elapsed() < Duration::from_secs(10));
}

/// TE-10: a pair agrees on compression by its handshake, and on nothing without one.
#[tokio::test]
async fn a_pair_agrees_on_compression() {
    let text = "again and again and ".repeat(100);
    let mut lengths = Vec::new();
    for deflate in [Deflate::disabled(), Deflate::context_takeover()] {
        let (client, mut server) = Pair::new().deflate(deflate).connect().await;
        let mut client = TestClient::new(client);
        client.send_text(text.as_str()).await;
        assert_eq!(server.recv().await.unwrap(), Some(text.as_str().into()));
        lengths.push(client.socket().response().map(|response| response.headers().len()));
    }
    assert!(lengths[1] > lengths[0], "{lengths:?}: the answer names an extension");
}

/// TE-10: JSON is compared as values.
#[cfg(feature = "json")]
#[tokio::test]
async fn json_is_compared_by_value() {
    use serde_json::json;
    let server = server();
    let mut client = server.connect("/ws").await;
    client.send_text(r#"{"b":[1],"a":"x"}"#).await;
    client.expect_json(&json!({"a": "x", "b": [1]})).await;
    client.send_json(&json!({"n": 1})).await;
    assert_eq!(client.next_json().await["n"], 1);
    client.send_json(&json!({"n": 1})).await;
    let said = failure(client.expect_json(&json!({"n": 2}))).await;
    assert!(said.ends_with(r#"expected {"n":2}, but {"n":1} came"#), "{said}");
    client.send_text("{").await;
    let said = failure(async { drop(client.next_json().await) }).await;
    assert!(said.ends_with("expected JSON, but the text \"{\" came"), "{said}");
}
