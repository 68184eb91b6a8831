//! The CPU time of a process, user and system, in nanoseconds.

use std::io;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// The CPU time that process `id` has used so far, by its own clock: that of its threads, those that have ended
/// included (runtimes of other languages end some), to the nanosecond.
pub fn of_process(id: u32) -> io::Result<u64> {
    let id = i32::try_from(id).map_err(io::Error::other)?;
    let time = clock_getcpuclockid(Pid::from_raw(id))?.now()?;
    u64::try_from(Duration::from(time).as_nanos()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::thread;

    #[test]
    fn a_thread_that_has_ended_counts() {
        let work = || (0..20_000_000_u64).fold(0, |sum, number| black_box(sum ^ number));
        let before = of_process(std::process::id()).unwrap();
        thread::spawn(work).join().unwrap();
        let after = of_process(std::process::id()).unwrap();
        assert!(after - before > 1_000_000, "{} ns", after - before);
        assert!(of_process(std::process::id()).unwrap() >= after);
    }
}
