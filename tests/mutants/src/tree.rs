//! A copy of the tree with every mutant in it, and its test programs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::list::Mutant;
use crate::weave::{self, Woven};

/// How often what does not compile is left out before this gives up.
const ROUNDS_MAX: usize = 40;

pub struct Built {
    /// Name and file of each test program.
    pub programs: Vec<(String, PathBuf)>,
    /// What was left out, for it is no program.
    pub unviable: HashSet<u32>,
    pub reached_by: HashMap<u32, u32>,
}

pub fn cargo(tree: &Path, target: &Path) -> Command {
    let mut command = Command::new("cargo");
    command
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cap-lints allow")
        .env("CARGO_INCREMENTAL", "1");
    command
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_TEST_DEBUG", "0")
        .env("CARGO_TERM_COLOR", "never");
    command
}

/// Writes the mutants into the copy, leaves out what does not compile, builds the programs.
pub fn build(
    tree: &Path,
    target: &Path,
    mutants: &[Mutant],
    programs: &[String],
) -> Result<Built, String> {
    let mut sources: BTreeMap<&str, (String, Vec<&Mutant>)> = BTreeMap::new();
    for mutant in mutants {
        let (_, of_file) = match sources.entry(&mutant.file) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((read(&tree.join(&mutant.file))?, Vec::new()))
            }
        };
        of_file.push(mutant);
    }
    let root = tree.join("src/lib.rs");
    let own = read(&root)?;
    let (mut without, mut constant) = (HashSet::new(), HashSet::new());
    for round in 1..=ROUNDS_MAX {
        let mut woven: HashMap<&str, Woven> = HashMap::new();
        for (file, (source, of_file)) in &sources {
            let one = weave::weave(source, of_file, &without, &constant)
                .map_err(|error| format!("{file}: {error}"))?;
            fs::write(tree.join(file), &one.text).map_err(|error| format!("{file}: {error}"))?;
            woven.insert(file, one);
        }
        let lib = woven.get("src/lib.rs").map_or(own.as_str(), |one| one.text.as_str());
        fs::write(&root, format!("{lib}{}", weave::RUNTIME))
            .map_err(|error| format!("lib.rs: {error}"))?;

        let errors = errors(tree, target)?;
        println!(
            "round {round}: {} errors, {} mutants left out, {} functions constant",
            errors.len(),
            without.len(),
            constant.len()
        );
        if errors.is_empty() {
            let reached_by: HashMap<u32, u32> =
                woven.values().flat_map(|one| one.reached_by.clone()).collect();
            let unviable = mutants
                .iter()
                .map(|mutant| mutant.id)
                .filter(|id| !reached_by.contains_key(id))
                .collect();
            return Ok(Built {
                programs: programs_of(tree, target, programs)?,
                unviable,
                reached_by,
            });
        }
        let before = (without.len(), constant.len());
        for error in &errors {
            match error.constant() {
                Some(name) => drop(constant.insert(name)),
                None => without.extend(error.mutants(&woven)),
            }
        }
        if before == (without.len(), constant.len()) {
            return Err(format!(
                "this does not compile, whatever is left out:\n{}",
                errors[0].text
            ));
        }
    }
    Err(format!("this does not compile after {ROUNDS_MAX} rounds"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

struct CompileError {
    text: String,
    message: String,
    places: Vec<(String, usize)>,
}

impl CompileError {
    /// The function that is called where only a constant one may be.
    fn constant(&self) -> Option<String> {
        let (_, behind) = self.message.split_once("cannot call non-const ")?;
        let path = behind.split('`').nth(1)?;
        let name = path.rsplit("::").next()?.split('<').next()?;
        (name != "mutant").then(|| name.to_owned())
    }
}

impl CompileError {
    /// The mutants around its place, or those before it.
    fn mutants<'a>(&self, woven: &'a HashMap<&str, Woven>) -> &'a [u32] {
        let find = |of: fn(&'a Woven, usize) -> Option<&'a [u32]>| {
            self.places.iter().find_map(|(file, byte)| of(woven.get(file.as_str())?, *byte))
        };
        find(Woven::around).or_else(|| find(Woven::before)).unwrap_or_default()
    }
}

fn errors(tree: &Path, target: &Path) -> Result<Vec<CompileError>, String> {
    let output = cargo(tree, target)
        .args(["check", "--lib", "--all-features", "--message-format=json", "--quiet"])
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cargo check: {error}"))?;
    let mut errors = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let message = &line["message"];
        if message["level"] != "error" {
            continue;
        }
        let spans = message["spans"].as_array().cloned().unwrap_or_default();
        let place = |span: &Value| {
            Some((
                span["file_name"].as_str()?.to_owned(),
                usize::try_from(span["byte_start"].as_u64()?).ok()?,
            ))
        };
        let (first, others): (Vec<&Value>, Vec<&Value>) =
            spans.iter().partition(|span| span["is_primary"] == true);
        let places: Vec<_> = first.into_iter().chain(others).filter_map(place).collect();
        if !places.is_empty() {
            let text = message["rendered"].as_str().unwrap_or_default().to_owned();
            errors.push(CompileError {
                text,
                message: message["message"].as_str().unwrap_or_default().to_owned(),
                places,
            });
        }
    }
    if errors.is_empty() && !output.status.success() {
        return Err("cargo check failed and said no error of ours".to_owned());
    }
    Ok(errors)
}

fn programs_of(
    tree: &Path,
    target: &Path,
    programs: &[String],
) -> Result<Vec<(String, PathBuf)>, String> {
    let mut command = cargo(tree, target);
    command.args(["test", "--no-run", "--all-features", "--message-format=json", "--quiet"]);
    for program in programs {
        match program.as_str() {
            "lib" => command.arg("--lib"),
            name => command.args(["--test", name]),
        };
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo test: {error}"))?;
    if !output.status.success() {
        return Err("the tests do not compile".to_owned());
    }
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let (name, file) = (line["target"]["name"].as_str(), line["executable"].as_str());
        if let (Some(name), Some(file)) = (name, file)
            && line["profile"]["test"] == true
        {
            found.push((name.to_owned(), PathBuf::from(file)));
        }
    }
    Ok(found)
}
