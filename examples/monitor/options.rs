//! The command line of the monitor.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sockeye::auth::Secret;

use super::load::CLIENTS_MAX;

pub(crate) const USAGE: &str = "\
usage: monitor [OPTIONS]
  --addr ADDRESS    address to listen on (default 127.0.0.1)
  --port PORT       port; 0 picks one (default 8090)
  --clients N       clients that chat from the beginning, 500 at most (default 0)
  --every SECONDS   how often a line is printed, 1 to 3600 (default 10)
SOCKEYE_SECRET in the environment, 32 bytes at least, signs the token (default: a secret that ends
with the process, and the token with it).";

pub(crate) struct Options {
    pub(crate) addr: SocketAddr,
    pub(crate) clients: usize,
    pub(crate) every: Duration,
    pub(crate) secret: Secret,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut port = 8090;
        let mut clients = 0;
        let mut every_seconds = 10;
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--addr" => address = parse(&name, &value)?,
                "--port" => port = parse(&name, &value)?,
                "--clients" => clients = parse(&name, &value)?,
                "--every" => every_seconds = parse(&name, &value)?,
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if clients > CLIENTS_MAX {
            return Err(format!("--clients: {CLIENTS_MAX} at most"));
        }
        if !(1..=3600).contains(&every_seconds) {
            return Err("--every: 1 to 3600".to_owned());
        }
        let addr = SocketAddr::new(address, port);
        Ok(Self { addr, clients, every: Duration::from_secs(every_seconds), secret: secret()? })
    }
}

fn secret() -> Result<Secret, String> {
    match std::env::var("SOCKEYE_SECRET") {
        Ok(secret) => Secret::new(secret).map_err(|error| format!("SOCKEYE_SECRET: {error}")),
        Err(_) => Secret::from_os().map_err(|error| error.to_string()),
    }
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not understood"))
}
