//! Counts what the first ten minutes cost, and writes the table: `cargo run -p first -- --build --write`.
//!
//! Without `--build` nothing is built, and the table has no seconds. Without `--write` it is printed only.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{fs, io};

use first::{Cost, PROJECTS, example};

const USAGE: &str = "first [--build] [--write]";

fn main() -> ExitCode {
    let options: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| options.iter().any(|option| option == name);
    if options.iter().any(|option| !["--build", "--write"].contains(&option.as_str())) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    match run(has("--build"), has("--write")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("first: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(builds: bool, writes: bool) -> io::Result<()> {
    let table = table(builds)?;
    println!("{table}");
    if writes {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("TABLE.md");
        fs::write(file, format!("{}\n\n{table}", machine()?))?;
    }
    Ok(())
}

fn table(builds: bool) -> io::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/first");
    let mut table = String::from(
        "| an echo server on | dependencies | program | crates | first build | of CPU |\n|---|---|---|---|---|---|\n",
    );
    for project in &PROJECTS {
        eprintln!("{}", project.name);
        let laid = project.lay_out(&root.join(project.name.replace(' ', "_")), "127.0.0.1:8080")?;
        let ((dependencies, program), crates) = (project.lines(), laid.crates()?);
        let [wall, cpu] = seconds(if builds { Some(laid.build()?) } else { None });
        let name = project.name;
        // A String takes all that is written.
        let _ = writeln!(
            table,
            "| {name} | {dependencies} lines | {program} lines | {crates} | {wall} | {cpu} |"
        );
    }
    if builds {
        eprintln!("the example chat");
        let (crates, cost) = example("chat", &root.join("chat"))?;
        let [wall, cpu] = seconds(Some(cost));
        let _ = writeln!(
            table,
            "\n| `cargo run --release --example chat` | crates, with those of tests | first build | of CPU |\n|---|---|---|---|\n\
            | as in a checkout | {crates} | {wall} | {cpu} |"
        );
    }
    Ok(table)
}

/// By the clock, and of the processor.
fn seconds(cost: Option<Cost>) -> [String; 2] {
    let said = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |some| format!("{some:.0} s"));
    [said(cost.map(|cost| cost.wall.as_secs_f64())), said(cost.map(|cost| cost.cpu.as_secs_f64()))]
}

/// What was measured on, and when.
fn machine() -> io::Result<String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output()?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let date = said("date", &["-u", "+%Y-%m-%d"])?;
    let rust = said("rustc", &["--version"])?;
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "Written by `cargo run -p first -- --build --write`. {date}, {cores} cores, {rust}. The echo servers are built for debugging; other \
        work on the machine makes the clock go on, and changes the seconds of CPU little."
    ))
}
