//! The command line.

use std::str::FromStr;
use std::time::Duration;

use crate::broker::Program;

pub(crate) const USAGE: &str = "\
options, behind `cargo bench --bench cluster --features hub,redis,nats --`:
  --seconds N     how long each rate is measured (default 2)
  --bytes N       of a message, 20 to 125 (default 64)
  --rooms N,N     how many rooms take turns (default 1,1000,100000)";

/// What one of the processes is told.
pub(crate) enum Role {
    /// A node that hears.
    Node(Program, u16),
    /// A bare client that does.
    Bare(Program, u16),
}

pub(crate) struct Options {
    pub(crate) seconds: Duration,
    pub(crate) bytes: usize,
    pub(crate) rooms: Vec<usize>,
    /// `None`: it starts the others.
    pub(crate) role: Option<Role>,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let (seconds, bytes) = (Duration::from_secs(2), 64);
        let mut options = Self { seconds, bytes, rooms: vec![1, 1000, 100_000], role: None };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                // What cargo says.
                "--bench" => {}
                "--seconds" => options.seconds = Duration::from_secs(parse(&value()?)?),
                "--bytes" => options.bytes = parse(&value()?)?,
                "--rooms" => {
                    let rooms = value()?;
                    options.rooms = rooms.split(',').map(parse).collect::<Result<_, _>>()?;
                }
                "--node" => options.role = Some(Role::Node(parse(&value()?)?, parse(&value()?)?)),
                "--bare" => options.role = Some(Role::Bare(parse(&value()?)?, parse(&value()?)?)),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        // A time is in each message, and one length byte in its frame.
        if !(20..=125).contains(&options.bytes) {
            return Err("--bytes: 20 to 125".to_owned());
        }
        Ok(options)
    }
}

fn parse<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is not understood"))
}
