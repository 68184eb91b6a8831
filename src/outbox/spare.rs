//! Storage of the thread for what an outbox encodes to write it at once.

use std::cell::Cell;

use crate::protocol::WriteBuffer;

/// What grew beyond this is not kept, in bytes: it may stay with an outbox that waits for its connection's next flush.
const KEPT_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends it to an empty buffer that has none.
#[inline]
pub(super) fn lend(buffer: &mut WriteBuffer) {
    if buffer.capacity() == 0 && buffer.is_empty() {
        *buffer = WriteBuffer::with_storage(SPARE.take());
    }
}

/// Takes it back. What the kernel did not take gets no more room than it needs, for it may wait for long.
#[inline]
pub(super) fn take_back(buffer: &mut WriteBuffer) {
    let is_small = buffer.capacity() <= KEPT_BYTES_MAX;
    if !buffer.is_empty() {
        if is_small && buffer.capacity() > 2 * buffer.len() {
            move_out(buffer);
        }
        return;
    }
    if is_small && buffer.capacity() > 0 {
        SPARE.set(buffer.take_storage());
    }
    buffer.release();
}

#[cold]
fn move_out(buffer: &mut WriteBuffer) {
    let mut exact = WriteBuffer::new();
    exact.append(buffer);
    SPARE.set(std::mem::replace(buffer, exact).take_storage());
}
