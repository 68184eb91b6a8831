//! Reads the repository and fails where it drifts from the way this house is built.
//!
//! What it is not: a linter of Rust. It looks at text in which comments and literals are blanked, so it
//! knows words, braces and attributes, and that is enough. Every check is shown to fail beside its code.

mod cfgs;
mod clocks;
mod code;
mod defences;
mod exempt;
mod files;
mod floors;
mod items;
mod lengths;
mod modules;
mod sleeps;
mod source;
mod words;

use exempt::{Exempt, unlisted};
use files::{rust_files, text_files};

/// Fails with all findings at once, one a line.
#[track_caller]
fn nothing_in(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn no_floor_uses_a_floor_above_it() {
    nothing_in(&floors::upward(&rust_files("src")));
}

#[test]
fn no_tokio_below_the_line() {
    nothing_in(&floors::runtimes(&rust_files("src")));
}

/// A47, row 47: no deadline, ping or rate hangs on a clock that somebody may turn.
#[test]
fn no_wall_clock_but_for_tokens() {
    nothing_in(&clocks::of_the_wall(&rust_files("src")));
}

#[test]
fn src_is_safe() {
    nothing_in(&words::unsafe_code(&rust_files("src")));
}

#[test]
fn cfg_stands_on_modules_and_uses() {
    let listed = [
        Exempt {
            place: "src/net/line.rs: cfg(unix)",
            reason: "Unix sockets are a stream like TCP; a module of their own would be the same file twice",
        },
        Exempt {
            place: "src/net/stream.rs: cfg(",
            reason: "the same: Unix sockets are one of the streams a client has",
        },
        Exempt {
            place: "src/net/server.rs: cfg(all(",
            reason: "SO_REUSEPORT: socket2 has it where the system has",
        },
        Exempt {
            place: "src/net/server.rs: cfg(not(all(",
            reason: "SO_REUSEPORT: an error where the system has it not",
        },
        Exempt {
            place: "src/lib.rs: cfg_attr(docsrs,",
            reason: "marks what a feature brings in the rendered documentation",
        },
    ];
    nothing_in(&unlisted(cfgs::misplaced(&rust_files("src")), &listed));
}

#[test]
fn files_and_functions_fit_their_bounds() {
    let listed = [Exempt {
        place: "tests/protocol/handshake.rs: ",
        reason: "one file a floor: the tables of requests and responses that are refused are long",
    }];
    let folders = ["src", "tests", "examples", "benches"];
    let files: Vec<_> = folders.into_iter().flat_map(rust_files).collect();
    nothing_in(&unlisted(lengths::too_long(&files), &listed));
}

#[test]
fn a_mod_file_is_a_table_of_contents() {
    nothing_in(&modules::code_in_tables(&rust_files("src")));
}

#[test]
fn every_file_of_src_is_in_the_tree() {
    nothing_in(&modules::unreachable(&rust_files("src")));
}

#[test]
fn no_word_of_one_machine() {
    nothing_in(&words::forbidden(&text_files()));
}

#[test]
fn tests_do_not_sleep() {
    let listed = [Exempt {
        place: "tests/network/world.rs: sleeps for real",
        reason: "the clocks of a simulated network's hosts are paused",
    }];
    nothing_in(&unlisted(sleeps::real(&rust_files("tests")), &listed));
}

#[test]
fn feature_ids_have_their_form() {
    let files = ["src", "tests"].into_iter().flat_map(rust_files);
    nothing_in(&words::malformed_ids(&files.collect::<Vec<_>>()));
}

fn text_of(path: &str) -> source::Source {
    let file = text_files().into_iter().find(|file| file.path == path);
    file.unwrap_or_else(|| panic!("{path} is not there"))
}

#[test]
fn every_attack_has_its_row() {
    let files: Vec<_> = ["src", "tests", "examples"].into_iter().flat_map(rust_files).collect();
    nothing_in(&defences::wrong(&text_of(defences::TABLE), &files));
}

/// `WRITE_GUIDE=1 cargo test --test tidy` writes it.
#[test]
fn the_page_of_attacks_is_made_of_the_table() {
    let (table, page) = (text_of(defences::TABLE), text_of(defences::PAGE));
    let made = defences::page_of(&page.text, &table.text).expect("the page has a place for it");
    if std::env::var_os("WRITE_GUIDE").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(defences::PAGE);
        std::fs::write(path, made).expect("the page can be written");
    } else {
        assert!(made == page.text, "out of date: WRITE_GUIDE=1 cargo test --test tidy");
    }
}
