//! The server asks, and the page answers: questions are requests to the client, which outlive its connections. Who plays
//! is known by a token that ends; with a new one the game goes on.
//!
//! ```text
//! export SOCKEYE_SECRET=$(openssl rand -hex 32)
//! cargo run --release --example quiz -- serve --port 8080
//! cargo run --release --example quiz -- token ann --seconds 60
//! ```
//!
//! Open the page and give it the token; when that ends it asks for another.

#[path = "../support/help.rs"]
mod help;
#[path = "../support/stop.rs"]
mod stop;

use std::error::Error;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::app::{App, Codec, Context, EventError, RequestError};
use sockeye::auth::{JwtSigner, JwtVerifier, Secret};
use sockeye::hub::Shutdown;

const USAGE: &str = "\
usage: quiz serve [--port PORT]          (default 8080; 0 picks one)
       quiz token NAME [--seconds N]     (default 600)
SOCKEYE_SECRET: 32 bytes at least";

const QUESTIONS: [(&str, [&str; 3], usize); 3] = [
    ("Which of these goes upstream?", ["tuna", "salmon", "cod"], 1),
    ("What closes a connection politely?", ["1000", "1006", "a hammer"], 0),
    (
        "What does a server do with a frame that is not masked?",
        ["reads it", "fails", "masks it"],
        1,
    ),
];

/// For one question, also over a reconnect.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Answer {
    choice: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    help::if_asked(&[USAGE]);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let secret = || Secret::new(std::env::var("SOCKEYE_SECRET").unwrap_or_default());
    match args[..] {
        ["serve"] => serve(secret()?, 8080).await,
        ["serve", "--port", port] => {
            serve(secret()?, port.parse().map_err(|_| "--port takes a number")?).await
        }
        ["token", name] => print_token(secret()?, name, "600"),
        ["token", name, "--seconds", n] => print_token(secret()?, name, n),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    }
}

async fn serve(secret: Secret, port: u16) -> Result<(), Box<dyn Error>> {
    let app = App::new()
        .host("127.0.0.1")
        .port(port)
        .codec(Codec::Tagged)
        .authenticator(JwtVerifier::new(secret))
        .require_auth()
        .handler_timeout(PATIENCE * 4)
        .page("/", "text/html; charset=utf-8", include_str!("index.html"))
        .page("/base.css", "text/css; charset=utf-8", include_str!("../support/base.css"))
        .page("/quiz.css", "text/css; charset=utf-8", include_str!("quiz.css"))
        .page("/quiz.js", "text/javascript; charset=utf-8", include_str!("quiz.js"))
        .browser_client("/sockeye.js")
        .on("play", play);
    let running = app.start().await?;
    let stopped = stop::asked();
    println!("the quiz is at http://{}/", running.local_addrs()[0]);
    stopped.await;
    running.stop(Shutdown::new(Duration::from_secs(1))).await?;
    Ok(())
}

fn print_token(secret: Secret, name: &str, seconds: &str) -> Result<(), Box<dyn Error>> {
    let lasts = Duration::from_secs(seconds.parse()?);
    println!("{}", JwtSigner::new(secret).sign_for(name, lasts));
    Ok(())
}

/// Asks one after the other; the answer is how many were right.
async fn play(context: Context, _: Value) -> Result<Value, EventError> {
    let mut right = 0;
    for (number, (text, choices, best)) in QUESTIONS.into_iter().enumerate() {
        let question = json!({"number": number + 1, "text": text, "choices": choices});
        match context.request("question", &question, PATIENCE).await {
            Ok(answer) => right += usize::from(answer.payload::<Answer>()?.choice == best),
            // Who says so does not know, or had too little time.
            Err(RequestError::Refused(_) | RequestError::Timeout { .. }) => {}
            Err(_) => return Err(EventError::internal()),
        }
    }
    Ok(json!({"player": context.user_id(), "right": right, "of": QUESTIONS.len()}))
}
