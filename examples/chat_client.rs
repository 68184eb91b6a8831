//! A client of the chat (`--example chat`) for the terminal, which comes back when the server does.
//!
//! `cargo run --release --example chat_client -- ws://127.0.0.1:8080 ROOM NAME`
//!
//! Each line of the standard input is said in the room; the end of the input leaves it. What is said while
//! there is no connection is said when there is one again.

use std::error::Error;
use std::io::BufRead;

use serde::{Deserialize, Serialize};
use sockeye::client::{ReconnectingSender, Status};
use sockeye::{Config, Connector, Message};
use tokio::sync::{mpsc, watch};

/// Lines that are read ahead of the connection.
const LINES_AHEAD_MAX: usize = 16;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum ToServer {
    Message { text: String },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum FromServer {
    Joined {
        room: String,
        name: String,
        people: usize,
    },
    People {
        people: usize,
    },
    Message {
        name: String,
        text: String,
    },
    Notice {
        text: String,
    },
    #[serde(other)]
    Other,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, room, name] = &args[..] else {
        eprintln!("usage: chat_client ws://HOST:PORT ROOM NAME");
        std::process::exit(2);
    };
    let url = format!("{server}/chat?room={}&name={}", encoded(room), encoded(name));
    let (sender, mut receiver) =
        Connector::new(Config::default()).follow_redirects(5)?.reconnecting(&url)?.start();
    tokio::spawn(tell_status(sender.status()));
    tokio::spawn(say_lines(sender));
    while let Some(message) = receiver.recv().await? {
        show(&message.parse_json()?);
    }
    Ok(())
}

fn show(message: &FromServer) {
    match message {
        FromServer::Joined { room, name, people } => {
            println!("* you are {name} in {room}, with {people} people");
        }
        FromServer::People { people } => println!("* {people} people"),
        FromServer::Message { name, text } => println!("{name}: {text}"),
        FromServer::Notice { text } => println!("* {text}"),
        FromServer::Other => {}
    }
}

async fn say_lines(sender: ReconnectingSender) -> Result<(), sockeye::SendError> {
    let mut lines = lines_of_stdin();
    while let Some(text) = lines.recv().await {
        if let Ok(message) = Message::json(&ToServer::Message { text }) {
            // Closed meanwhile: the receiver says why.
            sender.send(message).await?;
        }
    }
    // 1000 may be sent.
    let _ = sender.close(1000, "");
    Ok(())
}

async fn tell_status(mut status: watch::Receiver<Status>) {
    while status.changed().await.is_ok() {
        match &*status.borrow_and_update() {
            Status::Waiting { delay, error, .. } => {
                eprintln!("* {error}; again in {:.1} s", delay.as_secs_f64());
            }
            Status::Open { connections: 2.., lost } => {
                eprintln!(
                    "* here again; what was said meanwhile is missed, {lost} of ours are lost"
                );
            }
            _ => {}
        }
    }
}

/// On a thread of its own: a terminal cannot be read without blocking, and nobody waits for the
/// thread when the connection is over.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// For a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
