//! Numbers and texts as bytes.

use bytes::Bytes;

use crate::sync::Arc;

use super::envelope::EnvelopeError;

/// Writes. What cannot be so long (4 GiB) is cut.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.bytes(text.as_bytes());
    }

    /// Bytes behind their length.
    pub(super) fn sized(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes(bytes);
    }

    /// How many there are of what follows.
    pub(super) fn count(&mut self, count: usize) {
        self.u32(length(count));
    }

    pub(super) fn texts(&mut self, texts: &[Arc<str>]) {
        self.u32(length(texts.len()));
        texts.iter().for_each(|text| self.text(text));
    }

    pub(super) fn kind_and_text(&mut self, kind: u8, text: &str) {
        self.u8(kind);
        self.text(text);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Nothing that is longer fits the bus, which refuses it.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Reads from the front.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    all: &'a Bytes,
    /// at <= all.len()
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(all: &'a Bytes) -> Self {
        Self { all, at: 0 }
    }

    fn left(&self) -> &'a [u8] {
        &self.all[self.at..]
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], EnvelopeError> {
        let (taken, _) = self.left().split_at_checked(len).ok_or(EnvelopeError::Length)?;
        self.at += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], EnvelopeError> {
        let (array, _) = self.left().split_first_chunk().ok_or(EnvelopeError::Length)?;
        self.at += N;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, EnvelopeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, EnvelopeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, EnvelopeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, EnvelopeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A byte that has none but these bits.
    pub(super) fn flags(&mut self, known: u8) -> Result<u8, EnvelopeError> {
        let flags = self.u8()?;
        if flags & !known != 0 {
            return Err(EnvelopeError::Kind(flags));
        }
        Ok(flags)
    }

    pub(super) fn text(&mut self) -> Result<Arc<str>, EnvelopeError> {
        let len = usize::try_from(self.u32()?).map_err(|_| EnvelopeError::Length)?;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| EnvelopeError::Utf8)?;
        Ok(text.into())
    }

    /// Bytes behind their length, without a copy.
    pub(super) fn sized(&mut self) -> Result<Bytes, EnvelopeError> {
        let len = usize::try_from(self.u32()?).map_err(|_| EnvelopeError::Length)?;
        let start = self.at;
        self.take(len)?;
        Ok(self.all.slice(start..self.at))
    }

    /// As many as there are; a length that is claimed allocates nothing.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, EnvelopeError>,
    ) -> Result<Vec<T>, EnvelopeError> {
        let count = usize::try_from(self.u32()?).map_err(|_| EnvelopeError::Length)?;
        if count > max {
            return Err(EnvelopeError::Range);
        }
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    pub(super) fn texts(&mut self, max: usize) -> Result<Vec<Arc<str>>, EnvelopeError> {
        self.list(max, Self::text)
    }

    /// All that is left, without a copy.
    pub(super) fn rest(&mut self) -> Bytes {
        let rest = self.all.slice(self.at..);
        self.at = self.all.len();
        rest
    }

    pub(super) fn end(&self) -> Result<(), EnvelopeError> {
        if self.left().is_empty() { Ok(()) } else { Err(EnvelopeError::Length) }
    }
}
