//! The brokers, and what a bare client says to them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::joined::{Place, join};

/// How long one may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Redis,
    /// Three primaries. Bare clients have no slots: there are none.
    RedisCluster,
    Nats,
}

/// One that runs, until it is dropped.
pub(crate) struct Broker {
    pub(crate) program: Program,
    /// Of the first one, where it is several.
    pub(crate) port: u16,
    children: Vec<Child>,
}

impl Program {
    pub(crate) const ALL: [Self; 3] = [Self::Redis, Self::RedisCluster, Self::Nats];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::RedisCluster => "redis-cluster",
            Self::Nats => "nats-server",
        }
    }

    fn command(self, port: u16, cluster: Option<&Place>) -> Command {
        let mut command = match self {
            Self::Redis | Self::RedisCluster => Command::new("redis-server"),
            Self::Nats => Command::new("nats-server"),
        };
        let port = port.to_string();
        match self {
            Self::Nats => command.args(["-a", "127.0.0.1", "-p", &port]),
            _ => command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]),
        };
        if let Some(place) = cluster {
            command.args(place.options());
        }
        command.current_dir(std::env::temp_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What a client says first, and what a subscriber says.
    pub(crate) fn subscribe(self, channel: &str) -> String {
        match self {
            Self::Redis | Self::RedisCluster => format!("SUBSCRIBE {channel}\r\n"),
            Self::Nats => format!("CONNECT {{\"verbose\":false}}\r\nSUB {channel} 1\r\nPING\r\n"),
        }
    }

    /// How what answers that ends.
    pub(crate) const fn subscribed(self) -> &'static str {
        match self {
            Self::Redis | Self::RedisCluster => ":1\r\n",
            Self::Nats => "PONG\r\n",
        }
    }

    pub(crate) const fn hello(self) -> &'static str {
        match self {
            Self::Redis | Self::RedisCluster => "",
            Self::Nats => "CONNECT {\"verbose\":false}\r\n",
        }
    }

    pub(crate) fn publish(self, channel: &str, payload: &str) -> String {
        let len = payload.len();
        match self {
            Self::Redis | Self::RedisCluster => format!(
                "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${len}\r\n{payload}\r\n",
                channel.len()
            ),
            Self::Nats => format!("PUB {channel} {len}\r\n{payload}\r\n"),
        }
    }

    /// What a subscriber gets for a message, up to its payload; two bytes are behind it.
    pub(crate) fn head(self, channel: &str, len: usize) -> String {
        match self {
            Self::Redis | Self::RedisCluster => {
                format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${len}\r\n", channel.len())
            }
            Self::Nats => format!("MSG {channel} 1 {len}\r\n"),
        }
    }
}

impl FromStr for Program {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|program| program.name() == name).ok_or(())
    }
}

impl Broker {
    /// Of all its processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `None`: it is not installed.
pub(crate) async fn start(program: Program) -> io::Result<Option<Broker>> {
    let places = match program {
        Program::RedisCluster => Place::three()?.map(Some).into(),
        _ => vec![None],
    };
    let mut broker = Broker { program, port: 0, children: Vec::new() };
    for place in &places {
        let port = match place {
            Some(place) => place.port,
            None => free_port()?,
        };
        match program.command(port, place.as_ref()).spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            child => broker.children.push(child?),
        }
        let listens = async {
            while connect(port).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(STARTS_WITHIN, listens).await?;
        if broker.port == 0 {
            broker.port = port;
        }
    }
    let places: Vec<_> = places.into_iter().flatten().collect();
    if !places.is_empty() {
        tokio::time::timeout(STARTS_WITHIN, join(&places)).await??;
    }
    Ok(Some(broker))
}

pub(crate) fn free_port() -> io::Result<u16> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(TcpListener::bind(any)?.local_addr()?.port())
}

pub(crate) async fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
