//! A client for the terminal: sends each line of the standard input, prints what comes, closes at
//! the end of the input.
//!
//! `cargo run --release --example client -- ws://127.0.0.1:9001/echo [--deflate MODE]`

#[path = "support/help.rs"]
mod help;

use std::io::BufRead;
use std::process::ExitCode;

use sockeye::{Config, Connector, Deflate, Error, Message, Sender};
use tokio::sync::mpsc;

/// Lines that are read ahead of the connection.
const LINES_AHEAD_MAX: usize = 16;

const USAGE: &str = "usage: client URL [--deflate takeover|no-context|off]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    help::if_asked(&[USAGE]);
    let Some((url, deflate)) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Err(error) = talk(&url, deflate).await {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn talk(url: &str, deflate: Deflate) -> Result<(), Error> {
    let mut config = Config::default();
    config.deflate = deflate;
    let (sender, mut receiver) = Connector::new(config).connect(url).await?.split();
    tokio::spawn(send_lines(sender));
    while let Some(message) = receiver.recv().await? {
        print(&message);
    }
    if let Some(outcome) = receiver.outcome() {
        eprintln!("closed: {} {}", outcome.code.as_u16(), outcome.reason);
    }
    Ok(())
}

/// The URL, and how messages are compressed if the server agrees (default off).
fn arguments() -> Option<(String, Deflate)> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (url, mode) = match &args[..] {
        [url] => (url, "off"),
        [url, option, mode] if option == "--deflate" => (url, mode.as_str()),
        _ => return None,
    };
    let deflate = match mode {
        "off" => Deflate::disabled(),
        "no-context" => Deflate::no_context(),
        "takeover" => Deflate::context_takeover(),
        _ => return None,
    };
    Some((url.clone(), deflate))
}

async fn send_lines(sender: Sender) {
    let mut lines = lines_of_stdin();
    while let Some(line) = lines.recv().await {
        // Closed meanwhile: the receiver says why.
        if sender.send(line).await.is_err() {
            return;
        }
    }
    // 1000 may be sent.
    let _ = sender.close(1000, "");
}

/// On a thread of its own: a terminal cannot be read without blocking, and nobody waits for the
/// thread when the connection is over.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn print(message: &Message) {
    match message.as_text() {
        Some(text) => println!("{text}"),
        None => println!("binary, {} bytes", message.as_bytes().len()),
    }
}
