//! A chat with rooms: the page, its script and its style, and the WebSocket at `/chat`, on one port.
//!
//! `cargo run --release --example chat -- --port 0`

mod guest;
mod member;
mod options;
mod page;
mod protocol;
mod rooms;

use http::StatusCode;
use sockeye::{Acceptor, Answer, Config, Request, Server};

use guest::Guest;
use member::Member;
use options::Options;
use page::Page;
use rooms::Rooms;

/// A message is 2,000 characters; as JSON, with every one of them escaped, it still fits.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = match Options::from_env() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            std::process::exit(2);
        }
    };
    let server = Server::bind(options.addr).await?;
    println!("chat is at http://{}/", server.local_addr()?);
    let rooms = Rooms::new()?;
    server
        .acceptor(acceptor(Page::new()))
        .serve_until(
            move |socket, request| socket.run(Member::new(rooms.clone(), request)),
            interrupted(),
        )
        .await?;
    Ok(())
}

fn acceptor(page: Page) -> Acceptor {
    let mut config = Config::default();
    config.message_bytes_max = MESSAGE_BYTES_MAX;
    Acceptor::new(config).on_request(move |request| std::future::ready(answer(&page, &request)))
}

fn answer(page: &Page, request: &Request) -> Answer {
    if request.path() != "/chat" {
        return page.answer(request.path());
    }
    match Guest::from_request(request) {
        Ok(_) => Answer::accept(),
        Err(why) => Answer::refuse(StatusCode::BAD_REQUEST, why),
    }
}

/// Ready on Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without signals the chat runs until it is killed.
        std::future::pending::<()>().await;
    }
}
