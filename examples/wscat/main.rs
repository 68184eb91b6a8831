//! A WebSocket in the terminal, and in pipes.
//!
//! ```text
//! cargo run --release --example wscat -- ws://127.0.0.1:9001/echo
//! echo hello | wscat ws://127.0.0.1:9001/echo
//! wscat --listen --json --reconnect --ping 10s -H 'Authorization: Bearer ...' ws://127.0.0.1:9002/prices
//! ```

mod input;
mod options;
mod output;

use std::process::ExitCode;
use std::time::Duration;

use sockeye::client::{ReconnectingSender, Status};
use sockeye::{Error, Sender};
use tokio::sync::watch;
use tokio::time::{Instant, interval_at};

use options::Options;
use output::Output;

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
    let (current, opened) = watch::channel(None);
    let mut client = options.connector.reconnecting(&options.url)?.on_open(move |sender| {
        current.send_replace(Some(sender.clone()));
    });
    if !options.is_reconnecting {
        client = client.failures_max(1);
    }
    let (sender, mut receiver) = client.start();
    let mut output = Output::new(options.is_json, options.is_timed);
    tokio::spawn(tell_status(sender.status(), options.is_timed));
    if let Some(interval) = options.ping {
        tokio::spawn(ping(opened, interval));
    }
    if options.reads_input {
        tokio::spawn(send_input(sender.clone(), options.is_binary));
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

async fn send_input(sender: ReconnectingSender, is_binary: bool) {
    let mut messages = input::messages(is_binary);
    while let Some(message) = messages.recv().await {
        // Over meanwhile: the receiver says why.
        if sender.send(message).await.is_err() {
            return;
        }
    }
    // Not before there is a connection that takes what was read.
    let is_settled = |status: &Status| matches!(status, Status::Open { .. } | Status::Ended);
    let _ = sender.status().wait_for(is_settled).await;
    // 1000 may be sent.
    let _ = sender.close(1000, "");
}

/// Pings the connection there is.
async fn ping(opened: watch::Receiver<Option<Sender>>, interval: Duration) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    loop {
        ticks.tick().await;
        let sender = opened.borrow().clone();
        if let Some(sender) = sender.filter(|sender| !sender.is_closed()) {
            match sender.ping().await {
                Ok(time) => eprintln!("ping: {time:?}"),
                Err(error) => eprintln!("ping: {error}"),
            }
        }
    }
}

async fn tell_status(mut status: watch::Receiver<Status>, is_timed: bool) {
    let mut since = Instant::now();
    loop {
        match &*status.borrow_and_update() {
            Status::Connecting => since = Instant::now(),
            Status::Open { .. } if is_timed => eprintln!("connected in {:?}", since.elapsed()),
            Status::Waiting { delay, error, .. } => {
                eprintln!("lost: {error}; again in {:.1} s", delay.as_secs_f64());
            }
            _ => {}
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
