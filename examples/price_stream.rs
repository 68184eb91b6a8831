//! A stream of prices, and a client that keeps its connection alive.
//!
//! ```text
//! cargo run --release --example price_stream -- serve [--port PORT]
//! cargo run --release --example price_stream -- watch ws://127.0.0.1:9002/prices BTC-USD ETH-USD
//! ```
//!
//! The client subscribes with JSON and waits for a price and a timer at the same time: after 30 s without a
//! price it sends a ping and waits for its pong. The server keeps only the latest price of each symbol
//! for a client that is slow.

#[path = "support/help.rs"]
mod help;

use std::error::Error;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sockeye::{Message, NetStream, Sender, Server, WebSocket, connect};
use tokio::time::{Instant, interval, interval_at};

/// Silence after which the client asks whether the server is still there.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How often a price moves.
const TICK: Duration = Duration::from_millis(200);

/// Symbols that one client may watch.
const SYMBOLS_MAX: usize = 100;

#[derive(Deserialize, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Request {
    Subscribe { symbols: Vec<String> },
}

#[derive(Deserialize, Serialize)]
struct Price {
    symbol: String,
    value: f64,
}

const USAGE: &str = "usage: price_stream serve [--port PORT] | price_stream watch URL SYMBOL...";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    help::if_asked(&[USAGE]);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match &words[..] {
        ["serve"] => serve(9002).await,
        ["serve", "--port", port] => {
            serve(port.parse().map_err(|_| "--port takes a number")?).await
        }
        ["watch", url, symbols @ ..] if !symbols.is_empty() => watch(url, symbols).await,
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    }
}

/// The client.
async fn watch(url: &str, symbols: &[&str]) -> Result<(), Box<dyn Error>> {
    let (sender, mut receiver) = connect(url).await?.split();
    let symbols = symbols.iter().map(ToString::to_string).collect();
    sender.send(Message::json(&Request::Subscribe { symbols })?).await?;
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        tokio::select! {
            message = receiver.recv() => {
                let Some(message) = message? else { break };
                let price: Price = message.parse_json()?;
                println!("{} {:.2}", price.symbol, price.value);
                heartbeat.reset();
            }
            _ = heartbeat.tick() => eprintln!("still there: {:?}", sender.ping().await?),
        }
    }
    if let Some(outcome) = receiver.outcome() {
        eprintln!("closed: {} {}", outcome.code, outcome.reason);
    }
    Ok(())
}

/// The server.
async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let server = Server::bind(("127.0.0.1", port)).await?;
    println!("prices are at ws://{}/prices", server.local_addr()?);
    server.serve(|socket, _| quote(socket)).await?;
    Ok(())
}

async fn quote(socket: WebSocket<NetStream>) {
    let (sender, mut receiver) = socket.split();
    let mut prices: Vec<Price> = Vec::new();
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            message = receiver.recv() => {
                let Ok(Some(message)) = message else { return };
                match message.parse_json() {
                    Ok(Request::Subscribe { symbols }) if symbols.len() <= SYMBOLS_MAX => {
                        prices = symbols.into_iter().map(first_price).collect();
                    }
                    _ => {
                        // 1008 may be sent.
                        let _ = sender.close(1008, "subscribe to at most 100 symbols");
                    }
                }
            }
            _ = ticks.tick() => prices.iter_mut().zip(0..).for_each(|(price, key)| {
                move_price(price);
                send(&sender, key, price);
            }),
        }
    }
}

/// A slow client gets the latest price only.
fn send(sender: &Sender, key: u64, price: &Price) {
    if let Ok(message) = Message::json(price) {
        // A connection that is over ends at the receiver.
        let _ = sender.try_send_latest(key, message);
    }
}

fn first_price(symbol: String) -> Price {
    let value = symbol.bytes().map(f64::from).sum();
    Price { symbol, value }
}

/// No market, but it moves.
fn move_price(price: &mut Price) {
    price.value += (price.value * 7919.0).sin();
}
