//! Mutants, all in one build: see `.ci/mutants`, which has the arguments and the files.
//!
//! mutants TREE WORK ACCEPTED TESTS WHOLE [--glob GLOB]... [--program NAME]... [--seconds N] [--jobs N]
//!
//! TREE is a copy that may be written to, WORK a folder for what is built and known, ACCEPTED the list of survivors with their
//! reasons, TESTS the state of all tests: another word when one of them has changed, WHOLE the same of everything.
//!
//! WORK/results has a line for each mutant that was tried. What a test has missed is known until the file with the mutant
//! changes; what none has missed is asked again when the tests change, too.

mod list;
mod tests;
mod tree;
mod weave;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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
    tests: String,
    whole: String,
    globs: Vec<String>,
    programs: Vec<String>,
    seconds_max: Duration,
    jobs: usize,
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let mut path = |what: &str| words.next().map(PathBuf::from).ok_or(format!("{what} is missing"));
    let (tree, work, accepted) = (path("TREE")?, path("WORK")?, path("ACCEPTED")?);
    let mut word = |what: &str| path(what).map(|path| path.display().to_string());
    let (tests, whole) = (word("TESTS")?, word("WHOLE")?);
    let mut arguments = Arguments {
        tree,
        work,
        accepted,
        tests,
        whole,
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
    let states = States::new(&arguments.tree, &mutants, &arguments.tests)?;
    let results = arguments.work.join("results");
    let built =
        tree::build(&arguments.tree, &arguments.work.join("build"), &mutants, &arguments.programs)?;
    println!(
        "{} are woven in, {} are no program",
        mutants.len() - built.unviable.len(),
        built.unviable.len()
    );
    // Numbers are of one list: another list is another survey.
    let survey = format!("survey-{}-{}", arguments.whole, mutants.len());
    let survey = arguments.work.join(survey);
    let tests = match tests::recall(&survey, &built.programs) {
        Some(tests) => tests,
        None => {
            let tests = tests::survey(&built.programs, &arguments.tree, &arguments.work)?;
            tests::remember(&survey, &tests)?;
            tests
        }
    };
    println!("{} tests", tests.len());

    let mut accepted = accepted(&arguments.accepted)?;
    let wholly_accepted = wholly_accepted(&mutants, &accepted);
    let known = states.known(&results, &wholly_accepted);
    let is_left = |mutant: &&Mutant| {
        let verdict = known.get(&mutant.name);
        verdict
            .is_none_or(|verdict| verdict == UNFINISHED && !wholly_accepted.contains(&mutant.name))
    };
    let mut left: Vec<&Mutant> = mutants.iter().filter(is_left).collect();
    println!("{} are known already", mutants.len() - left.len());
    // What no test missed before takes the longest.
    let survivors = states.survivors(&results);
    left.sort_by_key(|mutant| survivors.contains(&mutant.name));
    try_all(&left, &built, &tests, arguments, &states, &results)?;

    let known = states.known(&results, &wholly_accepted);
    let mut sums: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut all_found = true;
    for mutant in &mutants {
        let mut verdict =
            known.get(&mutant.name).ok_or(format!("no result: {}", mutant.name))?.as_str();
        if matches!(verdict, "survived" | "unreached" | UNFINISHED) {
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
    states: &States,
    results: &Path,
) -> Result<(), String> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(results);
    let results = Mutex::new(opened.map_err(|error| format!("{}: {error}", results.display()))?);
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), String> {
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = one(mutant, built, tests, arguments)?;
            let mut results = results.lock().map_err(|_| "another thread failed")?;
            writeln!(results, "{}", states.line(verdict, mutant))
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

/// The mutants of whose name every one is accepted.
fn wholly_accepted(mutants: &[Mutant], accepted: &BTreeMap<String, usize>) -> HashSet<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for mutant in mutants {
        *counts.entry(mutant.key()).or_default() += 1;
    }
    let is_accepted = |mutant: &&Mutant| {
        let key = mutant.key();
        accepted.get(&key).is_some_and(|accepted| *accepted >= counts[&key])
    };
    mutants.iter().filter(is_accepted).map(|mutant| mutant.name.clone()).collect()
}

fn take(accepted: &mut BTreeMap<String, usize>, key: &str) -> bool {
    let Some(count) = accepted.get_mut(key).filter(|count| **count > 0) else { return false };
    *count -= 1;
    true
}

/// What files and tests were like when a mutant was tried.
struct States {
    /// Of each file with mutants.
    files: BTreeMap<String, String>,
    /// The file of each mutant.
    file_of: HashMap<String, String>,
    tests: String,
}

impl States {
    /// Before the mutants are woven in.
    fn new(tree: &Path, mutants: &[Mutant], tests: &str) -> Result<Self, String> {
        let mut files = BTreeMap::new();
        for mutant in mutants {
            if !files.contains_key(&mutant.file) {
                let text = fs::read(tree.join(&mutant.file))
                    .map_err(|error| format!("{}: {error}", mutant.file))?;
                files.insert(mutant.file.clone(), state(&text));
            }
        }
        let file_of = mutants.iter().map(|mutant| (mutant.name.clone(), mutant.file.clone()));
        Ok(Self { files, file_of: file_of.collect(), tests: tests.to_owned() })
    }

    fn line(&self, verdict: &str, mutant: &Mutant) -> String {
        let file = self.files.get(&mutant.file).map_or("", String::as_str);
        format!("{verdict}\t{}\t{file}\t{}", mutant.name, self.tests)
    }

    /// What was tried before, and is still known. That an accepted one survived stays known while its file is the same.
    fn known(&self, path: &Path, accepted: &HashSet<String>) -> HashMap<String, String> {
        let is_known = |verdict: &str, name: &str, tests: &str| {
            let is_settled = matches!(verdict, "missed" | "hung" | "unviable");
            let is_accepted =
                matches!(verdict, "survived" | "unreached" | UNFINISHED) && accepted.contains(name);
            is_settled || is_accepted || tests == self.tests
        };
        self.tried(path, is_known).collect()
    }

    /// What no test missed the last time.
    fn survivors(&self, path: &Path) -> HashSet<String> {
        let all: HashMap<String, String> = self.tried(path, |_, _, _| true).collect();
        all.into_iter().filter(|(_, verdict)| verdict == "survived").map(|(name, _)| name).collect()
    }

    /// Names and verdicts of those whose files are as they were, the last of each name last.
    fn tried(
        &self,
        path: &Path,
        counts: impl Fn(&str, &str, &str) -> bool,
    ) -> impl Iterator<Item = (String, String)> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut tried = Vec::new();
        for line in text.lines() {
            let [verdict, name, file, tests] = *line.split('\t').collect::<Vec<_>>() else {
                continue;
            };
            let now = self.file_of.get(name).and_then(|file| self.files.get(file));
            if now.is_some_and(|now| now == file) && counts(verdict, name, tests) {
                tried.push((name.to_owned(), verdict.to_owned()));
            }
        }
        tried.into_iter()
    }
}

fn state(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
