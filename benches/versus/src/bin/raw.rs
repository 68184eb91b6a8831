//! The physical limit: a bare epoll server.

use std::io;

use versus::listener;
use versus::options::Options;
use versus::raw::server::Server;

fn main() -> io::Result<()> {
    let listener = listener::bind(&Options::from_env())?;
    listener::announce(&listener)?;
    Server::new(listener)?.run()
}
