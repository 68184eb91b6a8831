//! The brokers, and what a bare client says to them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;

/// How long one may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Redis,
    Nats,
}

/// One that runs, until it is dropped.
pub(crate) struct Broker {
    pub(crate) program: Program,
    pub(crate) port: u16,
    child: Child,
}

impl Program {
    pub(crate) const ALL: [Self; 2] = [Self::Redis, Self::Nats];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
        }
    }

    fn command(self, port: u16) -> Command {
        let (mut command, port) = (Command::new(self.name()), port.to_string());
        match self {
            Self::Redis => command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]),
            Self::Nats => command.args(["-a", "127.0.0.1", "-p", &port]),
        };
        command.current_dir(std::env::temp_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What a client says first, and what a subscriber says.
    pub(crate) fn subscribe(self, channel: &str) -> String {
        match self {
            Self::Redis => format!("SUBSCRIBE {channel}\r\n"),
            Self::Nats => format!("CONNECT {{\"verbose\":false}}\r\nSUB {channel} 1\r\nPING\r\n"),
        }
    }

    /// How what answers that ends.
    pub(crate) const fn subscribed(self) -> &'static str {
        match self {
            Self::Redis => ":1\r\n",
            Self::Nats => "PONG\r\n",
        }
    }

    pub(crate) const fn hello(self) -> &'static str {
        match self {
            Self::Redis => "",
            Self::Nats => "CONNECT {\"verbose\":false}\r\n",
        }
    }

    pub(crate) fn publish(self, channel: &str, payload: &str) -> String {
        let len = payload.len();
        match self {
            Self::Redis => format!(
                "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${len}\r\n{payload}\r\n",
                channel.len()
            ),
            Self::Nats => format!("PUB {channel} {len}\r\n{payload}\r\n"),
        }
    }

    /// What a subscriber gets for a message, up to its payload; two bytes are behind it.
    pub(crate) fn head(self, channel: &str, len: usize) -> String {
        match self {
            Self::Redis => {
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
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`: it is not installed.
pub(crate) async fn start(program: Program) -> io::Result<Option<Broker>> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let port = TcpListener::bind(any)?.local_addr()?.port();
    let child = match program.command(port).spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        child => child?,
    };
    let broker = Broker { program, port, child };
    let listens = async {
        while connect(port).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(STARTS_WITHIN, listens).await?;
    Ok(Some(broker))
}

pub(crate) async fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
