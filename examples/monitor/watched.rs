//! The server that is watched: what one says in a room is heard by all who are in it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use sockeye::hub::limits::{Limits, Rate};
use sockeye::hub::{Handlers, Hub, HubError, Shutdown};
use sockeye::protocol::Overflow;
use sockeye::{Config, Server};
use tokio::net::TcpSocket;

/// What the kernel keeps for a client that reads slowly is in no metric: it shall not be much.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;

/// Connections the kernel keeps ready: the whole load comes at once.
const BACKLOG: u32 = 1024;

pub(crate) fn hub() -> Result<Hub, HubError> {
    let mut config = Config::default();
    config.message_bytes_max = 4 * 1024;
    // Whoever reads slowly misses the oldest, and nobody else waits.
    config.overflow = Overflow::DropOldest;
    config.outbox_messages_max = 64;
    config.ping_interval = Some(Duration::from_secs(5));
    let mut limits = Limits::default();
    limits.connections_max = 1_000;
    limits.messages_per_connection = Some(Rate::per_second(20).burst(50));
    Hub::builder().config(config).limits(limits).build()
}

/// On this machine alone, on a port of the system's choice.
pub(crate) fn listen() -> io::Result<Server> {
    let socket = TcpSocket::new_v4()?;
    // Accepted connections have the listener's buffers.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(Server::from_listener(socket.listen(BACKLOG)?))
}

/// Anybody may come, into the room of the query.
pub(crate) async fn serve(
    hub: &Hub,
    server: Server,
    shutdown: impl Future<Output = Shutdown>,
) -> io::Result<()> {
    let anybody = authenticate_fn(async |_: Credentials| Ok::<_, AuthError>(Identity::guest()));
    let handlers = Handlers::new().on_message(|connection, message| {
        for room in connection.peer().rooms() {
            // The job queue is full: it is counted, and nobody hears this one.
            let _ = room.broadcast(message);
        }
    });
    hub.serve_with_auth(server, anybody, handlers, shutdown).await.map(drop)
}
