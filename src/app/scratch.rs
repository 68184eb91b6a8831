//! A buffer of the thread, to write what is copied on at once.

use std::cell::Cell;

/// A longer one is given back.
const KEPT_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls with an empty buffer. Calls may nest: then the inner one has a new one.
pub(super) fn with<R>(call: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buf = SCRATCH.take();
    buf.clear();
    let result = call(&mut buf);
    if buf.capacity() <= KEPT_BYTES_MAX {
        SCRATCH.set(buf);
    }
    result
}
