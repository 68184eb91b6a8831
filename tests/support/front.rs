//! A way to several servers, which can be turned.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A way to the nodes that a client takes: whenever it is set to another, its connections are cut.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    pub(crate) to: watch::Sender<SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Front {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, to) = (listener.local_addr().unwrap(), watch::Sender::new(to));
        let watched = to.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                while lines.try_join_next().is_some() {}
                let mut changes = watched.subscribe();
                let to = *changes.borrow_and_update();
                lines.spawn(async move {
                    // A node that is not there: the client comes again.
                    let Ok(mut server) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = changes.changed() => {}
                    }
                });
            }
        });
        Self { address, to, _tasks: tasks }
    }
}
