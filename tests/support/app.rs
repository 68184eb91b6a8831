//! An application on a port, and clients that speak its events.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::app::{App, Running};
use sockeye::hub::{Shutdown, ShutdownReport};
use sockeye::{CloseOutcome, Connector, Error, HandshakeError, Message, NetStream, WebSocket};

use super::pair::quiet;
use super::server::within;

/// An application on a port of its own.
pub(crate) struct AppSite {
    pub(crate) running: Running,
}

impl AppSite {
    pub(crate) async fn start(app: App) -> Self {
        Self { running: within(app.host("127.0.0.1").port(0).start()).await.unwrap() }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("ws://{}{target}", self.running.local_addrs()[0])
    }

    pub(crate) async fn try_connect(
        &self,
        target: &str,
        token: Option<&str>,
    ) -> Result<AppClient, Error> {
        let mut connector = Connector::new(quiet());
        if let Some(token) = token {
            connector = connector
                .header(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let socket = within(connector.connect(&self.url(target))).await?;
        Ok(AppClient { socket })
    }

    /// A client that nothing has been said to.
    pub(crate) async fn silent(&self, target: &str) -> AppClient {
        self.try_connect(target, None).await.unwrap()
    }

    /// A client whose session is there.
    pub(crate) async fn connect(&self, target: &str) -> AppClient {
        let mut client = self.silent(target).await;
        client.created().await;
        client
    }

    /// One with a token.
    pub(crate) async fn login(&self, target: &str, token: &str) -> AppClient {
        let mut client = self.try_connect(target, Some(token)).await.unwrap();
        client.created().await;
        client
    }

    /// The status of a refusal.
    pub(crate) async fn status(&self, target: &str, token: Option<&str>) -> u16 {
        match self.try_connect(target, token).await {
            Err(Error::Handshake(HandshakeError::UnexpectedStatus(refused))) => {
                refused.status().as_u16()
            }
            Err(other) => panic!("{target}: {other:?}"),
            Ok(_) => panic!("{target}: let in"),
        }
    }

    /// What a plain GET gets: the status, the content type and the body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String, String) {
        let answer = self.answer(path).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, header(head, "content-type").unwrap_or_default(), body.to_owned())
    }

    /// The value of a header of what a plain GET gets.
    pub(crate) async fn header(&self, path: &str, name: &str) -> Option<String> {
        let answer = self.answer(path).await;
        header(answer.split_once("\r\n\r\n").unwrap().0, name)
    }

    async fn answer(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let address = self.running.local_addrs()[0];
        let mut stream = within(tokio::net::TcpStream::connect(address)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    pub(crate) async fn stop(self) -> ShutdownReport {
        within(self.running.stop(Shutdown::new(Duration::from_secs(5)))).await.unwrap()
    }
}

fn header(head: &str, wanted: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.next().map(|(_, value)| value.to_owned())
}

/// One client.
pub(crate) struct AppClient {
    pub(crate) socket: WebSocket<NetStream>,
}

impl AppClient {
    pub(crate) async fn text(&mut self, text: impl Into<String>) {
        within(self.socket.send(Message::text(text.into()))).await.unwrap();
    }

    pub(crate) async fn json(&mut self, value: Value) {
        self.text(value.to_string()).await;
    }

    /// Sends an event.
    pub(crate) async fn send(&mut self, event: &str, payload: Value) {
        self.json(json!({"v": "1.0", "e": event, "p": payload})).await;
    }

    /// Sends an event that wants an answer.
    pub(crate) async fn ask(&mut self, event: &str, payload: Value, id: &str) {
        self.json(json!({"v": "1.0", "e": event, "p": payload, "c": id})).await;
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Value {
        let message = within(self.socket.recv()).await.unwrap().expect("it stays open");
        serde_json::from_str(message.as_text().expect("text")).unwrap()
    }

    /// The next message that is no acknowledgement.
    pub(crate) async fn event(&mut self) -> Value {
        loop {
            let message = self.message().await;
            if message["e"] != "sys.ack" && message["type"] != "sys.ack" {
                return message;
            }
        }
    }

    /// The payload of the next event, which has this name.
    pub(crate) async fn expect(&mut self, name: &str) -> Value {
        let event = self.event().await;
        assert_eq!(event["e"], name, "{event}");
        event["p"].clone()
    }

    /// The payload of the first message.
    pub(crate) async fn created(&mut self) -> Value {
        let event = self.message().await;
        let (name, payload) = match event["e"].is_string() {
            true => (&event["e"], &event["p"]),
            false => (&event["type"], &event),
        };
        assert_eq!(name, "sys.session.created");
        payload.clone()
    }

    /// Reads to the end.
    pub(crate) async fn ended(&mut self) -> CloseOutcome {
        while let Ok(Some(_)) = within(self.socket.recv()).await {}
        self.socket.outcome().unwrap().clone()
    }
}
