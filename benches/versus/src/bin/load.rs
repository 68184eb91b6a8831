//! The load generator. Modes: `echo`, `broadcast`, `idle`, `connect`, `resume`.

use std::net::SocketAddr;

use versus::limits;
use versus::load::{Result, broadcast, connect, echo, idle, resume};
use versus::options::Options;

const USAGE: &str = "\
load MODE --address IP:PORT [OPTIONS], where MODE is one of: echo broadcast idle connect resume

  --pid PID                   whose CPU time is measured: the server's
  --seconds 2 --warm-up 0.3   how long
  --size 16                   bytes of a message
  --connections 100
  --in-flight 1               messages of a connection on their way; --rate 20000 sends by the clock instead
  --text --mixed              text instead of bytes; text with letters outside of ASCII
  --deflate no-context        or takeover: compressed JSON
  --members 100 --outstanding 1 --rooms 16
                              of a broadcast
  --rounds 3 --at-once 1000   of resume";

fn main() -> Result<()> {
    let options = Options::from_env_or(USAGE);
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
