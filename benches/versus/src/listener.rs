//! The command-line contract of every server: `--port 0 --threads 1` is accepted, and one line
//! `listening on ADDRESS:PORT` is printed when connections are.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};

use crate::limits;
use crate::options::Options;

/// Binds to `--port` (0: any) on loopback, non-blocking.
pub fn bind(options: &Options) -> io::Result<TcpListener> {
    if options.value("threads", 1) != 1 {
        eprintln!("one thread only: --threads is ignored");
    }
    limits::raise_open_files();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.value("port", 0)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Prints the line the runner waits for.
pub fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()
}
