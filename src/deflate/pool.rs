//! One coder of each kind a thread, lent for a message: what keeps no context costs no connection
//! anything.

use std::cell::{Cell, RefCell};

use crate::sync::{AtomicUsize, Ordering};

use super::{Deflater, Inflater, SmallDeflater};

/// Deflaters of different levels and windows that a thread keeps.
const DEFLATERS_MAX: usize = 2;

/// Buffers that grew beyond this are not kept, in bytes.
const SCRATCH_BYTES_MAX: usize = 256 * 1024;

/// The window that inflates what any other gave.
const WINDOW_BITS_MAX: u8 = 15;

thread_local! {
    static INFLATER: Cell<Option<Box<Inflater>>> = const { Cell::new(None) };
    static DEFLATERS: RefCell<Vec<(Kind, Box<Deflater>)>> = const { RefCell::new(Vec::new()) };
    static SMALL: Cell<Option<Box<SmallDeflater>>> = const { Cell::new(None) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static DEFLATED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Connections that keep a deflater of their own (some 290 KiB), and those that keep an inflater
/// (some 47 KiB), in the whole process.
const CONTEXTS_MAX: usize = 1024;

static DEFLATERS_KEPT: AtomicUsize = AtomicUsize::new(0);
static INFLATERS_KEPT: AtomicUsize = AtomicUsize::new(0);

/// The right to keep a coder; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ContextSlot(&'static AtomicUsize);

impl ContextSlot {
    /// Of a deflater; `None`: as many are kept as may be.
    pub(crate) fn take() -> Option<Self> {
        let kept = &DEFLATERS_KEPT;
        let change = |count| (count < CONTEXTS_MAX).then_some(count + 1);
        kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).ok().map(|_| Self(kept))
    }

    /// Of an inflater: the peer was promised one.
    pub(crate) fn promised() -> Self {
        INFLATERS_KEPT.fetch_add(1, Ordering::Relaxed);
        Self(&INFLATERS_KEPT)
    }

    /// Whether another peer may be promised an inflater.
    pub(crate) fn may_promise() -> bool {
        INFLATERS_KEPT.load(Ordering::Relaxed) < CONTEXTS_MAX
    }
}

impl Drop for ContextSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Level and window bits.
type Kind = (u8, u8);

/// An inflater with nothing in it.
pub(crate) fn take_inflater() -> Box<Inflater> {
    INFLATER.take().unwrap_or_else(|| Box::new(Inflater::new(WINDOW_BITS_MAX)))
}

pub(crate) fn put_inflater(mut inflater: Box<Inflater>) {
    inflater.reset();
    INFLATER.set(Some(inflater));
}

/// A deflater with nothing in it.
pub(crate) fn take_deflater(level: u8, window_bits: u8) -> Box<Deflater> {
    let found = DEFLATERS.with_borrow_mut(|known| {
        let index = known.iter().position(|(kind, _)| *kind == (level, window_bits))?;
        Some(known.swap_remove(index).1)
    });
    found.unwrap_or_else(|| Box::new(Deflater::new(level, window_bits)))
}

pub(crate) fn put_deflater(level: u8, window_bits: u8, mut deflater: Box<Deflater>) {
    deflater.reset();
    DEFLATERS.with_borrow_mut(|known| {
        known.truncate(DEFLATERS_MAX - 1);
        known.insert(0, ((level, window_bits), deflater));
    });
}

/// Deflates a whole message by itself.
pub(crate) fn deflate_alone(level: u8, window_bits: u8, input: &[u8], out: &mut Vec<u8>) {
    if input.len() <= SmallDeflater::INPUT_BYTES_MAX {
        let mut small = SMALL.take().unwrap_or_default();
        small.deflate(input, 1 << window_bits, out);
        SMALL.set(Some(small));
        return;
    }
    let mut deflater = take_deflater(level, window_bits);
    deflater.finish(input, out);
    put_deflater(level, window_bits, deflater);
}

/// An empty buffer for what is deflated: an answer is, while what it answers is in the other one.
pub(crate) fn take_deflated() -> Vec<u8> {
    DEFLATED.take()
}

pub(crate) fn put_deflated(mut deflated: Vec<u8>) {
    if deflated.capacity() <= SCRATCH_BYTES_MAX {
        deflated.clear();
        DEFLATED.set(deflated);
    }
}

/// An empty buffer for what is inflated.
pub(crate) fn take_scratch() -> Vec<u8> {
    SCRATCH.take()
}

pub(crate) fn put_scratch(mut scratch: Vec<u8>) {
    if scratch.capacity() <= SCRATCH_BYTES_MAX {
        scratch.clear();
        // A thread that ends keeps nothing.
        let _ = SCRATCH.try_with(|cell| cell.set(scratch));
    }
}
