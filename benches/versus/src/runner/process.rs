//! Processes that are started, heard with a deadline, and always ended, by their id.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::affinity;
use crate::load::Result;

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(10);

/// A process on some cores. It is ended with the value.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `path` on `cores`.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(
        path: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        cores: &[usize],
    ) -> Result<Self> {
        // What is started inherits the cores of this thread.
        affinity::pin(cores)?;
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stdout).lines();
                lines.map_while(|line| sender.send(line.ok()?).ok()).for_each(drop);
            });
        }
        Ok(Self { child, lines })
    }

    /// The next line of its output.
    ///
    /// # Errors
    /// None came in time, or it ended before.
    pub fn line(&self, patience: Duration) -> Result<String> {
        let line = self.lines.recv_timeout(patience);
        line.map_err(|error| format!("no line of output: {error}").into())
    }

    /// Where a server says that it listens.
    ///
    /// # Errors
    /// It does not say so.
    pub fn address(&self) -> Result<SocketAddr> {
        loop {
            let line = self.line(START)?;
            if let Some((_, address)) = line.split_once("listening on ") {
                return Ok(address.trim().parse()?);
            }
        }
    }

    /// Its standard input, which ends when the value is dropped.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
