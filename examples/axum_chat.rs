//! A chat in axum, written against axum's own `ws`: but for one line nothing in it is of this crate.
//!
//! ```text
//! cargo run --release --example axum_chat --features axum
//! cargo run --release --example wscat -- ws://127.0.0.1:8080/chat/ann
//! ```
//!
//! `/echo` sends back what comes.

#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/stop.rs"]
mod stop;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{Html, Response};
use axum::routing::{any, get};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

// With axum's own: use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use sockeye::axum::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};

/// Most messages a slow member may be behind.
const BEHIND_MAX: usize = 64;

const PAGE: &str = "<!doctype html><title>chat</title><ul id=said></ul><form><input id=text autofocus></form><script>
const socket = new WebSocket(`ws://${location.host}/chat/browser`);
socket.onmessage = ({data}) => said.appendChild(document.createElement('li')).textContent = data;
document.forms[0].onsubmit = () => { socket.send(text.value); text.value = ''; return false; };
</script>";

/// What was said, for all who are there.
#[derive(Clone)]
struct Chat {
    said: broadcast::Sender<Utf8Bytes>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [port] = numbers::numbers([("--port", 8080)]);
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/echo", any(echo))
        .route("/chat/{name}", any(chat))
        .with_state(Chat { said: broadcast::Sender::new(BEHIND_MAX) });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let stopped = stop::asked();
    println!("listening on ws://{}", listener.local_addr()?);
    axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
    Ok(())
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["echo"]).max_message_size(1 << 20).on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Text(_) | Message::Binary(_))
                && socket.send(message).await.is_err()
            {
                break;
            }
        }
    })
}

async fn chat(
    upgrade: WebSocketUpgrade,
    Path(name): Path<String>,
    State(chat): State<Chat>,
) -> Response {
    upgrade
        .max_message_size(4096)
        .on_failed_upgrade(|error| eprintln!("no connection: {error}"))
        .on_upgrade(move |socket| take_part(socket, name, chat))
}

/// Hears and speaks until one of both has an end.
async fn take_part(socket: WebSocket, name: String, chat: Chat) {
    let mut heard = chat.said.subscribe();
    let (mut sender, mut receiver) = socket.split();
    let _ = chat.said.send(format!("{name} is here").into());
    let speak = async {
        while let Some(Ok(message)) = receiver.next().await {
            match message {
                Message::Text(text) if text == "bye" => break,
                Message::Text(text) => {
                    let _ = chat.said.send(format!("{name}: {text}").into());
                }
                Message::Close(_) => break,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    };
    let hear = async {
        while let Ok(text) = heard.recv().await {
            if sender.send(Message::Text(text)).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = speak => {}
        () = hear => {}
    }
    let _ = chat.said.send(format!("{name} has left").into());
    let goodbye = CloseFrame { code: close_code::NORMAL, reason: "bye".into() };
    let _ = sender.send(Message::Close(Some(goodbye))).await;
}
