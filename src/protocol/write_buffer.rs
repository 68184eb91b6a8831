//! Bytes on their way out.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::frame::FrameHeader;

/// Written bytes in front of a buffer are put up with up to this, in bytes.
const COMPACT_BYTES_MIN: usize = 4096;

/// Encoded frames that wait to be written.
///
/// Small frames lie together; a large payload that is owned stays a chunk of its own and is written
/// from where it lies.
///
/// ```text
///   bytes:   [ done | header payload header | header payload ]
///                   ^ head                  ^ at: a chunk belongs here
/// ```
/// `head <= chunks[i].at <= bytes.len()`, and the `at` never decrease. Where some bytes were written and
/// others were not, it knows how many messages are still to end.
#[derive(Default)]
pub struct WriteBuffer {
    bytes: Vec<u8>,
    head: usize,
    /// `None` while there are none: most buffers never have one.
    chunks: Option<Box<Chunks>>,
    /// Messages whose last byte waits.
    messages: u32,
    /// The frame whose beginning is written is the last of its message.
    front_ends_message: bool,
    /// What waits of the frame whose beginning is written; behind it another frame begins.
    front_bytes: usize,
    /// Payload of the messages that a connection itself has encoded here.
    payload_bytes: usize,
}

/// Never empty.
#[derive(Debug, Default)]
struct Chunks {
    queue: VecDeque<Chunk>,
    /// Of all of them.
    bytes: usize,
}

#[derive(Debug)]
struct Chunk {
    at: usize,
    payload: Bytes,
}

impl WriteBuffer {
    /// An empty buffer. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            head: 0,
            chunks: None,
            messages: 0,
            front_ends_message: false,
            front_bytes: 0,
            payload_bytes: 0,
        }
    }

    /// A buffer that writes into `bytes`, which is emptied first.
    pub(crate) fn with_storage(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, ..Self::new() }
    }

    /// Bytes that wait.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() - self.head + self.chunk_bytes()
    }

    #[inline]
    const fn chunk_bytes(&self) -> usize {
        match &self.chunks {
            Some(chunks) => chunks.bytes,
            None => 0,
        }
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A message of so many payload bytes is appended.
    #[inline]
    pub(crate) const fn note_message(&mut self, payload_bytes: usize) {
        self.note_last_frame();
        self.note_payload(payload_bytes);
    }

    /// The last frame of a message is appended.
    #[inline]
    pub(crate) const fn note_last_frame(&mut self) {
        self.messages = self.messages.wrapping_add(1);
    }

    /// A message of so many payload bytes is about to be appended, frame by frame.
    #[inline]
    pub(crate) const fn note_payload(&mut self, bytes: usize) {
        self.payload_bytes = self.payload_bytes.wrapping_add(bytes);
    }

    /// What was appended to the empty buffer is the rest of a frame whose beginning is written.
    pub(crate) fn note_begun(&mut self, ends_message: bool) {
        self.front_bytes = self.len();
        self.front_ends_message = ends_message;
        self.messages = u32::from(ends_message);
    }

    /// Messages whose last byte waits.
    #[inline]
    pub(crate) const fn messages(&self) -> usize {
        self.messages as usize
    }

    /// Payload bytes of the messages that a connection itself has encoded here since it was empty.
    pub(crate) const fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Appends bytes by copying them.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a payload that is written from where it lies.
    pub(crate) fn push_chunk(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            let chunks = self.chunks.get_or_insert_default();
            chunks.bytes += payload.len();
            chunks.queue.push_back(Chunk { at: self.bytes.len(), payload });
        }
    }

    /// The last `len` bytes that were copied in, to be masked in place.
    pub(crate) fn last_mut(&mut self, len: usize) -> &mut [u8] {
        let start = self.bytes.len() - len;
        &mut self.bytes[start..]
    }

    /// Makes room for `additional` bytes to be copied in.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// What waits, in order, as slices for one vectored write. Returns how many were filled.
    pub fn fill_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut from = self.head;
        let mut push = |slice: &'a [u8]| {
            if slice.is_empty() {
                return true;
            }
            let Some(slot) = slices.get_mut(filled) else {
                return false;
            };
            *slot = IoSlice::new(slice);
            filled += 1;
            true
        };
        for chunk in self.chunks.iter().flat_map(|chunks| &chunks.queue) {
            if !push(&self.bytes[from..chunk.at]) || !push(&chunk.payload) {
                return filled;
            }
            from = chunk.at;
        }
        push(&self.bytes[from..]);
        filled
    }

    /// The first slice that waits; empty when nothing does.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        match self.chunks.as_ref().and_then(|chunks| chunks.queue.front()) {
            Some(chunk) if chunk.at == self.head => &chunk.payload,
            Some(chunk) => &self.bytes[self.head..chunk.at],
            None => &self.bytes[self.head..],
        }
    }

    /// Whether all that waits is one slice.
    #[inline]
    pub(crate) fn is_one_slice(&self) -> bool {
        self.chunks.is_none()
    }

    /// Takes the first `written` bytes away.
    pub fn advance(&mut self, mut written: usize) {
        debug_assert!(written <= self.len());
        if written < self.len() {
            self.pass(written);
        } else {
            self.forget_messages();
        }
        while let Some(chunks) = &mut self.chunks
            && let Some(chunk) = chunks.queue.front_mut()
        {
            let before = chunk.at - self.head;
            if written < before {
                break;
            }
            written -= before;
            self.head = chunk.at;
            if written < chunk.payload.len() {
                chunks.bytes -= written;
                chunk.payload.advance(written);
                return;
            }
            written -= chunk.payload.len();
            self.pop_chunk();
        }
        self.head += written;
        if self.chunks.is_none() && self.head == self.bytes.len() {
            self.bytes.clear();
            self.head = 0;
        } else if self.head >= COMPACT_BYTES_MIN && self.head > self.bytes.len() / 2 {
            self.compact();
        }
    }

    /// Counts the messages that end in the first `written` bytes, which are not all that wait.
    fn pass(&mut self, written: usize) {
        let mut end = self.front_bytes;
        while end <= written {
            if std::mem::take(&mut self.front_ends_message) {
                self.messages = self.messages.saturating_sub(1);
            }
            self.front_bytes = 0;
            if end == written {
                return;
            }
            let Ok(Some((header, header_len))) = FrameHeader::parse(self.slice_at(end)) else {
                // No frames of ours.
                return;
            };
            let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
            end = end.saturating_add(header_len).saturating_add(payload_len);
            self.front_ends_message = header.fin && !header.opcode.is_control();
        }
        self.front_bytes = end - written;
    }

    /// The slice in which the byte at an index of what waits lies, from there on.
    fn slice_at(&self, mut index: usize) -> &[u8] {
        let mut from = self.head;
        for chunk in self.chunks.iter().flat_map(|chunks| &chunks.queue) {
            if let Some(slice) = self.bytes[from..chunk.at].get(index..).filter(|s| !s.is_empty()) {
                return slice;
            }
            index -= chunk.at - from;
            if let Some(slice) = chunk.payload.get(index..).filter(|s| !s.is_empty()) {
                return slice;
            }
            index -= chunk.payload.len();
            from = chunk.at;
        }
        self.bytes[from..].get(index..).unwrap_or_default()
    }

    fn forget_messages(&mut self) {
        (self.messages, self.front_ends_message) = (0, false);
        (self.front_bytes, self.payload_bytes) = (0, 0);
    }

    /// How many bytes can lie together without another allocation.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Moves what waits to the front, so that a buffer that never quite empties does not grow. What
    /// is moved is less than what was written since the last time.
    fn compact(&mut self) {
        self.bytes.drain(..self.head);
        for chunk in self.chunks.iter_mut().flat_map(|chunks| &mut chunks.queue) {
            chunk.at -= self.head;
        }
        self.head = 0;
    }

    fn pop_chunk(&mut self) -> Option<Chunk> {
        let chunks = self.chunks.as_mut()?;
        let chunk = chunks.queue.pop_front();
        chunks.bytes -= chunk.as_ref().map_or(0, |chunk| chunk.payload.len());
        if chunks.queue.is_empty() {
            self.chunks = None;
        }
        chunk
    }

    /// Moves what waits in `other` to the end of this one, which takes exactly the room it needs when
    /// it was empty.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.messages = self.messages.wrapping_add(other.messages);
        let mut from = other.head;
        let additional = other.bytes.len() - from;
        if self.is_empty() {
            (self.front_bytes, self.front_ends_message) =
                (other.front_bytes, other.front_ends_message);
            self.bytes.reserve_exact(additional);
        } else {
            self.bytes.reserve(additional);
        }
        while let Some(chunk) = other.pop_chunk() {
            self.bytes.extend_from_slice(&other.bytes[from..chunk.at]);
            from = chunk.at;
            self.push_chunk(chunk.payload);
        }
        self.bytes.extend_from_slice(&other.bytes[from..]);
        other.clear();
    }

    /// Forgets what waits, keeps the storage.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.chunks = None;
        self.head = 0;
        self.forget_messages();
    }

    /// Takes the storage of an empty buffer, to be used again.
    pub(crate) fn take_storage(&mut self) -> Vec<u8> {
        debug_assert!(self.is_empty());
        std::mem::take(self).bytes
    }

    /// Gives the memory of an empty buffer back.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }

    /// All that waits, as one vector.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        if self.head == 0 && self.chunks.is_none() {
            return self.bytes;
        }
        let mut all = Vec::with_capacity(self.len());
        while !self.is_empty() {
            let len = {
                let first = self.first();
                all.extend_from_slice(first);
                first.len()
            };
            self.advance(len);
        }
        all
    }
}

/// How much it is, not what.
impl std::fmt::Debug for WriteBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBuffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Opcode;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Copy(Vec<u8>),
        Chunk(Vec<u8>),
        Advance(prop::sample::Index),
        Append(Vec<u8>, Vec<u8>),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..9);
        let op = prop_oneof![
            bytes().prop_map(Op::Copy),
            bytes().prop_map(Op::Chunk),
            any::<prop::sample::Index>().prop_map(Op::Advance),
            (bytes(), bytes()).prop_map(|(a, b)| Op::Append(a, b)),
        ];
        prop::collection::vec(op, 0..24)
    }

    proptest! {
        /// Whatever is pushed and advanced, what waits is what was pushed less what was written.
        #[test]
        fn behaves_like_one_queue_of_bytes(ops in ops()) {
            let mut buffer = WriteBuffer::new();
            let mut model: Vec<u8> = Vec::new();
            for op in ops {
                match op {
                    Op::Copy(bytes) => {
                        buffer.extend_from_slice(&bytes);
                        model.extend(bytes);
                    }
                    Op::Chunk(bytes) => {
                        model.extend(&bytes);
                        buffer.push_chunk(bytes.into());
                    }
                    Op::Advance(index) => {
                        let n = index.index(model.len() + 1);
                        buffer.advance(n);
                        model.drain(..n);
                    }
                    Op::Append(a, b) => {
                        model.extend(a.iter().chain(&b));
                        let mut other = WriteBuffer::new();
                        other.extend_from_slice(b"xy");
                        other.extend_from_slice(&a);
                        other.advance(2);
                        other.push_chunk(b.into());
                        buffer.append(&mut other);
                        prop_assert!(other.is_empty());
                    }
                }
                prop_assert_eq!(buffer.len(), model.len());
                let mut slices = [IoSlice::new(&[]); 64];
                let filled = buffer.fill_slices(&mut slices);
                let seen: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                prop_assert_eq!(&seen, &model);
                prop_assert!(model.starts_with(buffer.first()));
            }
            prop_assert_eq!(buffer.into_vec(), model);
        }

        /// A message counts until its last byte is written, wherever its payload lies, in however many fragments, with pings
        /// between them or not.
        #[test]
        fn messages_count_until_their_last_byte(
            messages in prop::collection::vec(prop::collection::vec(fragment(), 1..4), 1..12),
            cuts in prop::collection::vec(1..400_usize, 1..20),
        ) {
            let mut buffer = WriteBuffer::new();
            let mut cuts = cuts.into_iter().cycle();
            let (mut ends, mut pushed, mut written) = (Vec::new(), 0, 0);
            for fragments in messages {
                push_message(&mut buffer, &fragments);
                pushed = written + buffer.len();
                ends.push(pushed);
                let cut = cuts.next().unwrap();
                if cut % 2 == 0 {
                    let cut = cut.min(buffer.len());
                    buffer.advance(cut);
                    written += cut;
                }
                let waiting = ends.iter().filter(|end| **end > written).count();
                prop_assert_eq!(buffer.messages(), waiting);
            }
            while written < pushed {
                let cut = cuts.next().unwrap().min(buffer.len());
                buffer.advance(cut);
                written += cut;
                let waiting = ends.iter().filter(|end| **end > written).count();
                prop_assert_eq!(buffer.messages(), waiting);
            }
        }
    }

    #[derive(Clone, Debug)]
    struct Fragment {
        len: usize,
        is_chunk: bool,
        has_ping: bool,
    }

    fn fragment() -> impl Strategy<Value = Fragment> {
        let len = prop_oneof![4 => 0..130_usize, 1 => 130..400_usize];
        (len, any::<bool>(), any::<bool>()).prop_map(|(len, is_chunk, has_ping)| Fragment {
            len,
            is_chunk,
            has_ping,
        })
    }

    fn push_message(buffer: &mut WriteBuffer, fragments: &[Fragment]) {
        let mut header = [0; FrameHeader::BYTES_MAX];
        let mut opcode = Opcode::Binary;
        for (number, fragment) in (1..).zip(fragments) {
            if fragment.has_ping {
                let len = FrameHeader::new(Opcode::Ping, 4).encode(&mut header);
                buffer.extend_from_slice(&header[..len]);
                buffer.extend_from_slice(b"ping");
            }
            let mut frame = FrameHeader::new(opcode, fragment.len as u64);
            frame.fin = number == fragments.len();
            let len = frame.encode(&mut header);
            buffer.extend_from_slice(&header[..len]);
            let payload = vec![0xff; fragment.len];
            if fragment.is_chunk {
                buffer.push_chunk(payload.into());
            } else {
                buffer.extend_from_slice(&payload);
            }
            opcode = Opcode::Continuation;
        }
        buffer.note_last_frame();
    }
}
