//! What every tokio server here has in common: a current-thread runtime and a task per connection.

use std::cell::RefCell;
use std::io;

use tokio::net::{TcpListener, TcpStream};

use crate::listener;
use crate::options::Options;
use crate::upgrade::{self, HEAD_BYTES_MAX, Parsed};

/// What a client asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Echo,
    Chat,
}

impl Service {
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/" | "/echo" => Some(Self::Echo),
            "/chat" => Some(Self::Chat),
            _ => None,
        }
    }
}

/// Serves each connection with a task of `serve`, until the process is ended. A connection that
/// fails ends its own task only.
pub fn run<F, Error>(options: &Options, serve: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
    Error: Send + 'static,
{
    let listener = listener::bind(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let incoming = TcpListener::from_std(listener.try_clone()?)?;
        listener::announce(&listener)?;
        loop {
            let (stream, _) = incoming.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    })
}

/// The opening handshake, for a peer that leaves it to others.
///
/// It reads no further than the request: a client here waits for the answer.
pub async fn upgrade(stream: &TcpStream) -> io::Result<Service> {
    upgrade_with(stream, None).await
}

/// The same with an extension, which the client here is known to offer.
pub async fn upgrade_with(stream: &TcpStream, extension: Option<&str>) -> io::Result<Service> {
    thread_local! {
        static HEAD: RefCell<Vec<u8>> = RefCell::new(vec![0; HEAD_BYTES_MAX]);
    }
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut head = Vec::new();
    loop {
        stream.readable().await?;
        let (service, response) = match HEAD.with_borrow_mut(|space| {
            let received = match stream.try_read(space) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            head.extend_from_slice(&space[..received]);
            match upgrade::parse_request(&head) {
                Parsed::Incomplete => Ok(None),
                Parsed::Request(request) if request.len == head.len() => {
                    let service = Service::of_path(request.path).ok_or_else(invalid)?;
                    Ok(Some((service, upgrade::response_with(request.key, extension))))
                }
                _ => Err(invalid()),
            }
        })? {
            Some(answer) => answer,
            None => continue,
        };
        return match stream.try_write(response.as_bytes())? {
            written if written == response.len() => Ok(service),
            _ => Err(io::ErrorKind::WriteZero.into()),
        };
    }
}
