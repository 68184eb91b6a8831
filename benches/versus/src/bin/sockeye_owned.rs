//! sockeye with its convenient face: owned messages.

use std::net::{Ipv4Addr, SocketAddr};

use sockeye::hub::Hub;
use sockeye::{Acceptor, Config, NetStream, Server, WebSocket};
use versus::options::Options;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = Options::from_env().value("port", 0);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut config = Config::default();
    // As the others do: a message is one frame.
    config.fragment_bytes_max = None;
    let server = Server::bind(addr).await?.acceptor(Acceptor::new(config));
    println!("listening on {}", server.local_addr()?);
    let hub = Hub::new();
    server
        .serve(move |socket, request| {
            let chat = (request.path() == "/chat").then(|| hub.clone());
            async move {
                // A connection that ends with an error has ended all the same.
                let _ = match chat {
                    None => echo(socket).await,
                    Some(hub) => chat_member(socket, &hub).await,
                };
            }
        })
        .await
}

async fn echo(mut socket: WebSocket<NetStream>) -> Result<(), sockeye::Error> {
    while let Some(message) = socket.recv().await? {
        socket.feed(message)?;
    }
    Ok(())
}

async fn chat_member(mut socket: WebSocket<NetStream>, hub: &Hub) -> Result<(), sockeye::Error> {
    let membership = hub.room("chat").join(socket.sender()).unwrap();
    let room = membership.room();
    while let Some(message) = socket.recv().await? {
        let Some(message) = message.as_data() else { continue };
        // What the hub has no room for is sent again when it has.
        while room.broadcast(message).is_err() {
            room.ready().await;
        }
    }
    Ok(())
}
