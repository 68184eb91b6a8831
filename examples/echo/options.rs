//! The command line of the echo server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sockeye::handshake::Origins;
use sockeye::{Config, Deflate};

use crate::certificate::Certificate;

pub(crate) const USAGE: &str = "\
usage: echo [OPTIONS]
  --addr ADDRESS              address to listen on (default 127.0.0.1)
  --port PORT                 port; 0 picks one (default $PORT, else 9001)
  --path PATH                 where echo is served (default /echo)
  --max-message BYTES         longest message (default 16777216)
  --handshake-timeout-ms MS   longest handshake (default 10000)
  --allow-origin ORIGIN       allow pages of this origin; repeatable; * is any (default: same host)
  --deflate [MODE]            compress: takeover (both ways), no-context, off; without MODE, what we
                              send keeps its context where the client allows it, what we get does not
  --threads N                 threads, each with a runtime and a listener of its own (default 1)";

pub(crate) struct Options {
    pub(crate) addr: SocketAddr,
    pub(crate) path: String,
    pub(crate) message_bytes_max: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) origins: Origins,
    pub(crate) deflate: Deflate,
    pub(crate) threads: usize,
    pub(crate) tls: Option<Certificate>,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut port = match std::env::var("PORT") {
            Ok(port) => parse("PORT", &port)?,
            Err(_) => 9001,
        };
        let mut path = "/echo".to_owned();
        let mut message_bytes_max = Config::default().message_bytes_max;
        let mut handshake_timeout_ms = 10_000;
        let mut allowed = Vec::new();
        let mut deflate = Deflate::disabled();
        let mut threads = 1;
        let (mut is_tls, mut chain, mut key) = (false, None, None);
        let mut args = std::env::args().skip(1).peekable();
        while let Some(name) = args.next() {
            if name == "--deflate" {
                deflate = mode(args.next_if(|value| !value.starts_with("--")).as_deref())?;
                continue;
            }
            if name == "--tls" {
                is_tls = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--addr" => address = parse(&name, &value)?,
                "--port" => port = parse(&name, &value)?,
                "--path" => path = value,
                "--max-message" => message_bytes_max = parse(&name, &value)?,
                "--handshake-timeout-ms" => handshake_timeout_ms = parse(&name, &value)?,
                "--allow-origin" => allowed.push(value),
                "--cert" => chain = Some(value),
                "--key" => key = Some(value),
                "--threads" => threads = parse(&name, &value)?,
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if threads == 0 {
            return Err("--threads needs at least 1".to_owned());
        }
        let tls = Certificate::of_options(is_tls, chain, key)?;
        Ok(Self {
            addr: SocketAddr::new(address, port),
            path,
            message_bytes_max,
            handshake_timeout: Duration::from_millis(handshake_timeout_ms),
            origins: origins(&allowed)?,
            deflate,
            threads,
            tls,
        })
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.message_bytes_max = self.message_bytes_max;
        config.deflate = self.deflate;
        // An echo has nothing to say in the middle of a message, and one frame is less work for both.
        config.fragment_bytes_max = None;
        config
    }
}

fn mode(value: Option<&str>) -> Result<Deflate, String> {
    match value {
        None => Ok(Deflate::context_takeover().peer_context(false)),
        Some("off") => Ok(Deflate::disabled()),
        Some("no-context") => Ok(Deflate::no_context()),
        Some("takeover") => Ok(Deflate::context_takeover()),
        Some(other) => Err(format!("--deflate: {other:?} is none of takeover, no-context, off")),
    }
}

fn origins(allowed: &[String]) -> Result<Origins, String> {
    if allowed.is_empty() {
        return Ok(Origins::SameHost);
    }
    if allowed.iter().any(|origin| origin == "*") {
        return Ok(Origins::Any);
    }
    let parsed = allowed.iter().map(|origin| parse("--allow-origin", origin));
    parsed.collect::<Result<_, _>>().map(Origins::List)
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not understood"))
}
