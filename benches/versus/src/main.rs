//! Runs the servers of this comparison under the loads of its table. `README.md` says how.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::setpriority_process;
use serde_json::json;
use versus::limits;
use versus::load::Result;
use versus::options::Options;
use versus::runner::measure::measure;
use versus::runner::results::Results;
use versus::runner::rows::ROWS;
use versus::runner::settings::Settings;
use versus::runner::table::markdown;

fn main() -> Result<()> {
    let options = Options::from_env();
    if options.flag("build") {
        build()?;
    }
    let settings = Settings::from_options(&options)?;
    if options.flag("list") {
        list(&settings);
        return Ok(());
    }
    limits::raise_open_files();
    if options.flag("priority") {
        setpriority_process(None, options.value("priority", 0))?;
    }
    let results = run(&settings);
    println!("{}", markdown(&settings.rows, &settings.servers, &results));
    if let Some(path) = &settings.json {
        let all = json!({
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "idle_connections": settings.idle_connections,
            "results": results.reports(),
        });
        fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// Each load in turn; within it, round after round, every server once.
fn run(settings: &Settings) -> Results {
    let mut results = Results::default();
    for row in &settings.rows {
        for round in 0..settings.rounds {
            eprint!("{} {}/{}:", row.name, round + 1, settings.rounds);
            for server in &settings.servers {
                if server.is_echo_only && row.load.starts_with("broadcast") {
                    continue;
                }
                match measure(settings, server, row) {
                    Ok(outcome) => {
                        eprint!(" {} {:.0}", server.name, outcome.value);
                        results.add(row.name, &server.name, round, outcome.value, &outcome.report);
                    }
                    Err(error) => eprint!(" {} FAILED ({error})", server.name),
                }
            }
            eprintln!();
        }
    }
    results
}

fn list(settings: &Settings) {
    println!("loads:");
    for row in ROWS {
        println!("  {:14} {:50} {}", row.name, row.title, row.load);
    }
    println!("servers that are built:");
    for server in &settings.servers {
        println!("  {:22} {}", server.name, server.path.display());
    }
}

/// Builds every server for this machine's processor. One that fails does not stop the others.
fn build() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for arguments in [
        ["--package", "versus", "--bins"].as_slice(),
        &["--package", "sockeye", "--example", "echo"],
    ] {
        let status = Command::new("cargo")
            .args(["build", "--release", "--keep-going"])
            .args(arguments)
            .env("RUSTFLAGS", "-C target-cpu=native")
            .current_dir(&workspace)
            .status()?;
        if !status.success() {
            eprintln!("cargo build {}: {status}", arguments.join(" "));
        }
    }
    Ok(())
}
