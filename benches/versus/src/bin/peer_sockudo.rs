//! sockudo-ws, its heartbeat and idle timer off: no other server here has them.

use std::io;

use sockudo_ws::{
    CompressedWebSocketStream, Config, DeflateConfig, Error, Message, WebSocketStream,
};
use tokio::net::TcpStream;
use versus::batched;
use versus::deflate::Deflate;
use versus::options::Options;
use versus::room::Room;
use versus::tokio_server;

fn main() -> io::Result<()> {
    let options = Options::from_env();
    let deflate = Deflate::from_options(&options);
    let room = Room::default();
    let config = Config::builder().auto_ping(false).idle_timeout(0).build();
    tokio_server::run(&options, |stream| serve(stream, config.clone(), deflate, room.clone()))
}

async fn serve(
    stream: TcpStream,
    config: Config,
    deflate: Option<Deflate>,
    room: Room<Message>,
) -> Result<(), Error> {
    let extension = deflate.map(Deflate::extension);
    let service = tokio_server::upgrade_with(&stream, extension).await?;
    let is_data = |message: &Message| matches!(message, Message::Text(_) | Message::Binary(_));
    let Some(deflate) = deflate else {
        let connection = WebSocketStream::server(stream, config);
        return batched::serve(connection, service, &room, is_data).await;
    };
    let keeps_nothing = deflate == Deflate::NoContext;
    let terms = DeflateConfig {
        server_no_context_takeover: keeps_nothing,
        client_no_context_takeover: keeps_nothing,
        ..DeflateConfig::default()
    };
    let connection = CompressedWebSocketStream::server(stream, config, terms);
    batched::serve(connection, service, &room, is_data).await
}
