//! How cost grows: with connections, members, rooms and threads. `--scale`, or `--scale idle,members,rooms,handshakes`.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::servers;
use super::settings::Settings;
use super::table::thousands;
use crate::kernel::Held;
use crate::load::Result;
use crate::options::Options;
use crate::{limits, resident};

/// What opening a great many connections may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long memory is left alone before it is read.
const SETTLE: Duration = Duration::from_millis(500);

/// Descriptors of a process that are not connections.
const DESCRIPTORS_OTHERS: usize = 100;

/// More connections than this are measured where they are asked for: at both ends, one costs the machine some
/// ten kilobytes.
const CONNECTIONS_DEFAULT: usize = 100_000;

/// Caches of the kernel that are named.
const CACHES: usize = 5;

type Part = (&'static str, fn(&Scale<'_>) -> Result<()>);

const PARTS: [Part; 4] = [
    ("idle", |scale| scale.idle()),
    ("members", |scale| scale.members()),
    ("rooms", |scale| scale.rooms()),
    ("handshakes", |scale| scale.handshakes()),
];

struct Scale<'a> {
    settings: &'a Settings,
    /// At most so many at a time.
    connections_max: usize,
}

/// A server that may be started.
struct Kind {
    name: &'static str,
    path: PathBuf,
}

/// One that was.
struct Server {
    process: Process,
    address: String,
}

/// Measures what `--scale` names, or all, and prints tables in Markdown as they come.
///
/// # Errors
/// A part that is none, or one that failed.
pub fn run(options: &Options, settings: &Settings) -> Result<()> {
    let allowed = limits::raise_open_files() as usize;
    let possible = allowed.saturating_sub(DESCRIPTORS_OTHERS);
    let connections_max = options.value("connections-max", CONNECTIONS_DEFAULT.min(possible));
    if connections_max > possible {
        return Err(format!(
            "--connections-max {connections_max}: a process may have {allowed} descriptors here (ulimit -Hn), \
             which is enough for {possible} connections"
        )
        .into());
    }
    let scale = Scale { settings, connections_max };
    let wanted: Vec<_> = options.text("scale").map_or(Vec::new(), |text| text.split(',').collect());
    if let Some(name) = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != *name)) {
        return Err(format!("--scale has no part {name:?}: idle members rooms handshakes").into());
    }
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.contains(&name) {
            part(&scale)?;
            println!();
        }
    }
    Ok(())
}

impl Scale<'_> {
    fn idle(&self) -> Result<()> {
        println!(
            "Bytes of an idle connection after one echo of 1 KiB. User space is the server's;"
        );
        println!("the kernel's are those of both ends, which are on this machine.\n");
        println!(
            "| server | connections | user space | kernel's slab, both ends | objects of sockets in it |"
        );
        println!("|---|---|---|---|---|");
        for kind in self.kinds(&["raw", "sockeye", "sockeye_owned"]) {
            for count in self.steps(&[1000, 10_000, self.connections_max]) {
                println!(
                    "| {} | {} | {} |",
                    kind.name,
                    whole(count),
                    self.idle_cells(&kind, count)?
                );
            }
        }
        Ok(())
    }

    fn idle_cells(&self, kind: &Kind, count: usize) -> Result<String> {
        let server = self.start(kind, 1)?;
        let hold = |count: usize| {
            let load = self.load(&server, &format!("idle --size 1024 --connections {count}"))?;
            load.line(PATIENCE)?;
            thread::sleep(SETTLE);
            Ok::<_, Box<dyn std::error::Error>>(load)
        };
        // What is there once has come, and connections that have gone are given back.
        drop(hold(16)?);
        thread::sleep(SETTLE);
        let (user_before, kernel_before) =
            (resident::of_process(server.process.id())?, Held::now()?);
        let load = hold(count)?;
        let (user, kernel) = (resident::of_process(server.process.id())?, Held::now()?);
        drop(load);
        let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / count as f64;
        let caches = kernel.grown_most(&kernel_before, count);
        let named = caches.iter().take(CACHES).map(|(name, bytes)| format!("{name} {bytes}"));
        let named: Vec<_> = named.collect();
        let sum: u64 = caches.iter().map(|(_, bytes)| bytes).sum();
        let named = match named.is_empty() {
            true => "(root may see)".to_owned(),
            false => format!("{}: {}", thousands(sum as f64), named.join(", ")),
        };
        let user = thousands(each(user, user_before));
        let slab = thousands(each(kernel.slab, kernel_before.slab));
        Ok(format!("{user} | {slab} | {named}"))
    }

    fn members(&self) -> Result<()> {
        println!(
            "A broadcast of 64 bytes to one room, 16 outstanding: CPU time of the server a delivery.\n"
        );
        println!(
            "| server | members | ns a delivery | deliveries a second | median, us | 99 %, us |"
        );
        println!("|---|---|---|---|---|---|");
        for kind in self.kinds(&["raw", "sockeye"]) {
            for count in self.steps(&[10, 100, 1000, 10_000]) {
                let load = format!("broadcast --size 64 --outstanding 16 --members {count}");
                println!("| {} | {} | {} |", kind.name, whole(count), self.cells(&kind, 1, &load)?);
            }
        }
        Ok(())
    }

    fn rooms(&self) -> Result<()> {
        let members = self.connections_max.min(16_000);
        println!(
            "A broadcast of 64 bytes to each room, one outstanding, {} members:",
            whole(members)
        );
        println!("CPU time of the server a delivery.\n");
        println!(
            "| threads | rooms | ns a delivery | deliveries a second | median, us | 99 %, us |"
        );
        println!("|---|---|---|---|---|---|");
        for kind in self.kinds(&["sockeye_rooms"]) {
            for threads in [1, 2] {
                for rooms in [16, 160, 1600, 16_000].into_iter().filter(|rooms| *rooms <= members) {
                    let load = "broadcast --size 64 --outstanding 1";
                    let load = format!("{load} --members {members} --rooms {rooms}");
                    let cells = self.cells(&kind, threads, &load)?;
                    println!("| {threads} | {} | {cells} |", whole(rooms));
                }
            }
        }
        Ok(())
    }

    fn handshakes(&self) -> Result<()> {
        println!(
            "Connections that come and go, 64 at a time: handshake, close, its answer, the end.\n"
        );
        println!("| server | threads | ns each | each second | median, us | 99 %, us |");
        println!("|---|---|---|---|---|---|");
        for kind in self.kinds(&["raw", "sockeye"]) {
            for threads in [1, 2] {
                if kind.name == "raw" && threads > 1 {
                    continue;
                }
                let cells = self.cells(&kind, threads, "connect --connections 64")?;
                println!("| {} | {threads} | {cells} |", kind.name);
            }
        }
        Ok(())
    }

    /// CPU time each, how many a second, and two percentiles.
    fn cells(&self, kind: &Kind, threads: usize, load: &str) -> Result<String> {
        let server = self.start(kind, threads)?;
        let seconds = self.settings.seconds;
        let load = self.load(&server, &format!("{load} --seconds {seconds}"))?;
        let report: Value = serde_json::from_str(&load.line(PATIENCE)?)?;
        let field = |name: &str| {
            let value = report[name].as_f64();
            value.map(thousands).ok_or_else(|| format!("the load did not report {name}"))
        };
        Ok(format!(
            "{} | {} | {} | {}",
            field("server_cpu_ns_per_message")?,
            field("messages_per_second")?,
            field("p50_us")?,
            field("p99_us")?
        ))
    }

    /// Those of the names that are built; a loud word about the others.
    fn kinds(&self, names: &[&'static str]) -> Vec<Kind> {
        let folder = self.settings.load.parent().unwrap_or(&self.settings.load);
        let known = servers::known_in(folder);
        let kind = |name: &'static str| {
            let known = known.iter().find(|server| server.name == name);
            let path = known.map_or_else(|| folder.join(name), |server| server.path.clone());
            if !path.exists() {
                eprintln!("LEFT OUT: {name}: no {} (--build)", path.display());
            }
            path.exists().then_some(Kind { name, path })
        };
        names.iter().copied().filter_map(kind).collect()
    }

    /// In order, each once, and none above what is allowed.
    fn steps(&self, counts: &[usize]) -> Vec<usize> {
        let mut counts: Vec<_> =
            counts.iter().map(|count| (*count).min(self.connections_max)).collect();
        counts.dedup();
        counts
    }

    /// One thread has a core of its own; several have all, and share one with the load.
    fn start(&self, kind: &Kind, threads: usize) -> Result<Server> {
        let count = threads.to_string();
        let cores = [self.settings.server_core, self.settings.load_core];
        let cores = if threads == 1 { &cores[..1] } else { &cores[..] };
        let process = Process::start(&kind.path, ["--port", "0", "--threads", &count], cores)?;
        Ok(Server { address: process.address()?.to_string(), process })
    }

    fn load(&self, server: &Server, arguments: &str) -> Result<Process> {
        let id = server.process.id().to_string();
        let target = ["--address", &server.address, "--pid", &id];
        let arguments = arguments.split(' ').chain(target);
        Process::start(&self.settings.load, arguments, &[self.settings.load_core])
    }
}

fn whole(count: usize) -> String {
    if count < 10 { count.to_string() } else { thousands(count as f64) }
}
