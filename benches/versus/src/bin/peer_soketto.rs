//! soketto. It leaves to its user to check utf-8 and to put a buffer before the socket.

use std::io;
use std::pin::pin;

use bytes::Bytes;
use soketto::connection::{CloseReason, Error};
use soketto::handshake::Server;
use soketto::handshake::server::Response;
use soketto::{Data, Incoming, Receiver, Sender};
use tokio::io::BufWriter;
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use versus::options::Options;
use versus::polled::at_once;
use versus::room::{Member, Room};
use versus::tokio_server::{self, Service};

const BATCH_BYTES: usize = 16 * 1024;

type Socket = Compat<BufWriter<TcpStream>>;

/// A message of the room.
#[derive(Clone)]
enum Message {
    Text(Bytes),
    Binary(Bytes),
}

fn main() -> io::Result<()> {
    let room = Room::default();
    tokio_server::run(&Options::from_env(), |stream| serve(stream, room.clone()))
}

async fn serve(stream: TcpStream, room: Room<Message>) -> Result<(), Error> {
    let failed = |error| Error::Io(io::Error::other(error));
    let mut server = Server::new(BufWriter::with_capacity(BATCH_BYTES, stream).compat());
    let request = server.receive_request().await.map_err(failed)?;
    let (key, service) = (request.key(), Service::of_path(request.path()));
    let response = Response::Accept { key, protocol: None };
    server.send_response(&response).await.map_err(failed)?;
    let (sender, receiver) = server.into_builder().finish();
    if service != Some(Service::Chat) {
        return echo(sender, receiver).await;
    }
    let member = room.join();
    tokio::select! {
        result = publish(receiver, &member) => result,
        result = deliver(sender, &member) => result,
    }
}

async fn echo(mut sender: Sender<Socket>, mut receiver: Receiver<Socket>) -> Result<(), Error> {
    let mut message = Vec::new();
    loop {
        message.clear();
        let incoming = {
            let mut receive = pin!(receiver.receive(&mut message));
            match at_once(receive.as_mut()).await {
                Some(incoming) => incoming?,
                None => {
                    sender.flush().await?;
                    receive.await?
                }
            }
        };
        match incoming {
            Incoming::Data(Data::Binary(_)) => sender.send_binary_mut(&mut message).await?,
            Incoming::Data(Data::Text(_)) => sender.send_text(checked(&message)?).await?,
            Incoming::Pong(_) => {}
            Incoming::Closed(CloseReason { .. }) => return sender.close().await,
        }
    }
}

async fn publish(mut receiver: Receiver<Socket>, member: &Member<Message>) -> Result<(), Error> {
    let mut message = Vec::new();
    loop {
        message.clear();
        match receiver.receive_data(&mut message).await? {
            Data::Binary(_) => member.publish(&Message::Binary(Bytes::copy_from_slice(&message))),
            Data::Text(_) => {
                checked(&message)?;
                member.publish(&Message::Text(Bytes::copy_from_slice(&message)));
            }
        }
    }
}

async fn deliver(mut sender: Sender<Socket>, member: &Member<Message>) -> Result<(), Error> {
    loop {
        member.queued().await;
        while let Some(message) = member.next() {
            match message {
                Message::Binary(bytes) => sender.send_binary(bytes).await?,
                Message::Text(bytes) => sender.send_text(checked(&bytes)?).await?,
            }
        }
        sender.flush().await?;
    }
}

fn checked(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(Error::Utf8)
}
