//! Connections that say one thing and then nothing: `--connections`, one echo of `--size` each.
//!
//! Prints a line when all have been answered, and holds them until its standard input ends.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::Result;
use super::echo::{keep_up, masking_key};
use super::fleet::Fleet;
use super::payload::Payload;
use super::reply::Reply;
use crate::options::Options;

pub fn run(options: &Options, address: SocketAddr) -> Result<()> {
    let payload = Payload::from_options(options);
    let count = options.value("connections", 1000);
    let mut fleet = Fleet::open(address, "/echo", count, Reply::new(&payload))?;
    for (index, client) in fleet.clients.iter_mut().enumerate() {
        client.prepare(&payload, 1, masking_key(index));
    }
    let tally = keep_up(&mut fleet, 1, Duration::ZERO)?;
    println!("{}", json!({ "connections": count, "messages": tally.messages }));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
