//! The command line of the tunnel.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(crate) const USAGE: &str = "\
usage: tunnel server --to HOST:PORT [OPTIONS]
       tunnel client --url ws://HOST:PORT/ [OPTIONS]
  --to HOST:PORT      where the server connects to
  --url URL           the server's URL
  --addr ADDRESS      address to listen on (default 127.0.0.1)
  --port PORT         port; 0 picks one (default 9001 of the server, 9002 of the client)
  --max-connections N connections at a time (default 1024)";

/// Which end of the tunnel this is.
#[derive(Clone)]
pub(crate) enum End {
    Server { target: String },
    Client { url: String },
}

pub(crate) struct Options {
    pub(crate) end: End,
    pub(crate) addr: SocketAddr,
    pub(crate) connections_max: usize,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut args = std::env::args().skip(1);
        let end = args.next().ok_or("which end: server or client?")?;
        let (mut target, mut url) = (None, None);
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut port = if end == "server" { 9001 } else { 9002 };
        let mut connections_max = 1024;
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--to" if !is_address(&value) => {
                    return Err(format!("{name} takes HOST:PORT, not {value:?}"));
                }
                "--to" => target = Some(value),
                "--url" => url = Some(value),
                "--addr" => address = parse(&name, &value)?,
                "--port" => port = parse(&name, &value)?,
                "--max-connections" => connections_max = parse(&name, &value)?,
                _ => return Err(format!("unknown option {name}")),
            }
        }
        let end = match (end.as_str(), target, url) {
            ("server", Some(target), None) => End::Server { target },
            ("client", None, Some(url)) => End::Client { url },
            ("server", ..) => return Err("a server needs --to, and no --url".to_owned()),
            ("client", ..) => return Err("a client needs --url, and no --to".to_owned()),
            _ => return Err(format!("{end:?} is none of server, client")),
        };
        if connections_max == 0 {
            return Err("--max-connections needs at least 1".to_owned());
        }
        Ok(Self { end, addr: SocketAddr::new(address, port), connections_max })
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not understood"))
}
