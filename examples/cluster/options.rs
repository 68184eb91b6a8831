//! The command line.

use std::env::args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sockeye::handshake::TrustedProxies;

use super::broker::{Broker, Program};

pub(crate) const USAGE: &str = "\
usage: cluster [OPTIONS]                the whole: a broker and nodes, until Ctrl-C
  --nodes N                   how many, 2 to 9 (default 3)
  --port PORT                 of the first node, the others have the next ones; 0 picks free ones (default 8081)
  --start redis | nats        which broker is started (default: the first of the two that is there)
  --redis URL | --nats URL    one that is there: nothing is started; with JetStream, NATS has the sessions as Redis has
  --redis-cluster URL[,URL]   the same of a Redis Cluster, by some of its nodes
  --away SECONDS              how long a place is kept for who has lost the network (default 60)

usage: cluster node [OPTIONS]           one node, as a server runs it
  --redis URL | --nats URL    the broker (default: $REDIS_URL, $REDIS_CLUSTER_URLS, $NATS_URL)
  --redis-cluster URL[,URL]   as above
  --addr ADDRESS              address to listen on (default 127.0.0.1)
  --port PORT                 port; 0 picks one (default 8081)
  --away SECONDS              as above
  --behind NETWORK            a proxy that is believed who its client is, by X-Forwarded-For; may stand several times
  --proxy-protocol NETWORK    the same for one that speaks the PROXY protocol
  --drain SECONDS             how long connections have to go when it is asked to end (default 3)
  --number N                  what it is called, where there are several
  --url URL                   where each node is, this one first; may stand several times (default: where the page is)
  --until-eof                 ends when its standard input does, too";

pub(crate) enum Options {
    All(All),
    Node(Node),
    /// A broker of this number, on this port: for the whole.
    Broker(Program, u16),
}

/// The whole.
pub(crate) struct All {
    pub(crate) nodes: u16,
    pub(crate) port: u16,
    pub(crate) start: Option<Program>,
    pub(crate) broker: Option<Broker>,
    pub(crate) away: Duration,
}

/// One node.
pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) addr: SocketAddr,
    pub(crate) away: Duration,
    pub(crate) by_header: Option<TrustedProxies>,
    pub(crate) by_protocol: Option<TrustedProxies>,
    pub(crate) drain: Duration,
    pub(crate) number: usize,
    pub(crate) urls: Vec<String>,
    pub(crate) is_child: bool,
}

/// What stands on the command line, whatever it is for.
struct Given {
    nodes: u16,
    port: u16,
    start: Option<Program>,
    broker: Option<Broker>,
    addr: IpAddr,
    away: Duration,
    by_header: Vec<String>,
    by_protocol: Vec<String>,
    drain: Duration,
    number: usize,
    urls: Vec<String>,
    is_child: bool,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut args = args().skip(1).peekable();
        let role = args.next_if(|first| !first.starts_with('-'));
        let given = Given::read(args)?;
        match role.as_deref() {
            None => given.into_all().map(Self::All),
            Some("node") => given.into_node().map(Self::Node),
            Some("broker") => {
                let program = given.start.ok_or("--start is missing")?;
                Ok(Self::Broker(program, given.port))
            }
            Some(other) => Err(format!("{other:?} is not understood")),
        }
    }
}

impl Given {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = Self {
            nodes: 3,
            port: 8081,
            start: None,
            broker: None,
            addr: Ipv4Addr::LOCALHOST.into(),
            away: Duration::from_secs(60),
            by_header: Vec::new(),
            by_protocol: Vec::new(),
            drain: Duration::from_secs(3),
            number: 1,
            urls: Vec::new(),
            is_child: false,
        };
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--nodes" => given.nodes = parse(&name, &value()?)?,
                "--port" => given.port = parse(&name, &value()?)?,
                "--start" => given.start = Some(parse(&name, &value()?)?),
                "--redis" => given.broker = Some(Broker::redis(&value()?)?),
                "--redis-cluster" => given.broker = Some(Broker::redis_cluster(&value()?)?),
                "--nats" => given.broker = Some(Broker::nats(&value()?)?),
                "--addr" => given.addr = parse(&name, &value()?)?,
                "--away" => given.away = Duration::from_secs(parse(&name, &value()?)?),
                "--behind" => given.by_header.push(value()?),
                "--proxy-protocol" => given.by_protocol.push(value()?),
                "--drain" => given.drain = Duration::from_secs(parse(&name, &value()?)?),
                "--number" => given.number = parse(&name, &value()?)?,
                "--url" => given.urls.push(value()?),
                "--until-eof" => given.is_child = true,
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(given)
    }

    fn into_all(self) -> Result<All, String> {
        let Self { nodes, port, start, broker, away, .. } = self;
        if !(2..=9).contains(&nodes) {
            return Err("--nodes: 2 to 9".to_owned());
        }
        if port > u16::MAX - nodes {
            return Err(format!("--port: there are not {nodes} ports from {port} on"));
        }
        Ok(All { nodes, port, start, broker, away })
    }

    fn into_node(self) -> Result<Node, String> {
        let Self { broker, away, drain, number, urls, is_child, .. } = self;
        let broker = match broker {
            Some(broker) => broker,
            None => Broker::of_env()?,
        };
        let by_header = proxies("--behind", &self.by_header)?;
        let by_protocol = proxies("--proxy-protocol", &self.by_protocol)?;
        let addr = SocketAddr::new(self.addr, self.port);
        Ok(Node { broker, addr, away, by_header, by_protocol, drain, number, urls, is_child })
    }
}

/// `None`: nobody is believed.
fn proxies(name: &str, networks: &[String]) -> Result<Option<TrustedProxies>, String> {
    let parsed = TrustedProxies::parse(networks.iter().map(String::as_str));
    let parsed = parsed.map_err(|error| format!("{name}: {error}"))?;
    Ok((!networks.is_empty()).then_some(parsed))
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not understood"))
}
