//! The program that the conformance suite tests as a client: runs every case of a fuzzing server.
//!
//! `cargo run --release --example autobahn_client -- [OPTIONS] ws://127.0.0.1:9001 AGENT`

#[path = "support/help.rs"]
mod help;

use std::process::ExitCode;

use futures_util::{SinkExt, StreamExt};
use sockeye::{
    Config, Connection, Connector, Deflate, Error, Handler, MessageRef, NetStream, WebSocket,
};

const USAGE: &str = "\
usage: autobahn_client [OPTIONS] URL AGENT
  --face FACE            what receives: recv, stream, channel or handler (default recv)
  --deflate MODE         takeover, no-context or off (default takeover)
  --window-bits N        the window of what we compress, 9 to 15 (default 15)
  --peer-window-bits N   the window of what we inflate, 9 to 15 (default 15)
  --fragment BYTES       cut what is longer into fragments (default 65536)";

type Failure = Box<dyn std::error::Error>;

#[derive(Clone, Copy)]
enum Face {
    Recv,
    Stream,
    Channel,
    Handler,
}

struct Options {
    url: String,
    agent: String,
    face: Face,
    config: Config,
}

impl Options {
    fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, Failure> {
        let mut config = Config::default();
        config.message_bytes_max = 64 * 1024 * 1024;
        let (mut face, mut deflate) = (Face::Recv, Deflate::context_takeover());
        let (mut bits, mut peer_bits) = (15, 15);
        let (mut places, mut args) = (Vec::new(), args.into_iter());
        while let Some(name) = args.next() {
            if !name.starts_with('-') {
                places.push(name);
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match (name.as_str(), value.as_str()) {
                ("--face", "recv") => face = Face::Recv,
                ("--face", "stream") => face = Face::Stream,
                ("--face", "channel") => face = Face::Channel,
                ("--face", "handler") => face = Face::Handler,
                ("--deflate", "takeover") => deflate = Deflate::context_takeover(),
                ("--deflate", "no-context") => deflate = Deflate::no_context(),
                ("--deflate", "off") => deflate = Deflate::disabled(),
                ("--window-bits", bits_text) => bits = bits_text.parse()?,
                ("--peer-window-bits", bits_text) => peer_bits = bits_text.parse()?,
                ("--fragment", bytes) => config.fragment_bytes_max = Some(bytes.parse()?),
                _ => return Err(format!("{name} {value} is not understood").into()),
            }
        }
        config.deflate = deflate.window_bits(bits)?.peer_window_bits(peer_bits)?;
        let [url, agent] = places.try_into().map_err(|_| "URL and AGENT are needed")?;
        Ok(Self { url, agent, face, config })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    help::if_asked(&[USAGE]);
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(count) => {
            println!("ran {count} cases");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases; how many there are.
async fn run(options: Options) -> Result<usize, Failure> {
    let Options { url, agent, face, config } = options;
    let connector = Connector::new(config);
    let count = count_cases(&connector, &url).await?;
    for case in 1..=count {
        let socket = connector.connect(&format!("{url}/runCase?case={case}&agent={agent}")).await;
        // A case that breaks the protocol on purpose ends with an error, as it should.
        let ended = match socket {
            Ok(socket) => echo(face, socket).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            eprintln!("case {case}: {error}");
        }
    }
    let mut socket = connector.connect(&format!("{url}/updateReports?agent={agent}")).await?;
    while socket.recv().await?.is_some() {}
    Ok(count)
}

async fn count_cases(connector: &Connector, url: &str) -> Result<usize, Failure> {
    let mut socket = connector.connect(&format!("{url}/getCaseCount")).await?;
    let message = socket.recv().await?.ok_or("the server did not tell the number of cases")?;
    let count = message.as_text().ok_or("the number of cases is not text")?.parse()?;
    socket.close(1000, "").await?;
    Ok(count)
}

/// Echoes until the server closes.
async fn echo(face: Face, mut socket: WebSocket<NetStream>) -> Result<(), Error> {
    match face {
        Face::Recv => {
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
        }
        Face::Stream => {
            while let Some(message) = socket.next().await {
                SinkExt::send(&mut socket, message?).await?;
            }
        }
        Face::Channel => {
            let (sender, mut receiver) = socket.split();
            while let Some(message) = receiver.recv().await? {
                sender.send(message).await?;
            }
        }
        Face::Handler => drop(socket.run(Echo).await),
    }
    Ok(())
}

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        // Closed meanwhile: there is nobody to answer.
        let _ = connection.send(message);
    }
}
