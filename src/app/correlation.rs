//! What ties an answer to its question, kept without an allocation.

use super::event::NAME_BYTES_MAX;

/// A correlation id; empty for none. `len <= NAME_BYTES_MAX`.
#[derive(Clone, Copy)]
pub(super) struct CorrelationId {
    len: u8,
    bytes: [u8; NAME_BYTES_MAX],
}

impl CorrelationId {
    pub(super) const NONE: Self = Self { len: 0, bytes: [0; NAME_BYTES_MAX] };

    /// One that is longer than any may be is none.
    pub(super) fn new(id: Option<&str>) -> Self {
        let mut this = Self::NONE;
        let id = id.unwrap_or_default().as_bytes();
        if let Some(bytes) = this.bytes.get_mut(..id.len()) {
            bytes.copy_from_slice(id);
            this.len = u8::try_from(id.len()).unwrap_or(0);
        }
        this
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        let id = std::str::from_utf8(&self.bytes[..usize::from(self.len)]).ok()?;
        Some(id).filter(|id| !id.is_empty())
    }
}
