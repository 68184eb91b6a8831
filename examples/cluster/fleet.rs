//! The whole: a broker and nodes, until it is to end.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::process::ExitStatus;
use std::task::Poll;

use super::broker::{self, Broker, Program};
use super::children::Child;
use super::commands::{self, Command};
use super::options::All;
use super::stop;

/// What became of a process of this program.
pub(crate) type Ended = Result<(), Box<dyn std::error::Error>>;

struct Fleet {
    broker: Broker,
    /// `None`: it is not ours.
    broker_child: Option<Child>,
    /// `None`: it is not there now.
    nodes: Vec<Option<Child>>,
    ports: Vec<u16>,
    away_seconds: u64,
}

pub(crate) async fn run(all: All) -> Ended {
    let mut stopped = pin!(stop::asked());
    let mut fleet = tokio::select! {
        started = Fleet::start(all) => started?,
        // What has begun ends by being dropped.
        () = &mut stopped => return Ok(()),
    };
    println!("open two of them in a browser, and type:\n{}", commands::HELP);
    let mut commands = commands::read();
    loop {
        let command = tokio::select! {
            () = &mut stopped => break,
            ended = fleet.ended() => {
                fleet.note(ended?);
                continue;
            }
            // Where the input has ended there is only Ctrl-C.
            Some(command) = commands.recv() => command,
        };
        if command == Command::Quit {
            break;
        }
        if let Err(error) = fleet.obey(command).await {
            println!("{error}");
        }
    }
    fleet.stop().await
}

/// Who has ended by itself.
#[derive(Clone, Copy)]
enum Lost {
    Broker(ExitStatus),
    /// By its number.
    Node(usize, ExitStatus),
}

impl Fleet {
    async fn start(all: All) -> Result<Self, Box<dyn std::error::Error>> {
        let (broker, broker_child) = match all.broker {
            Some(broker) => (broker, None),
            None => start_broker(all.start).await?,
        };
        let ports = match all.port {
            0 => free_ports(usize::from(all.nodes))?,
            first => (first..).take(usize::from(all.nodes)).collect(),
        };
        let nodes = ports.iter().map(|_| None).collect();
        let away_seconds = all.away.as_secs();
        let mut fleet = Self { broker, broker_child, nodes, ports, away_seconds };
        for number in 1..=fleet.nodes.len() {
            fleet.start_node(number).await?;
        }
        Ok(fleet)
    }

    async fn start_node(&mut self, number: usize) -> Ended {
        let url = |port: &u16| format!("ws://127.0.0.1:{port}/chat");
        let port = self.ports[number - 1];
        let mut args = vec!["node".to_owned(), "--until-eof".to_owned()];
        for (name, value) in [
            ("--port", port.to_string()),
            ("--number", number.to_string()),
            ("--away", self.away_seconds.to_string()),
        ] {
            args.extend([name.to_owned(), value]);
        }
        // Its own first, then in a ring, so that those of a node that is gone spread over the others.
        for port in self.ports[number - 1..].iter().chain(&self.ports[..number - 1]) {
            args.extend(["--url".to_owned(), url(port)]);
        }
        let mut child =
            Child::start(&args, Some((self.broker.variable, self.broker.url.as_str())))?;
        // It says on its own why, where it says nothing here.
        let line = child.ready().await?.ok_or_else(|| format!("node {number} does not start"))?;
        println!("{line}");
        self.nodes[number - 1] = Some(child);
        Ok(())
    }

    async fn obey(&mut self, command: Command) -> Ended {
        match command {
            Command::Kill(number) => {
                self.take(number)?.kill().await?;
                println!("node {number} is killed");
            }
            Command::Stop(number) => {
                self.take(number)?.stop(true).await?;
                println!("node {number} has stopped");
            }
            Command::Start(number) => match self.nodes.get(number.wrapping_sub(1)) {
                Some(None) => self.start_node(number).await?,
                Some(Some(_)) => return Err(format!("node {number} is there").into()),
                None => return Err(self.no_such()),
            },
            Command::List => {
                for (number, (node, port)) in (1..).zip(self.nodes.iter().zip(&self.ports)) {
                    let state = if node.is_some() { "is" } else { "is not there: it was" };
                    println!("node {number} {state} at http://127.0.0.1:{port}/");
                }
            }
            Command::Help | Command::Quit => println!("{}", commands::HELP),
        }
        Ok(())
    }

    /// One that is there, which the caller ends.
    fn take(&mut self, number: usize) -> Result<Child, Box<dyn std::error::Error>> {
        match self.nodes.get_mut(number.wrapping_sub(1)) {
            Some(node) => Ok(node.take().ok_or_else(|| format!("node {number} is not there"))?),
            None => Err(self.no_such()),
        }
    }

    fn no_such(&self) -> Box<dyn std::error::Error> {
        format!("nodes are 1 to {}", self.nodes.len()).into()
    }

    /// Waits until one has ended by itself.
    ///
    /// Cancel safety: it only looks.
    async fn ended(&mut self) -> io::Result<Lost> {
        poll_fn(|cx| {
            if let Some(child) = &mut self.broker_child
                && let Poll::Ready(status) = child.poll_ended(cx)
            {
                return Poll::Ready(status.map(Lost::Broker));
            }
            for (number, node) in (1..).zip(&mut self.nodes) {
                if let Some(child) = node
                    && let Poll::Ready(status) = child.poll_ended(cx)
                {
                    return Poll::Ready(status.map(|status| Lost::Node(number, status)));
                }
            }
            Poll::Pending
        })
        .await
    }

    fn note(&mut self, lost: Lost) {
        match lost {
            Lost::Broker(status) => {
                self.broker_child = None;
                println!(
                    "the broker has ended ({status}): the nodes do not hear each other any more"
                );
            }
            Lost::Node(number, status) => {
                self.nodes[number - 1] = None;
                println!("node {number} has ended ({status}); `start {number}` brings it back");
            }
        }
    }

    /// The nodes say goodbye, and the broker is there for it.
    async fn stop(self) -> Ended {
        let mut stopping = tokio::task::JoinSet::new();
        for node in self.nodes.into_iter().flatten() {
            stopping.spawn(node.stop(false));
        }
        while let Some(stopped) = stopping.join_next().await {
            stopped??;
        }
        if let Some(broker) = self.broker_child {
            broker.stop(false).await?;
        }
        println!("all have ended");
        Ok(())
    }
}

/// The one that is asked for, or the first that is installed.
async fn start_broker(
    wanted: Option<Program>,
) -> Result<(Broker, Option<Child>), Box<dyn std::error::Error>> {
    for program in
        Program::ALL.into_iter().filter(|program| wanted.is_none_or(|one| one == *program))
    {
        let port = free_ports(1)?[0];
        let args = ["broker", "--start", program.scheme(), "--port", &port.to_string()];
        let mut child = Child::start(&args.map(str::to_owned), None)?;
        let said =
            child.ready().await?.ok_or_else(|| format!("{} does not start", program.name()))?;
        if said.contains("://") {
            println!("{said}");
            return Ok((program.at(port)?, Some(child)));
        }
    }
    Err(broker::MISSING.into())
}

/// Of this moment: nothing keeps others from taking them before a child does, and then it says so.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // All at once, so that they are different.
    let listeners = (0..count).map(|_| TcpListener::bind(any)).collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
