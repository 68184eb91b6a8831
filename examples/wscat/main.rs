//! A WebSocket in the terminal, and in pipes.
//!
//! ```text
//! cargo run --release --example wscat -- ws://127.0.0.1:9001/echo
//! echo hello | wscat ws://127.0.0.1:9001/echo
//! wscat --listen --json --reconnect --ping 10s -H 'Authorization: Bearer ...' ws://127.0.0.1:9002/prices
//! wscat --ca our-ca.pem --cert me.pem --key me.key wss://inside.example/      # with the feature full
//! ```

mod editor;
mod input;
#[cfg(not(feature = "tls"))]
mod no_tls;
mod options;
mod output;
mod screen;
#[cfg(not(unix))]
#[path = "no_terminal.rs"]
mod terminal;
#[cfg(unix)]
mod terminal;
#[cfg(feature = "tls")]
mod tls;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use sockeye::client::{ReconnectingSender, Status};
use sockeye::{Error, Message};
use tokio::sync::watch;
use tokio::time::{Instant, interval_at};

use input::Source;
use options::Options;
use output::Output;
use screen::Screen;
use terminal::Terminal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (kind, retryable) = (error.kind(), error.retryable());
            eprintln!("error: {kind}: {} (retryable: {retryable})", error.message());
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Error> {
    let screen = Screen::default();
    let is_typed = options.reads_input && !options.is_binary && std::io::stdout().is_terminal();
    // Until this function ends.
    let terminal = is_typed.then(Terminal::take).flatten();
    if terminal.is_some() {
        screen.begin_typing()?;
    }
    let ended = talk(&options, &screen, terminal.is_some()).await;
    screen.end_typing();
    ended
}

async fn talk(options: &Options, screen: &Screen, is_typed: bool) -> Result<(), Error> {
    let mut client = options.connector.reconnecting(&options.url)?;
    if !options.is_reconnecting {
        client = client.failures_max(1);
    }
    let (sender, mut receiver) = client.start();
    let output = Output::new(screen.clone(), options.is_json, options.is_timed);
    tokio::spawn(tell_status(sender.status(), screen.clone(), options.is_timed));
    if let Some(interval) = options.ping {
        tokio::spawn(ping(sender.clone(), screen.clone(), interval));
    }
    if options.reads_input {
        let source = match (options.is_binary, is_typed) {
            (true, _) => Source::Blocks,
            (false, true) => Source::Keys,
            (false, false) => Source::Lines,
        };
        tokio::spawn(send_input(sender.clone(), source, screen.clone()));
    }
    loop {
        let message = match receiver.recv().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            // Without a code, or because the server goes: it has said goodbye.
            Err(Error::ClosedByPeer(outcome)) if matches!(outcome.code.as_u16(), 1001 | 1005) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        output.write(&message)?;
        if options.is_echo {
            sender.send(message).await?;
        }
    }
}

async fn send_input(sender: ReconnectingSender, source: Source, screen: Screen) {
    let mut messages = input::messages(source, screen);
    while let Some(message) = messages.recv().await {
        if matches!(message, Message::Close(_)) {
            // 1000 may be sent.
            let _ = sender.close(1000, "");
            return;
        }
        // Over meanwhile: the receiver says why.
        if sender.send(message).await.is_err() {
            return;
        }
    }
    // Not before there is a connection that takes what was read.
    let is_settled = |status: &Status| matches!(status, Status::Open { .. } | Status::Ended);
    let _ = sender.status().wait_for(is_settled).await;
    // As above.
    let _ = sender.close(1000, "");
}

/// Pings whenever there is a connection.
async fn ping(sender: ReconnectingSender, screen: Screen, interval: Duration) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    loop {
        ticks.tick().await;
        if matches!(*sender.status().borrow(), Status::Open { .. }) {
            match sender.ping().await {
                Ok(time) => screen.report(&format!("ping: {time:?}")),
                Err(error) => screen.report(&format!("ping: {error}")),
            }
        }
    }
}

async fn tell_status(mut status: watch::Receiver<Status>, screen: Screen, is_timed: bool) {
    let mut since = Instant::now();
    loop {
        match &*status.borrow_and_update() {
            Status::Connecting => since = Instant::now(),
            Status::Open { .. } if is_timed => {
                screen.report(&format!("connected in {:?}", since.elapsed()));
            }
            Status::Waiting { delay, error, .. } => {
                screen.report(&format!("lost: {error}; again in {:.1} s", delay.as_secs_f64()));
            }
            _ => {}
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
