//! Pinning to cores.

use std::io;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins this thread to `cores`; what it starts afterwards, processes too, inherits it.
pub fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}
