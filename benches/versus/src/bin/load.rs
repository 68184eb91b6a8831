//! The load generator. Modes: `echo`, `broadcast`, `idle`, `connect`, `resume`.

use std::net::SocketAddr;

use versus::limits;
use versus::load::{Result, broadcast, connect, echo, idle, resume};
use versus::options::Options;

fn main() -> Result<()> {
    let options = Options::from_env();
    let address: SocketAddr =
        options.text("address").ok_or("--address of the server is missing")?.parse()?;
    limits::raise_open_files();
    match options.words() {
        [mode] if mode == "echo" => echo::run(&options, address),
        [mode] if mode == "broadcast" => broadcast::run(&options, address),
        [mode] if mode == "idle" => idle::run(&options, address),
        [mode] if mode == "connect" => connect::run(&options, address),
        [mode] if mode == "resume" => resume::run(&options, address),
        _ => Err("one mode of: echo broadcast idle connect resume".into()),
    }
}
