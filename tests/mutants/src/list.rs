//! The mutants, as `cargo mutants --list --json` tells them.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// One change that a test should miss.
#[derive(Debug, Clone, Deserialize)]
pub struct Mutant {
    /// Where the others begin with 1: none is 0.
    #[serde(skip)]
    pub id: u32,
    /// What is changed, where, into what: the name that survivors are listed by.
    pub name: String,
    pub file: String,
    pub genre: Genre,
    pub replacement: String,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Span {
    pub start: Position,
}

/// Line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Mutant {
    pub fn floor(&self) -> &str {
        self.file.split('/').nth(1).unwrap_or("lib")
    }

    /// The name without the place, which moves with every line above it.
    pub fn key(&self) -> String {
        let what = self.name.splitn(4, ':').last().unwrap_or(&self.name);
        format!("{}:{what}", self.file)
    }
}

/// What is shown to people who debug is tested where it must not show something: to show less is no error.
const SHOWN: &str = "Debug for .*>::fmt";

/// The mutants of these files, numbered from 1 in the order of the list.
pub fn list(tree: &Path, globs: &[String]) -> Result<Vec<Mutant>, String> {
    let mut command = Command::new("cargo");
    command.current_dir(tree).args([
        "mutants",
        "--list",
        "--json",
        "--package",
        "sockeye",
        "--exclude-re",
        SHOWN,
    ]);
    for glob in globs {
        command.args(["-f", glob]);
    }
    for file in ["models", "modelled", "schedules", "driven", "scheduled"] {
        // Models, and what they stand on: compiled for loom and shuttle alone.
        command.args(["-e", &format!("src/**/{file}.rs")]);
    }
    let output = command.output().map_err(|error| format!("cargo mutants: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo mutants: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("what cargo mutants lists: {error}"))?;
    for (mutant, id) in mutants.iter_mut().zip(1..) {
        mutant.id = id;
    }
    Ok(mutants)
}
