//! The task of a connection: reads and writes, and answers the server's pings.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};

use crate::net::NetStream;
use crate::pubsub::inbox::Inbox;
use crate::sync::{Arc, Mutex, OnceLock};

use super::fault::Fault;
use super::parser::{Heard, Parser, Said};

/// Who is told what comes.
pub(super) trait Listener: Send + Sync + 'static {
    /// Asks the server for headers, and to be told where nobody listens to what was asked.
    const HAS_HEADERS: bool;

    /// Never waits.
    fn hear(&self, heard: Heard);

    /// Nothing comes any more.
    fn end(&self);
}

/// The bus takes what comes by and by.
impl Listener for Inbox {
    const HAS_HEADERS: bool = false;

    fn hear(&self, heard: Heard) {
        self.push(heard.message);
    }

    fn end(&self) {
        Self::end(self);
    }
}

/// What the task and its connection have in common.
pub(super) struct Shared<L> {
    pub(super) listener: L,
    outgoing: Mutex<Outgoing>,
    /// There is something to write.
    filled: Notify,
    /// Why it has ended, once it has.
    fault: OnceLock<Fault>,
}

/// What is to be written. The bus asks for one thing after another, so it is no more than one batch; of requests there are no
/// more than may wait for their answers.
#[derive(Debug, Default)]
struct Outgoing {
    lines: Vec<u8>,
    /// Pings in all that was ever put in: answers <= pings
    pings: u64,
    /// However often the server asks before it can be written to, it gets one answer.
    is_asked: bool,
}

impl<L> Shared<L> {
    pub(super) fn new(listener: L) -> Self {
        let (outgoing, filled) = (Mutex::default(), Notify::new());
        Self { listener, outgoing, filled, fault: OnceLock::new() }
    }

    /// Has this written.
    #[allow(dead_code, reason = "without feature `app` nobody asks")]
    pub(super) fn push(&self, lines: Vec<u8>) {
        self.outgoing.lock().push(lines);
        self.filled.notify_one();
    }

    /// The same with a ping behind it; which one it is.
    pub(super) fn push_with_ping(&self, mut lines: Vec<u8>) -> u64 {
        lines.extend_from_slice(b"PING\r\n");
        let mut outgoing = self.outgoing.lock();
        outgoing.push(lines);
        outgoing.pings += 1;
        self.filled.notify_one();
        outgoing.pings
    }

    pub(super) fn fault(&self) -> Fault {
        self.fault.get().copied().unwrap_or(Fault::LOST)
    }

    #[allow(dead_code, reason = "without feature `app` nobody asks")]
    pub(super) fn has_ended(&self) -> bool {
        self.fault.get().is_some()
    }

    fn pings(&self) -> u64 {
        self.outgoing.lock().pings
    }

    fn owe_pong(&self) {
        self.outgoing.lock().is_asked = true;
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<u8> {
        let mut outgoing = self.outgoing.lock();
        if std::mem::take(&mut outgoing.is_asked) {
            outgoing.lines.extend_from_slice(b"PONG\r\n");
        }
        std::mem::take(&mut outgoing.lines)
    }
}

impl Outgoing {
    fn push(&mut self, lines: Vec<u8>) {
        match self.lines.is_empty() {
            true => self.lines = lines,
            false => self.lines.extend_from_slice(&lines),
        }
    }
}

/// Works until the connection ends, however slowly what comes is taken. `answers` counts pongs, and is dropped in the end.
pub(super) async fn run<L: Listener>(
    stream: NetStream,
    parser: Parser,
    shared: Arc<Shared<L>>,
    answers: watch::Sender<u64>,
) {
    let (reader, writer) = tokio::io::split(stream);
    let fault = tokio::select! {
        biased;
        fault = send(writer, &shared) => fault,
        fault = receive(reader, parser, &shared, &answers) => fault,
    };
    let _ = shared.fault.set(fault);
    shared.listener.end();
}

async fn receive<L: Listener>(
    mut stream: impl AsyncRead + Unpin,
    mut parser: Parser,
    shared: &Shared<L>,
    answers: &watch::Sender<u64>,
) -> Fault {
    loop {
        match listen(&mut stream, &mut parser).await {
            Ok(Said::Message(heard)) => shared.listener.hear(heard),
            Ok(Said::Ping) => shared.owe_pong(),
            Ok(Said::Pong) => {
                if *answers.borrow() >= shared.pings() {
                    return Fault::answer("a PONG that nobody asked for");
                }
                answers.send_modify(|count| *count += 1);
            }
            Ok(Said::Info(info)) if info.is_leaving => return Fault::LEAVING,
            Ok(Said::Info(_)) => {}
            Err(fault) => return fault,
        }
    }
}

/// The next thing that a server says.
pub(super) async fn listen<S: AsyncRead + Unpin>(
    stream: &mut S,
    parser: &mut Parser,
) -> Result<Said, Fault> {
    loop {
        if let Some(said) = parser.next()? {
            return Ok(said);
        }
        if !matches!(stream.read_buf(parser.room()).await, Ok(1..)) {
            return Err(Fault::LOST);
        }
    }
}

async fn send<L>(mut stream: impl AsyncWrite + Unpin, shared: &Shared<L>) -> Fault {
    loop {
        shared.filled.notified().await;
        if write(&mut stream, &shared.take()).await.is_err() {
            // What the server said last may tell why, and reading ends as well.
            return std::future::pending().await;
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    // TLS may hold something back.
    stream.flush().await
}
