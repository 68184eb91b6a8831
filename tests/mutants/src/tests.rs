//! The tests: what each reaches, and whether one misses a mutant.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a test may take alone to be asked at all.
const ALONE_MAX: Duration = Duration::from_secs(15);

pub struct Test {
    /// What cargo calls its program.
    pub title: String,
    pub program: PathBuf,
    pub name: String,
    pub took: Duration,
    pub reached: HashSet<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    Hung,
    /// Not all were asked: the time was over.
    Unfinished,
}

/// The names of all tests in a program.
fn names(program: &Path, tree: &Path) -> Result<Vec<String>, String> {
    let output =
        Command::new(program).current_dir(tree).args(["--list", "--format", "terse"]).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// What the survey of the same mutants in the same programs found before.
pub fn recall(path: &Path, programs: &[(String, PathBuf)]) -> Option<Vec<Test>> {
    let text = fs::read_to_string(path).ok()?;
    let test = |line: &str| {
        let mut parts = line.split('\t');
        let (title, name, took, reached) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (_, program) = programs.iter().find(|(known, _)| known == title)?;
        Some(Test {
            title: title.to_owned(),
            program: program.clone(),
            name: name.to_owned(),
            took: Duration::from_micros(took.parse().ok()?),
            reached: reached.split_whitespace().filter_map(|id| id.parse().ok()).collect(),
        })
    };
    text.lines().map(test).collect()
}

pub fn remember(path: &Path, tests: &[Test]) -> Result<(), String> {
    let mut text = String::new();
    for Test { title, name, took, reached, .. } in tests {
        let reached: Vec<String> = reached.iter().map(u32::to_string).collect();
        text.push_str(&format!("{title}\t{name}\t{}\t{}\n", took.as_micros(), reached.join(" ")));
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs each test alone, with no mutant alive. What fails or is slow then is said, and not asked.
pub fn survey(
    programs: &[(String, PathBuf)],
    tree: &Path,
    work: &Path,
) -> Result<Vec<Test>, String> {
    let mut tests = Vec::new();
    let reached_file = work.join("reached");
    for (title, program) in programs {
        let names = names(program, tree)?;
        let (before, started) = (tests.len(), Instant::now());
        for name in &names {
            let _ = fs::remove_file(&reached_file);
            let begun = Instant::now();
            let verdict =
                run(program, tree, std::slice::from_ref(name), 0, Some(&reached_file), ALONE_MAX)?;
            if verdict != Verdict::Passed {
                println!("not asked, for without a mutant it {verdict:?}: {title} {name}");
                continue;
            }
            let text = fs::read_to_string(&reached_file).unwrap_or_default();
            let reached = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
            tests.push(Test {
                title: title.clone(),
                program: program.clone(),
                name: name.clone(),
                took: begun.elapsed(),
                reached,
            });
        }
        println!(
            "{title}: {} of {} tests, {:.1} s",
            tests.len() - before,
            names.len(),
            started.elapsed().as_secs_f64()
        );
    }
    tests.sort_by_key(|test| test.took);
    Ok(tests)
}

/// Whether one of these tests fails with the mutant alive: in this order, some at a time.
pub fn ask(
    tests: &[&Test],
    tree: &Path,
    id: u32,
    seconds_max: Duration,
) -> Result<Verdict, String> {
    let started = Instant::now();
    let mut rest = tests;
    let mut verdict = Verdict::Passed;
    // Small first: most mutants fall to the first test that meets them.
    let mut size = 4;
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(size.min(rest.len()));
        let mut by_program: BTreeMap<&Path, Vec<&Test>> = BTreeMap::new();
        for test in batch {
            by_program.entry(&test.program).or_default().push(test);
        }
        for (program, tests) in by_program {
            let names: Vec<String> = tests.iter().map(|test| test.name.clone()).collect();
            // What passes takes about as long as before; five times that and some seconds is a hang.
            let alone: Duration = tests.iter().map(|test| test.took).sum();
            let verdict = run(program, tree, &names, id, None, alone * 5 + Duration::from_secs(8))?;
            if verdict != Verdict::Passed {
                return Ok(verdict);
            }
        }
        rest = behind;
        size = 32;
        if started.elapsed() > seconds_max && !rest.is_empty() {
            verdict = Verdict::Unfinished;
            break;
        }
    }
    Ok(verdict)
}

/// Ends at the first test that fails, and takes its children with it.
fn run(
    program: &Path,
    tree: &Path,
    names: &[String],
    id: u32,
    reached: Option<&Path>,
    seconds_max: Duration,
) -> Result<Verdict, String> {
    use std::os::unix::process::CommandExt;

    let mut command = Command::new(program);
    command.current_dir(tree).args(["--exact", "--test-threads", "2"]).args(names);
    command
        .env("SOCKEYE_MUTANT", id.to_string())
        .env("CARGO_MANIFEST_DIR", tree)
        .env("PROPTEST_CASES", "64");
    if let Some(path) = reached {
        command.env("SOCKEYE_REACHED", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    let Some(output) = child.stdout.take() else { return Err("a test without output".to_owned()) };
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.ends_with("... FAILED") {
                let _ = sender.send(());
                return;
            }
        }
    });
    let verdict = match lines.recv_timeout(seconds_max) {
        Ok(()) => Verdict::Failed,
        Err(mpsc::RecvTimeoutError::Timeout) => Verdict::Hung,
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let status = child.wait().map_err(|error| format!("{}: {error}", program.display()))?;
            if status.success() { Verdict::Passed } else { Verdict::Failed }
        }
    };
    // The whole group: a test may have begun programs of others.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", child.id())])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
    let _ = reader.join();
    Ok(verdict)
}
