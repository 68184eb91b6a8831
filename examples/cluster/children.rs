//! Processes of this program that are its own children. Each ends when its standard input does, which is when its parent
//! ends, however that comes about: nothing is left behind.

use std::io::{self, Read as _};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long one may take to say that it is there.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// How long one may take to end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What a node is told that the others shall have the sessions of.
const DRAIN: &[u8] = b"drain";

/// One that runs.
pub(crate) struct Child {
    process: Process,
    /// Dropped, it is asked to end.
    input: Option<ChildStdin>,
    /// Of what it says nothing is read but the first line.
    output: Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(crate) fn start(args: &[String], variable: Option<(&str, &str)>) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).envs(variable).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        apart(&mut command);
        let mut process = command.spawn()?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, input, output: BufReader::new(output).lines() })
    }

    /// What it says first; `None`: it has ended without a word.
    pub(crate) async fn ready(&mut self) -> io::Result<Option<String>> {
        timeout(READY_WITHIN, self.output.next_line()).await?
    }

    /// Ready when it has ended.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        pin!(self.process.wait()).poll(cx)
    }

    /// As `kill -9`.
    pub(crate) async fn kill(mut self) -> io::Result<()> {
        self.process.kill().await
    }

    /// Asks it to end, and waits for it, up to a deadline. A node that drains lets the others have its sessions first.
    pub(crate) async fn stop(mut self, drains: bool) -> io::Result<()> {
        if let Some(mut input) = self.input.take()
            && drains
        {
            // One that has ended already is told nothing.
            let _ = input.write_all(DRAIN).await;
        }
        match timeout(ENDS_WITHIN, self.process.wait()).await {
            Ok(status) => status.map(drop),
            Err(_) => self.process.kill().await,
        }
    }
}

/// Ready when the standard input of this process has ended: whether it is to drain.
pub(crate) async fn parent_is_gone() -> bool {
    let (told, gone) = oneshot::channel();
    // A thread of its own, for which nobody waits.
    std::thread::spawn(move || {
        let mut said = Vec::new();
        // An input that cannot be read has ended as well.
        let _ = io::stdin().lock().take(DRAIN.len() as u64).read_to_end(&mut said);
        // Nobody may want to know any more.
        let _ = told.send(said == DRAIN);
    });
    gone.await.unwrap_or(false)
}

/// Ctrl-C in the terminal is for the parent, which ends its children in order.
#[cfg(unix)]
fn apart(command: &mut Command) {
    command.process_group(0);
}

#[cfg(not(unix))]
fn apart(_: &mut Command) {}
