//! A client of the chat (`--example chat`) for the terminal, which misses nothing when the network is gone for a while.
//!
//! `cargo run --release --example chat_client -- ws://127.0.0.1:8080 ROOM NAME`
//!
//! Each line of the standard input is said in the room; the end of the input leaves it. What is said while
//! there is no connection is said when there is one again.

#[path = "support/help.rs"]
mod help;

use std::error::Error;
use std::io::BufRead;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::Event;
use sockeye::app::client::{
    ClientOptions, ClientState, EventClient, Happening, Incoming, RequestError,
};
use sockeye::{Config, Connector};
use tokio::sync::{mpsc, watch};

/// Lines that are read ahead of the connection.
const LINES_AHEAD_MAX: usize = 16;

/// Until then a line waits for the network.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Of a server that does not know us in the room (yet).
const NOT_HERE: i32 = 409;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joined {
    room: String,
    name: String,
    members: Vec<Value>,
    last: Last,
}

/// What was said last.
#[derive(Deserialize)]
struct Last {
    events: Vec<Kept>,
}

#[derive(Deserialize)]
struct Kept {
    event: Envelope,
}

#[derive(Deserialize)]
struct Envelope {
    p: Said,
}

#[derive(Deserialize)]
struct Said {
    name: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Presence {
    person: Person,
    is_here: bool,
}

#[derive(Deserialize)]
struct Person {
    name: String,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: chat_client ws://HOST:PORT ROOM NAME";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    help::if_asked(&[USAGE]);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, room, name] = &args[..] else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    let connector = Connector::new(Config::default()).follow_redirects(5)?;
    let url = format!("{server}/chat");
    let (client, incoming) = EventClient::connect(connector, &url, ClientOptions::default())?;
    // What waits for the room to let us in waits for this, too.
    let (is_in, room_is_open) = watch::channel(false);
    let wish = json!({"room": room, "name": name});
    tokio::select! {
        ended = hear(&client, incoming, &wish, &is_in) => ended?,
        said = say_lines(&client, room, room_is_open) => said?,
        never = tell_state(client.state()) => match never {},
    }
    client.close().await;
    Ok(())
}

/// Shows what happens, until the server says that there is no way back.
async fn hear(
    client: &EventClient,
    mut incoming: Incoming,
    wish: &Value,
    is_in: &watch::Sender<bool>,
) -> Result<()> {
    let mut joining = Some(Box::pin(join(client, wish)));
    loop {
        tokio::select! {
            joined = async { joining.as_mut().expect("it is asked below").await }, if joining.is_some() => {
                joining = None;
                if let Some(joined) = joined? {
                    show_joined(&joined);
                    is_in.send_replace(true);
                }
            }
            happening = incoming.next() => match happening {
                Some(Happening::Event(event)) => show(&event)?,
                Some(Happening::Restored) => println!("* here again, and nothing is missed"),
                Some(Happening::Gap { reason, .. }) => {
                    eprintln!("* away for too long, or the server has begun anew ({reason})");
                    is_in.send_replace(false);
                    joining = Some(Box::pin(join(client, wish)));
                }
                Some(_) => {}
                None => return Err("the server has closed".into()),
            }
        }
    }
}

/// `None`: the session was lost meanwhile, and another one has begun.
async fn join(client: &EventClient, wish: &Value) -> Result<Option<Joined>> {
    match client.request("room.join", wish, PATIENCE).await {
        Ok(joined) => Ok(Some(joined)),
        Err(RequestError::SessionLost) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn show_joined(joined: &Joined) {
    let Joined { room, name, members, last } = joined;
    println!("* you are {name} in {room}, with {} people", members.len());
    for Kept { event } in &last.events {
        println!("{}: {}", event.p.name, event.p.text);
    }
}

fn show(event: &Event) -> Result<()> {
    match event.name() {
        "chat.message" => {
            let Said { name, text } = event.payload()?;
            println!("{name}: {text}");
        }
        "room.presence" => {
            let Presence { person, is_here } = event.payload()?;
            println!("* {} {}", person.name, if is_here { "joined" } else { "left" });
        }
        _ => {}
    }
    Ok(())
}

/// Says each line until it has arrived, and ends with the input.
async fn say_lines(
    client: &EventClient,
    room: &str,
    mut is_open: watch::Receiver<bool>,
) -> Result<()> {
    let mut lines = lines_of_stdin();
    while let Some(text) = lines.recv().await {
        let said = json!({"room": room, "text": text});
        loop {
            is_open.wait_for(|is_open| *is_open).await?;
            match client.request::<Value>("chat.message", &said, PATIENCE).await {
                Ok(_) => break,
                // It was sent in a new session, before the room had let us in: once more.
                Err(RequestError::Refused(error)) if error.code == NOT_HERE => {
                    tokio::task::yield_now().await;
                }
                Err(RequestError::SessionLost) => {
                    eprintln!("* it may not have arrived: {text}");
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

async fn tell_state(mut state: watch::Receiver<ClientState>) -> std::convert::Infallible {
    while state.changed().await.is_ok() {
        if let ClientState::Reconnecting { delay, error, .. } = &*state.borrow_and_update() {
            eprintln!("* {error}; again in {:.1} s", delay.as_secs_f64());
        }
    }
    std::future::pending().await
}

/// On a thread of its own: a terminal cannot be read without blocking, and nobody waits for the
/// thread when the connection is over.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
