//! The CPU time of a process, user and system, in nanoseconds.

use std::fs;
use std::io;

/// What one tick of `/proc/PID/stat` is where the precise figure is missing: 100 a second.
const TICK_NS: u64 = 10_000_000;

/// The CPU time that process `id` has used so far.
///
/// The sum over its threads of the scheduler's own count, which is exact while they sleep and at
/// most one scheduler tick behind while they run; the ticks of `stat` on a kernel without it.
pub fn of_process(id: u32) -> io::Result<u64> {
    scheduler_ns(id).or_else(|_| stat_ns(id))
}

fn scheduler_ns(id: u32) -> io::Result<u64> {
    let mut total_ns = 0;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        total_ns += number(text.split(' ').next())?;
    }
    Ok(total_ns)
}

fn stat_ns(id: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The second field, the name, may hold spaces: count from the bracket that ends it.
    let rest = text.rsplit(')').next().unwrap_or_default();
    let mut fields = rest.split_whitespace().skip(11);
    Ok((number(fields.next())? + number(fields.next())?) * TICK_NS)
}

fn number(field: Option<&str>) -> io::Result<u64> {
    field
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::other("a line of /proc that is not as documented"))
}
