//! Mutants, all in one build: see `.ci/mutants`, which has the arguments and the files.
//!
//! mutants TREE WORK ACCEPTED RESULTS [--glob GLOB]... [--program NAME]... [--seconds N] [--jobs N]
//!
//! TREE is a copy that may be written to, WORK a folder for what is built, ACCEPTED the list of survivors with their reasons,
//! RESULTS what is known already: a line for each mutant that was tried.

mod list;
mod tests;
mod tree;
mod weave;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use list::Mutant;
use tests::{Test, Verdict};

/// The verdict on a mutant that passed the tests for which there was time, which is none: it is tried again.
const UNFINISHED: &str = "unfinished";

struct Arguments {
    tree: PathBuf,
    work: PathBuf,
    accepted: PathBuf,
    results: PathBuf,
    globs: Vec<String>,
    programs: Vec<String>,
    seconds_max: Duration,
    jobs: usize,
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let mut path = |what: &str| words.next().map(PathBuf::from).ok_or(format!("{what} is missing"));
    let (tree, work, accepted, results) =
        (path("TREE")?, path("WORK")?, path("ACCEPTED")?, path("RESULTS")?);
    let mut arguments = Arguments {
        tree,
        work,
        accepted,
        results,
        globs: Vec::new(),
        programs: Vec::new(),
        seconds_max: Duration::from_secs(90),
        jobs: 2,
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} without a value"))?;
        match word.as_str() {
            "--glob" => arguments.globs.push(value),
            "--program" => arguments.programs.push(value),
            "--seconds" => {
                arguments.seconds_max =
                    Duration::from_secs(value.parse().map_err(|_| "--seconds takes a number")?)
            }
            "--jobs" => arguments.jobs = value.parse().map_err(|_| "--jobs takes a number")?,
            _ => return Err(format!("no such option: {word}")),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether every mutant was missed by a test or is accepted.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let mutants = list::list(&arguments.tree, &arguments.globs)?;
    println!("{} mutants", mutants.len());
    let built =
        tree::build(&arguments.tree, &arguments.work.join("build"), &mutants, &arguments.programs)?;
    println!(
        "{} are woven in, {} are no program",
        mutants.len() - built.unviable.len(),
        built.unviable.len()
    );
    // Numbers are of one list: another list is another survey.
    let survey = PathBuf::from(format!("{}-{}", arguments.results.display(), mutants.len()));
    let tests = match tests::recall(&survey, &built.programs) {
        Some(tests) => tests,
        None => {
            let tests = tests::survey(&built.programs, &arguments.tree, &arguments.work)?;
            tests::remember(&survey, &tests)?;
            tests
        }
    };
    println!("{} tests", tests.len());

    let known = known(&arguments.results);
    let is_left =
        |mutant: &&Mutant| known.get(&mutant.name).is_none_or(|verdict| verdict == UNFINISHED);
    let left: Vec<&Mutant> = mutants.iter().filter(is_left).collect();
    println!("{} are known already", mutants.len() - left.len());
    try_all(&left, &built, &tests, arguments)?;

    let known = self::known(&arguments.results);
    let mut accepted = accepted(&arguments.accepted)?;
    let mut sums: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut all_found = true;
    for mutant in &mutants {
        let mut verdict =
            known.get(&mutant.name).ok_or(format!("no result: {}", mutant.name))?.as_str();
        if verdict == UNFINISHED {
            println!("{verdict}: {}", mutant.name);
            all_found = false;
        } else if matches!(verdict, "survived" | "unreached") {
            if take(&mut accepted, &mutant.key()) {
                verdict = "accepted";
            } else {
                println!("{verdict}: {}", mutant.name);
                all_found = false;
            }
        }
        *sums.entry(mutant.floor()).or_default().entry(verdict).or_default() += 1;
    }
    for (floor, sums) in sums {
        println!(
            "{floor}: {}",
            sums.iter()
                .map(|(verdict, count)| format!("{count} {verdict}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    for (key, count) in accepted.iter().filter(|(_, count)| **count > 0) {
        println!("accepted, but missed or not there: {count} {key}");
    }
    Ok(all_found)
}

/// Each by one of `jobs` threads, each result written when it is there.
fn try_all(
    mutants: &[&Mutant],
    built: &tree::Built,
    tests: &[Test],
    arguments: &Arguments,
) -> Result<(), String> {
    let results = fs::OpenOptions::new().create(true).append(true).open(&arguments.results);
    let results =
        Mutex::new(results.map_err(|error| format!("{}: {error}", arguments.results.display()))?);
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), String> {
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = one(mutant, built, tests, arguments)?;
            let mut results = results.lock().map_err(|_| "another thread failed")?;
            writeln!(results, "{verdict}\t{}", mutant.name)
                .map_err(|error| format!("results: {error}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.jobs).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread failed".to_owned())?)
    })
}

fn one(
    mutant: &Mutant,
    built: &tree::Built,
    tests: &[Test],
    arguments: &Arguments,
) -> Result<&'static str, String> {
    let Some(reached_by) = built.reached_by.get(&mutant.id) else { return Ok("unviable") };
    let mut reaching: Vec<&Test> =
        tests.iter().filter(|test| test.reached.contains(reached_by)).collect();
    // They are in the order of their time; those of the floor come first.
    reaching.sort_by_key(|test| test.title != mutant.floor());
    if reaching.is_empty() {
        return Ok("unreached");
    }
    Ok(match tests::ask(&reaching, &arguments.tree, mutant.id, arguments.seconds_max)? {
        Verdict::Passed => "survived",
        Verdict::Failed => "missed",
        Verdict::Hung => "hung",
        Verdict::Unfinished => UNFINISHED,
    })
}

/// How many mutants of each name need not be missed: lines `mutant COUNT NAME`, the reason below them.
fn accepted(path: &Path) -> Result<BTreeMap<String, usize>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut accepted = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("mutant ")) {
        let (count, key) = line.split_once(' ').ok_or(format!("no count: {line}"))?;
        accepted.insert(key.to_owned(), count.parse().map_err(|_| format!("no count: {line}"))?);
    }
    Ok(accepted)
}

fn take(accepted: &mut BTreeMap<String, usize>, key: &str) -> bool {
    let Some(count) = accepted.get_mut(key).filter(|count| **count > 0) else { return false };
    *count -= 1;
    true
}

/// What was tried before.
fn known(path: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(verdict, name)| (name.to_owned(), verdict.to_owned()))
        .collect()
}
