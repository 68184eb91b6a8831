//! tokio-websockets, flushing at 64 KiB instead of 8.

use std::io;

use tokio::net::TcpStream;
use tokio_websockets::{Config, Error, Message, ServerBuilder};
use versus::batched;
use versus::options::Options;
use versus::room::Room;
use versus::tokio_server::{self, Service};

const FLUSH_BYTES: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let options = Options::from_env();
    let room = Room::default();
    tokio_server::run(&options, |stream| serve(stream, room.clone()))
}

async fn serve(stream: TcpStream, room: Room<Message>) -> Result<(), Error> {
    let config = Config::default().frame_size(usize::MAX).flush_threshold(FLUSH_BYTES);
    let (request, connection) = ServerBuilder::new().config(config).accept(stream).await?;
    let service = Service::of_path(request.uri().path()).unwrap_or(Service::Echo);
    let is_data = |message: &Message| message.is_text() || message.is_binary();
    batched::serve(connection, service, &room, is_data).await
}
