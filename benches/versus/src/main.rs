//! BY-63: Runs the servers of this comparison under the loads of its table. `README.md` says how.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::setpriority_process;
use serde_json::{Value, json};
use versus::limits;
use versus::load::Result;
use versus::options::Options;
use versus::runner::measure::measure;
use versus::runner::others;
use versus::runner::plot;
use versus::runner::results::Results;
use versus::runner::rows::{ROWS, Row};
use versus::runner::scale;
use versus::runner::servers::Server;
use versus::runner::settings::Settings;
use versus::runner::table::markdown;

const USAGE: &str = "\
versus: the servers of this comparison under the loads of its table. benches/versus/README.md says more.

  --build                     builds all servers first, for this processor
  --list                      loads and servers
  --only echo16x64,connect    these loads
  --servers raw,sockeye       these servers
  --server NAME=PATH          one more, with arguments after the path; may be repeated
  --rounds 5 --seconds 2      how often, how long
  --idle-connections 5000     for the two idle rows
  --server-core 0 --load-core 1
  --priority -10              the nice value of server and load
  --json FILE                 every single figure
  --svg FOLDER                pictures of the results
  --from FILE                 measures nothing: the table and the pictures of what --json has written
  --scale [PARTS]             how cost grows instead: idle,members,rooms,handshakes, or those of them
  --connections-max 100000    for --scale";

fn main() -> Result<()> {
    let options = Options::from_env_or(USAGE);
    if options.flag("build") {
        build()?;
    }
    let mut settings = Settings::from_options(&options)?;
    if options.flag("list") {
        list(&settings);
        return Ok(());
    }
    limits::raise_open_files();
    if options.flag("priority") {
        setpriority_process(None, options.value("priority", 0))?;
    }
    if options.flag("scale") {
        return scale::run(&options, &settings);
    }
    let settings = &mut settings;
    let results = match options.text("from") {
        Some(path) => read(path, settings)?,
        None => run(settings),
    };
    println!("{}", markdown(&settings.rows, &settings.servers, &results));
    if let Some(folder) = options.text("svg") {
        plot::write(Path::new(folder), &settings.rows, &settings.servers, &results)?;
    }
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

/// What `--json` has written before; only its loads and servers are shown.
fn read(path: &str, settings: &mut Settings) -> Result<Results> {
    let all: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let results = Results::from_reports(all["results"].as_array().ok_or("no results in it")?)?;
    settings.servers = results.servers().into_iter().map(Server::named).collect();
    let has_results = |row: &&Row| {
        settings.servers.iter().any(|server| results.median(row.name, &server.name).is_some())
    };
    settings.rows.retain(has_results);
    Ok(results)
}

/// Each load in turn; within it, round after round, every server once.
fn run(settings: &Settings) -> Results {
    let mut results = Results::default();
    for row in &settings.rows {
        for round in 0..settings.rounds {
            eprint!("{} {}/{}:", row.name, round + 1, settings.rounds);
            for server in &settings.servers {
                if !server.serves(row) {
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
    let folder = std::env::current_exe()?;
    let folder = folder.parent().ok_or("a program without a folder")?;
    for (name, built) in [("gorilla", others::gorilla(folder)), ("bun", others::bun(folder))] {
        if let Err(error) = built {
            eprintln!("LEFT OUT: {name}: {error}");
        }
    }
    for arguments in [
        ["--package", "versus", "--bins"].as_slice(),
        &["--package", "examples", "--example", "echo"],
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
