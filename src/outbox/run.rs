//! Several prepared messages in a row, for many members.

use crate::protocol::{DeflateClass, PreparedMessage};
use crate::sync::OnceLock;

/// Classes of compressing peers for which the frames are put end to end; to others they go one by one.
const CLASSES_MAX: usize = 2;

/// Storage that grew beyond this is not kept for the next run, in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// The same for how many messages there is room.
const KEPT_MESSAGES_MAX: usize = 1024;

/// Consecutive prepared messages, and their frames end to end, so that one write sends them all to
/// each of many peers.
#[derive(Debug, Default)]
pub struct Run {
    messages: Vec<PreparedMessage>,
    bytes: Vec<u8>,
    payload_bytes: usize,
    variants: [OnceLock<Variant>; CLASSES_MAX],
}

/// The frames as peers of a class read them. Its bytes are the whole run's.
#[derive(Debug)]
struct Variant {
    class: DeflateClass,
    threshold_bytes: usize,
    bytes: Vec<u8>,
    /// Whether a frame of it is compressed.
    is_compressed: bool,
    /// Where each frame ends.
    ends: Vec<usize>,
}

/// A run as one peer reads it.
pub(super) struct Frames<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) is_compressed: bool,
    ends: Ends<'a>,
}

enum Ends<'a> {
    Plain(&'a [PreparedMessage]),
    Variant(&'a [usize]),
}

impl Run {
    /// Appends a message.
    pub fn push(&mut self, message: PreparedMessage) {
        self.bytes.extend_from_slice(message.frame());
        self.payload_bytes += message.payload().len();
        self.messages.push(message);
        self.variants = Default::default();
    }

    /// Forgets the messages, keeps the memory of up to 64 KiB and 1,024 messages.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.bytes.clear();
        self.payload_bytes = 0;
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        if self.messages.capacity() > KEPT_MESSAGES_MAX {
            self.messages = Vec::new();
        }
        self.variants = Default::default();
    }

    /// The frames end to end, as a server sends them to peers without compression.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Payload bytes of the messages.
    pub(super) const fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Whether a payload is longer than so many bytes.
    pub(super) fn has_longer_than(&self, bytes: usize) -> bool {
        self.payload_bytes > bytes && self.messages.iter().any(|m| m.payload().len() > bytes)
    }

    /// The messages.
    #[must_use]
    pub fn messages(&self) -> &[PreparedMessage] {
        &self.messages
    }

    /// The frames for peers of a class and a threshold; `None`: of too many classes.
    pub(super) fn frames(&self, class: Option<(DeflateClass, usize)>) -> Option<Frames<'_>> {
        let Some((class, threshold_bytes)) = class else {
            let ends = Ends::Plain(&self.messages);
            return Some(Frames { bytes: &self.bytes, is_compressed: false, ends });
        };
        self.variants.iter().find_map(|slot| {
            let variant = slot.get_or_init(|| Variant::new(&self.messages, class, threshold_bytes));
            let is_same = variant.class == class && variant.threshold_bytes == threshold_bytes;
            is_same.then(|| Frames {
                bytes: &variant.bytes,
                is_compressed: variant.is_compressed,
                ends: Ends::Variant(&variant.ends),
            })
        })
    }
}

impl Variant {
    #[cold]
    fn new(messages: &[PreparedMessage], class: DeflateClass, threshold_bytes: usize) -> Self {
        let mut variant = Self {
            class,
            threshold_bytes,
            bytes: Vec::new(),
            is_compressed: false,
            ends: Vec::new(),
        };
        for message in messages {
            let is_due = message.is_compressed_from(threshold_bytes);
            let compressed = if is_due { message.compressed_frame(class) } else { None };
            variant.is_compressed |= compressed.is_some();
            variant.bytes.extend_from_slice(compressed.unwrap_or_else(|| message.frame()));
            variant.ends.push(variant.bytes.len());
        }
        variant
    }
}

impl<'a> Frames<'a> {
    /// The index of the first message of which less than all was written, and the rest of its frame.
    pub(super) fn rest_at(&self, written: usize) -> (usize, &'a [u8]) {
        let mut start = 0;
        let mut index = 0;
        while let Some(end) = self.end(index, start) {
            if written < end {
                return (index, &self.bytes[written..end]);
            }
            start = end;
            index += 1;
        }
        (index, &[])
    }

    fn end(&self, index: usize, start: usize) -> Option<usize> {
        match self.ends {
            Ends::Plain(messages) => messages.get(index).map(|m| start + m.frame().len()),
            Ends::Variant(ends) => ends.get(index).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CN-04: what the kernel took may end anywhere, also between two messages.
    #[test]
    fn the_rest_begins_where_the_kernel_stopped() {
        let mut run = Run::default();
        let frames = [3, 200, 0, 1].map(|len| PreparedMessage::new(vec![7; len].as_slice()));
        frames.iter().for_each(|frame| run.push(frame.clone()));
        assert_eq!(run.bytes(), frames.each_ref().map(|frame| &frame.frame()[..]).concat());
        let plain = run.frames(None).unwrap();
        let mut start = 0;
        for (index, frame) in frames.iter().enumerate() {
            for at in 0..frame.frame().len() {
                assert_eq!(plain.rest_at(start + at), (index, &frame.frame()[at..]));
            }
            start += frame.frame().len();
        }
        assert_eq!(plain.rest_at(start), (frames.len(), &[][..]));
    }
}
