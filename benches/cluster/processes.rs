//! Processes: the hearing one, and what they all cost.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

use crate::broker::Broker;
use crate::options::Options;

/// How long one may take until it hears, with a subscription for each room.
const HEARS_WITHIN: Duration = Duration::from_secs(120);

/// A process that hears, until it is dropped.
pub(crate) struct Hearer {
    child: Child,
    /// Messages that it has counted.
    pub(crate) counted: watch::Receiver<u64>,
    latency: mpsc::Receiver<[u64; 2]>,
}

impl Hearer {
    /// `as_what`: `--node` or `--bare`. It hears when this returns.
    pub(crate) async fn start(
        as_what: &str,
        broker: &Broker,
        options: &Options,
        rooms: usize,
    ) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let (bytes, rooms) = (options.bytes.to_string(), rooms.to_string());
        command.args([as_what, broker.program.name(), &broker.port.to_string()]);
        command.args(["--bytes", &bytes, "--rooms", &rooms]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (count, mut counted) = watch::channel(0);
        let (latencies, latency) = mpsc::channel();
        // It says that it hears, then counts, then latencies.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let numbers = line.split(' ').filter_map(|word| word.parse().ok());
                match numbers.collect::<Vec<u64>>()[..] {
                    [number] => drop(count.send_replace(number)),
                    [median, high] => drop(latencies.send([median, high])),
                    _ => {}
                }
            }
        });
        // The first is 0.
        let changed = tokio::time::timeout(HEARS_WITHIN, counted.changed()).await?;
        changed.map_err(|_| io::Error::other("it has ended"))?;
        Ok(Self { child, counted, latency })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its median and 99 % of what was on its way, in nanoseconds.
    pub(crate) fn latency(mut self) -> io::Result<[u64; 2]> {
        drop(self.child.stdin.take());
        self.latency.recv_timeout(Duration::from_secs(10)).map_err(io::Error::other)
    }
}

impl Drop for Hearer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of a process so far, user and system, of all its threads; by the system's ticks, which are 10 ms.
pub(crate) fn cpu(id: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // Behind the name, which may have anything in it, from the third field on.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Ok(Duration::from_millis(10 * ticks.sum::<u64>()))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(id: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}
