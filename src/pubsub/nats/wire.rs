//! What is under every connection: a task that reads and writes.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::net::NetStream;
use crate::sync::Arc;

use super::fault::Fault;
use super::parser::Parser;
use super::task::{self, Listener, Shared};

/// Ends its task when it is dropped, and with it the stream.
pub(super) struct Wire<L> {
    pub(super) shared: Arc<Shared<L>>,
    /// Pings that the server has answered.
    answers: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl<L: Listener> Wire<L> {
    /// On a stream whose server has said no more than the parser has seen.
    pub(super) fn start(stream: NetStream, parser: Parser, listener: L) -> Self {
        let shared = Arc::new(Shared::new(listener));
        let (counted, answers) = watch::channel(0);
        let task = tokio::spawn(task::run(stream, parser, shared.clone(), counted));
        Self { shared, answers, task }
    }

    /// Writes, and waits until the server has read all of it: it answers in order.
    pub(super) async fn ask(&self, lines: Vec<u8>) -> Result<(), Fault> {
        let number = self.shared.push_with_ping(lines);
        let mut answers = self.answers.clone();
        let answered = answers.wait_for(|count| *count >= number).await;
        answered.map(drop).map_err(|_| self.shared.fault())
    }
}

impl<L> Drop for Wire<L> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
