//! The command line of the chat.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::certificate::Certificate;

pub(crate) const USAGE: &str = "\
usage: chat [OPTIONS]
  --addr ADDRESS              address to listen on (default 127.0.0.1)
  --port PORT                 port; 0 picks one (default $PORT, else 8080)
  --away SECONDS              how long a place is kept for who has lost the network (default 60)
  --metrics                   serves /metrics for Prometheus, to whoever asks (default: to nobody)";

pub(crate) struct Options {
    pub(crate) addr: SocketAddr,
    pub(crate) away: Duration,
    pub(crate) has_metrics: bool,
    pub(crate) tls: Option<Certificate>,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut port = match std::env::var("PORT") {
            Ok(port) => parse("PORT", &port)?,
            Err(_) => 8080,
        };
        let mut away = Duration::from_secs(60);
        let mut has_metrics = false;
        let (mut is_tls, mut chain, mut key) = (false, None, None);
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--addr" => address = parse(&name, &value()?)?,
                "--port" => port = parse(&name, &value()?)?,
                "--away" => away = Duration::from_secs(parse(&name, &value()?)?),
                "--metrics" => has_metrics = true,
                "--tls" => is_tls = true,
                "--cert" => chain = Some(value()?),
                "--key" => key = Some(value()?),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        let tls = Certificate::of_options(is_tls, chain, key)?;
        Ok(Self { addr: SocketAddr::new(address, port), away, has_metrics, tls })
    }
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not understood"))
}
