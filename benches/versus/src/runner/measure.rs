//! One server under one load, once.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::Process;
use super::rows::{Measure, Row};
use super::servers::Server;
use super::settings::Settings;
use crate::load::Result;
use crate::resident;

/// What a load may take beyond its window: opening, warm-up, the wait for the last reply.
const SLACK: Duration = Duration::from_secs(60);

/// Connections that let a server reach its working size before memory is measured.
const FIRST_CONNECTIONS: usize = 16;

/// How long memory is left alone before it is read.
const SETTLE: Duration = Duration::from_millis(300);

/// The figure of the row, and everything that was reported beside it.
pub struct Outcome {
    /// Nanoseconds of CPU per message, or bytes per idle connection.
    pub value: f64,
    pub report: Value,
}

/// Starts `server` anew and measures it under the load of `row`.
///
/// # Errors
/// The server did not start, or the load failed.
pub fn measure(settings: &Settings, server: &Server, row: &Row) -> Result<Outcome> {
    let contract = ["--port", "0", "--threads", "1"];
    let deflate = row.deflate.map(|deflate| ["--deflate", deflate.name()]);
    let contract = contract.into_iter().chain(deflate.into_iter().flatten()).map(str::to_owned);
    // A script stands before what is for it.
    let arguments = server.arguments.iter().cloned().chain(contract);
    let process = Process::start(&server.path, arguments, &[settings.server_core])?;
    let target = [
        "--address".to_owned(),
        process.address()?.to_string(),
        "--pid".to_owned(),
        process.id().to_string(),
    ];
    match row.measure {
        Measure::CpuTime | Measure::CpuTimeAlone => cpu_time(settings, row, &target),
        Measure::IdleMemory => idle_memory(settings, row, &target, process.id()),
    }
}

fn cpu_time(settings: &Settings, row: &Row, target: &[String]) -> Result<Outcome> {
    let seconds = ["--seconds".to_owned(), settings.seconds.to_string()];
    let load = start_load(settings, row, &[target, &seconds].concat())?;
    let line = load.line(SLACK + Duration::from_secs_f64(settings.seconds))?;
    let report: Value = serde_json::from_str(&line)?;
    let value = report["server_cpu_ns_per_message"].as_f64();
    Ok(Outcome { value: value.ok_or("the load did not report the server's CPU time")?, report })
}

/// The difference between many connections and none, after a few that came and went.
fn idle_memory(settings: &Settings, row: &Row, target: &[String], id: u32) -> Result<Outcome> {
    let hold = |count: usize| {
        let count = ["--connections".to_owned(), count.to_string()];
        let load = start_load(settings, row, &[target, &count].concat())?;
        load.line(SLACK)?;
        thread::sleep(SETTLE);
        Ok::<_, Box<dyn std::error::Error>>(load)
    };
    drop(hold(FIRST_CONNECTIONS)?);
    thread::sleep(SETTLE);
    let before = resident::of_process(id)?;
    let load = hold(settings.idle_connections)?;
    let after = resident::of_process(id)?;
    drop(load);
    let grown = after.saturating_sub(before);
    Ok(Outcome {
        value: grown as f64 / settings.idle_connections as f64,
        report: json!({ "before": before, "after": after }),
    })
}

fn start_load(settings: &Settings, row: &Row, more: &[String]) -> Result<Process> {
    let arguments = row.load.split(' ').chain(more.iter().map(String::as_str));
    Process::start(&settings.load, arguments, &[settings.load_core])
}
