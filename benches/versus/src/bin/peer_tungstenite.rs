//! tokio-tungstenite; `--read-buffer 8192` replaces its read buffer of 128 KiB.

use std::io;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use versus::batched;
use versus::options::Options;
use versus::room::Room;
use versus::tokio_server::{self, Service};

fn main() -> io::Result<()> {
    let options = Options::from_env();
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = options.value("read-buffer", config.read_buffer_size);
    let room = Room::default();
    tokio_server::run(&options, |stream| serve(stream, config, room.clone()))
}

async fn serve(
    stream: TcpStream,
    config: WebSocketConfig,
    room: Room<Message>,
) -> Result<(), Box<Error>> {
    let mut service = Service::Echo;
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let note_path = |request: &Request, response: Response| {
        service = Service::of_path(request.uri().path()).unwrap_or(Service::Echo);
        Ok(response)
    };
    let connection =
        tokio_tungstenite::accept_hdr_async_with_config(stream, note_path, Some(config)).await?;
    let is_data = |message: &Message| message.is_text() || message.is_binary();
    batched::serve(connection, service, &room, is_data).await?;
    Ok(())
}
