//! Broadcasts of which the kernel takes a part.

#![cfg(feature = "hub")]

use std::net::SocketAddr;

use sockeye::deflate::Deflate;
use sockeye::hub::Hub;
use sockeye::{Connection, Handler, MessageRef, WebSocket};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::deflate::{config, ends_of, json};
use crate::support::server::within;

struct Quiet;

impl Handler for Quiet {
    fn on_message(&mut self, _: &mut Connection<'_>, _: MessageRef<'_>) {}
}

/// Two ends of a connection that holds little of what is on its way.
async fn narrow() -> (TcpStream, TcpStream) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (listening, calling) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap());
    listening.set_send_buffer_size(8 * 1024).unwrap();
    calling.set_recv_buffer_size(8 * 1024).unwrap();
    listening.bind(any).unwrap();
    let listener = listening.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(calling.connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

async fn next(peer: &mut WebSocket<TcpStream>) -> String {
    within(peer.recv()).await.unwrap().unwrap().as_text().unwrap().to_owned()
}

/// BC-01, CN-04: of messages that go out together and are cut where the kernel takes no more, each comes whole, once
/// and in its turn: as they are, and compressed.
#[tokio::test]
async fn messages_are_whole_wherever_the_kernel_cuts() {
    for deflate in [Deflate::disabled(), Deflate::no_context()] {
        let mut settings = config(deflate);
        (settings.outbox_messages_max, settings.outbox_bytes_max) = (100_000, 64 << 20);
        let (mut peer, member) = ends_of(narrow().await, settings);
        let hub = Hub::new();
        let room = hub.room("a");
        let _seat = room.join(member.sender()).unwrap();
        tokio::spawn(member.run(Quiet));
        let text = |number: usize| json(100 + number * 7 % 1900, number);
        let (mut sent, mut seen) = (0, 0);
        for turn in 0..60 {
            for _ in 0..40 + turn {
                room.broadcast(&*text(sent)).unwrap();
                sent += 1;
            }
            // All of it now and then, so that nothing waits and the next are written at once.
            let wanted = if turn % 3 == 0 { sent } else { seen + (sent - seen) / 2 };
            while seen < wanted {
                assert_eq!(next(&mut peer).await, text(seen));
                seen += 1;
            }
        }
        while seen < sent {
            assert_eq!(next(&mut peer).await, text(seen));
            seen += 1;
        }
    }
}
