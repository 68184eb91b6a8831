//! What is typed.

use tokio::sync::mpsc;

pub(crate) const HELP: &str = "  kill N     as `kill -9`: its pages go on with another node
  stop N     it says goodbye and ends
  start N    it comes back
  list       who is there
  quit       ends all, as Ctrl-C does";

/// Lines that are read ahead.
const AHEAD_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// By its number, from 1 on.
    Kill(usize),
    Stop(usize),
    Start(usize),
    List,
    Help,
    Quit,
}

impl Command {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (verb, number) = (words.next()?, words.next());
        if words.next().is_some() {
            return None;
        }
        match (verb, number.map(str::parse)) {
            ("kill", Some(Ok(number))) => Some(Self::Kill(number)),
            ("stop", Some(Ok(number))) => Some(Self::Stop(number)),
            ("start", Some(Ok(number))) => Some(Self::Start(number)),
            ("list", None) => Some(Self::List),
            ("help", None) => Some(Self::Help),
            ("quit", None) => Some(Self::Quit),
            _ => None,
        }
    }
}

/// What is typed from now on, until the input ends. Whoever types something else is told what there is.
pub(crate) fn read() -> mpsc::Receiver<Command> {
    let (sender, commands) = mpsc::channel(AHEAD_MAX);
    // A terminal cannot be read without blocking, and nobody waits for the thread in the end.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if line.trim().is_empty() {
                continue;
            }
            if sender.blocking_send(Command::parse(&line).unwrap_or(Command::Help)).is_err() {
                return;
            }
        }
    });
    commands
}
