//! One connection: its socket and what could not be finished yet.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, writev};
use rustix::net::{SendFlags, send};

use super::Gone;
use super::large::Large;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Upgrading,
    Echo,
    Chat,
    /// The close frame is answered: over when that is written.
    Closing,
}

pub struct Connection {
    pub socket: OwnedFd,
    pub phase: Phase,
    /// An incomplete frame or request, from its first byte.
    pub input: Vec<u8>,
    pub large: Option<Box<Large>>,
    /// The last frame was large, so the next may be read straight into memory of that size.
    pub sends_large: bool,
    /// What the kernel refused: `written <= output.len()`.
    output: Vec<u8>,
    written: usize,
}

impl Connection {
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            phase: Phase::Upgrading,
            input: Vec::new(),
            large: None,
            sends_large: false,
            output: Vec::new(),
            written: 0,
        }
    }

    /// Sends `bytes`; keeps what the kernel refuses.
    ///
    /// # Errors
    /// The socket failed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let sent = if self.has_output() { 0 } else { send_some(&self.socket, bytes)? };
        self.output.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Sends `slices` as one; keeps what the kernel refuses.
    ///
    /// # Errors
    /// The socket failed.
    pub fn send_all(&mut self, slices: &[IoSlice<'_>]) -> Result<(), Gone> {
        if let [slice] = slices {
            return self.send(slice);
        }
        let mut sent = match () {
            () if slices.is_empty() || self.has_output() => 0,
            () => settle(writev(&self.socket, slices))?,
        };
        for slice in slices {
            let skipped = sent.min(slice.len());
            sent -= skipped;
            self.output.extend_from_slice(&slice[skipped..]);
        }
        Ok(())
    }

    /// Sends what the kernel refused before.
    ///
    /// # Errors
    /// The socket failed.
    pub fn flush(&mut self) -> Result<(), Gone> {
        self.written += send_some(&self.socket, &self.output[self.written..])?;
        if !self.has_output() {
            self.output = Vec::new();
            self.written = 0;
        }
        Ok(())
    }

    pub fn has_output(&self) -> bool {
        self.written < self.output.len()
    }
}

pub fn is_idle(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::INTR)
}

fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Gone> {
    settle(send(socket, bytes, SendFlags::NOSIGNAL))
}

fn settle(result: Result<usize, Errno>) -> Result<usize, Gone> {
    match result {
        Ok(sent) => Ok(sent),
        Err(error) if is_idle(error) => Ok(0),
        Err(_) => Err(Gone),
    }
}
