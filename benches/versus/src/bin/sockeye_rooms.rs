//! sockeye with a room for each path behind `/chat/`, and as many threads as asked for: a runtime, a listener and
//! a hub worker each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use sockeye::hub::{Hub, Membership};
use sockeye::{Connection, Handler, MessageRef, Server};
use versus::limits;
use versus::options::Options;

fn main() -> io::Result<()> {
    let options = Options::from_env();
    limits::raise_open_files();
    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.value("port", 0)));
    let hub = Hub::new();
    let mut threads = Vec::new();
    for index in 0..options.value("threads", 1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = runtime.block_on(async { Server::bind_shared(address) })?;
        address = server.local_addr()?;
        if index == 0 {
            println!("listening on {address}");
        }
        let hub = hub.clone();
        threads.push(std::thread::spawn(move || {
            let member =
                move |path: &str| Member { hub: hub.clone(), path: path.to_owned(), place: None };
            runtime
                .block_on(server.serve(move |socket, request| socket.run(member(request.path()))))
        }));
    }
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a thread panicked"))??;
    }
    Ok(())
}

/// Sends every message to everybody at its path, its sender included.
struct Member {
    hub: Hub,
    path: String,
    place: Option<Membership>,
}

impl Handler for Member {
    fn on_open(&mut self, connection: &mut Connection<'_>) {
        let room = self.hub.room(&std::mem::take(&mut self.path));
        self.place = room.join(connection.sender()).ok();
    }

    fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
        if let Some(place) = &self.place {
            // poll_ready holds back whoever would fill the queue.
            let _ = place.room().broadcast(message);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.place.as_ref().map_or(Poll::Ready(()), |place| place.room().poll_ready(cx))
    }
}
