//! The resident memory of a process in user space: what the kernel holds for sockets is not in it.

use std::fs;
use std::io;

/// The resident set of process `id`, in bytes.
///
/// From `smaps_rollup`, which counts pages; `status` and `statm` may be some dozens of pages off.
pub fn of_process(id: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other("smaps_rollup has no Rss line"))
}
