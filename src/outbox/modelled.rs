//! The far end of an outbox in a model.

use std::io::{self, IoSlice};

use crate::frame::Frame;

use super::queue::WriteNow;

/// A socket that takes so many bytes, then refuses until it is allowed more. The outbox's lock owns it, so
/// its own is never waited for.
#[derive(Default)]
pub(crate) struct Line(std::sync::Mutex<Wire>);

#[derive(Default)]
struct Wire {
    allowed: usize,
    taken: Vec<u8>,
}

impl Line {
    pub(crate) fn allow(&self, bytes: usize) {
        let mut wire = self.0.lock().expect("no panic");
        wire.allowed = wire.allowed.saturating_add(bytes);
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        texts(&self.0.lock().expect("no panic").taken)
    }

    /// What came, byte by byte.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").taken.clone()
    }
}

impl WriteNow for Line {
    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.lock().expect("no panic");
        let first = slices.first().map_or(&[][..], |slice| slice);
        let len = first.len().min(wire.allowed);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.allowed -= len;
        wire.taken.extend_from_slice(&first[..len]);
        Ok(len)
    }
}

pub(crate) fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Ok(Some((frame, len))) = Frame::decode(bytes) {
        texts.push(String::from_utf8_lossy(&frame.payload).into_owned());
        bytes = &bytes[len..];
    }
    texts
}

/// Of one sender, in its order.
pub(crate) fn of<'a>(texts: &'a [String], sender: &str) -> Vec<&'a str> {
    texts.iter().filter(|text| text.starts_with(sender)).map(String::as_str).collect()
}
