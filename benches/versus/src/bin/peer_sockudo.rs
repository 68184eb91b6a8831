//! sockudo-ws, its heartbeat and idle timer off: no other server here has them.

use std::io;

use sockudo_ws::{Config, Error, Message, WebSocketStream};
use tokio::net::TcpStream;
use versus::batched;
use versus::options::Options;
use versus::room::Room;
use versus::tokio_server;

fn main() -> io::Result<()> {
    let room = Room::default();
    let config = Config::builder().auto_ping(false).idle_timeout(0).build();
    tokio_server::run(&Options::from_env(), |stream| serve(stream, config.clone(), room.clone()))
}

async fn serve(stream: TcpStream, config: Config, room: Room<Message>) -> Result<(), Error> {
    let service = tokio_server::upgrade(&stream).await?;
    let connection = WebSocketStream::server(stream, config);
    let is_data = |message: &Message| matches!(message, Message::Text(_) | Message::Binary(_));
    batched::serve(connection, service, &room, is_data).await
}
