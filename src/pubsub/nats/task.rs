//! The task of a connection: reads and writes, and answers the server's pings.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};

use crate::net::NetStream;
use crate::pubsub::inbox::{CONNECTION_LIMITS, Inbox};
use crate::sync::{Arc, Mutex, OnceLock};

use super::fault::Fault;
use super::parser::{Parser, Said};

/// What the task and its connection have in common.
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    outgoing: Mutex<Outgoing>,
    /// There is something to write.
    filled: Notify,
    /// Why it has ended, once it has.
    fault: OnceLock<Fault>,
}

/// What is to be written. The bus asks for one thing after another, so it is no more than one batch.
#[derive(Debug, Default)]
struct Outgoing {
    lines: Vec<u8>,
    /// Pings in all that was ever put in: answers <= pings
    pings: u64,
    /// However often the server asks before it can be written to, it gets one answer.
    is_asked: bool,
}

impl Shared {
    pub(super) fn new() -> Self {
        let inbox = Inbox::new(CONNECTION_LIMITS);
        let (outgoing, filled) = (Mutex::default(), Notify::new());
        Self { inbox, outgoing, filled, fault: OnceLock::new() }
    }

    /// Has this written with a ping behind it; which one it is.
    pub(super) fn push(&self, mut lines: Vec<u8>) -> u64 {
        lines.extend_from_slice(b"PING\r\n");
        let mut outgoing = self.outgoing.lock();
        match outgoing.lines.is_empty() {
            true => outgoing.lines = lines,
            false => outgoing.lines.extend_from_slice(&lines),
        }
        outgoing.pings += 1;
        self.filled.notify_one();
        outgoing.pings
    }

    pub(super) fn fault(&self) -> Fault {
        self.fault.get().copied().unwrap_or(Fault::LOST)
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

/// Works until the connection ends, however slowly what comes is taken. `answers` counts pongs, and is dropped in the end.
pub(super) async fn run(
    stream: NetStream,
    parser: Parser,
    shared: Arc<Shared>,
    answers: watch::Sender<u64>,
) {
    let (reader, writer) = tokio::io::split(stream);
    let fault = tokio::select! {
        biased;
        fault = send(writer, &shared) => fault,
        fault = receive(reader, parser, &shared, &answers) => fault,
    };
    let _ = shared.fault.set(fault);
    shared.inbox.end();
}

async fn receive(
    mut stream: impl AsyncRead + Unpin,
    mut parser: Parser,
    shared: &Shared,
    answers: &watch::Sender<u64>,
) -> Fault {
    loop {
        match listen(&mut stream, &mut parser).await {
            Ok(Said::Message(message)) => {
                shared.inbox.push(message);
            }
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

async fn send(mut stream: impl AsyncWrite + Unpin, shared: &Shared) -> Fault {
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
