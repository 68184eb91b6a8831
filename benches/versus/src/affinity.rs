//! Pinning to one core.

use std::io;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins this thread to `core`; what it starts afterwards, processes too, inherits it.
pub fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}
