//! What a command costs.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// What a command took, with all that it started.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// By the clock: with as many cores as there were.
    pub wall: Duration,
    /// Of all cores together, user and system: what else runs on the machine changes it little.
    pub cpu: Duration,
}

impl Cost {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> io::Result<Self> {
        let (cpu, began) = (cpu_of_children()?, Instant::now());
        let status = command.stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("{command:?}: {status}")));
        }
        Ok(Self { wall: began.elapsed(), cpu: cpu_of_children()?.saturating_sub(cpu) })
    }
}

/// Of those that have ended.
fn cpu_of_children() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}
