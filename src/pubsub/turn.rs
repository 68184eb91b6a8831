//! Which of several servers is somebody's first.

use crate::sync::AtomicUsize;

/// The one that is tried next, modulo their number: chance begins.
pub(super) fn any() -> AtomicUsize {
    let mut random = [0; 2];
    // Without chance: the first server.
    let _ = getrandom::fill(&mut random);
    AtomicUsize::new(usize::from(u16::from_ne_bytes(random)))
}
