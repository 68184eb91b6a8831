//! The fuzz targets on stable: their corpora replayed, and arbitrary bytes for each of them.

// All of them or none: the targets of tokens, events, brokers and nodes need them.
#![cfg(all(feature = "app", feature = "nats"))]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

/// The committed seeds, or with `CORPUS=fuzz/target/corpus` what was learned.
fn corpus(target: &str) -> Vec<PathBuf> {
    let corpus = std::env::var("CORPUS").unwrap_or_else(|_| "fuzz/corpus".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(corpus).join(target);
    let entries = std::fs::read_dir(&folder).expect("every target has a corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

/// BY-62: what was once found stays found.
#[test]
fn every_seed_passes_its_oracles() {
    for (target, run) in targets::TARGETS {
        let files = corpus(target);
        assert!(files.len() >= 5, "{target} has {} seeds", files.len());
        for file in files {
            let bytes = std::fs::read(&file).expect("a seed");
            assert!(bytes.len() <= 4096, "{} is no small seed", file.display());
            println!("{}", file.display());
            run(&bytes);
        }
    }
}

/// Every corpus belongs to a target, and every target is a binary of the fuzzer.
#[test]
fn corpora_and_targets_belong_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.expect("an entry").path();
            path.file_stem().expect("a name").to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    };
    let mut targets: Vec<String> = targets::TARGETS.map(|(name, _)| name.to_owned()).to_vec();
    targets.sort();
    assert_eq!(names(folder.join("corpus")), targets);
    assert_eq!(names(folder.join("fuzz_targets")), targets);
}

proptest! {
    /// Arbitrary bytes pass the oracles of every target.
    #[test]
    fn arbitrary_bytes_pass_every_target(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for (_, run) in targets::TARGETS {
            run(&bytes);
        }
    }
}
