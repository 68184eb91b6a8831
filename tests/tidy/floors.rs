//! Who may use whom.

use super::items::{bracketed_len, first_word, words};
use super::source::Source;

/// The modules at the crate's root, from the bottom up: each uses only those before it. So there are
/// no circles between them either.
///
/// `error` is the error of the faces: it is made of the errors of floors 1 to 5, and net gives it.
/// `json` adds to messages and faces, and nobody needs to import it: its functions are methods.
const ORDER: [&str; 23] = [
    "sync",
    "frame",
    "deflate",
    "handshake",
    "protocol",
    "trace",
    "outbox",
    "error",
    NET,
    "tls",
    "client",
    "json",
    PURE,
    "pubsub",
    "hub",
    "session",
    "app",
    "hyper",
    "tower",
    "axum",
    "testing",
    "guide",
    "lib",
];

/// The first floor that knows tokio.
const NET: &str = "net";

/// A floor above it that knows none.
const PURE: &str = "auth";

/// Paths that lead from a floor to one above it, and files that have no floor.
pub(crate) fn upward(files: &[Source]) -> Vec<String> {
    let exports = exports(files);
    let mut findings = Vec::new();
    for file in files {
        let Some(floor) = floor_of(file) else {
            findings.push(file.finding(0, "has no floor in tests/tidy/floors.rs"));
            continue;
        };
        for (at, name) in roots(file) {
            if let Some(what) = judge(floor, name, &exports) {
                findings.push(file.finding(at, &what));
            }
        }
    }
    findings
}

/// Mentions of tokio below the line, and in the leaf above it that has no I/O either.
pub(crate) fn runtimes(files: &[Source]) -> Vec<String> {
    let (line, leaf) = (place_of(NET), place_of(PURE));
    let without = files.iter().filter(|file| floor_of(file) < line || floor_of(file) == leaf);
    let mentions = without.flat_map(|file| file.places_of("tokio").map(move |at| (file, at)));
    mentions.map(|(file, at)| file.finding(at, "tokio where there is no I/O")).collect()
}

fn judge(floor: usize, name: &str, exports: &[(String, usize)]) -> Option<String> {
    let export = exports.iter().find(|(export, _)| export == name);
    match place_of(name).or(export.map(|(_, floor)| *floor)) {
        None => Some(format!("crate::{name} has no floor in tests/tidy/floors.rs")),
        Some(used) if used > floor => {
            let (own, used) = (ORDER[floor], ORDER[used]);
            Some(format!("{own} uses crate::{name}, which is {used}, above it"))
        }
        Some(_) => None,
    }
}

fn place_of(name: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == name)
}

fn floor_of(file: &Source) -> Option<usize> {
    let path = file.path.strip_prefix("src/")?;
    let first = path.split('/').next()?;
    place_of(first.strip_suffix(".rs").unwrap_or(first))
}

/// The names that stand behind `crate::` in a file: modules of the root and what it re-exports. Where
/// `super` may be the root, it counts as that.
fn roots(file: &Source) -> Vec<(usize, &str)> {
    let is_at_root = file.path.matches('/').count() == 1 || is_folder(&file.path);
    let mut found = Vec::new();
    for (at, word) in words(file.code()) {
        let Some(path) = after_colons(&file.code()[at + word.len()..]) else {
            continue;
        };
        match word {
            "crate" => found.extend(heads(path).into_iter().map(|head| (at, head))),
            "super" if first_word(path) == "super" => found.push((at, "super::super")),
            "super" if is_at_root => {
                let heads = heads(path).into_iter();
                found.extend(heads.filter_map(|head| place_of(head).map(|_| (at, head))));
            }
            _ => {}
        }
    }
    found
}

fn is_folder(path: &str) -> bool {
    path.matches('/').count() == 2 && path.ends_with("/mod.rs")
}

fn after_colons(code: &str) -> Option<&str> {
    Some(code.trim_start().strip_prefix("::")?.trim_start())
}

/// The first names of a path or of each path of a group.
fn heads(path: &str) -> Vec<&str> {
    if !path.starts_with('{') {
        return vec![first_word(path)];
    }
    let group = &path[1..bracketed_len(path)].trim_end_matches('}');
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut is_start = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            _ if character.is_whitespace() => {}
            _ if is_start => {
                heads.push(first_word(&group[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
    heads
}

/// What `lib.rs` re-exports, with the floor it comes from.
fn exports(files: &[Source]) -> Vec<(String, usize)> {
    let Some(lib) = files.iter().find(|file| file.path == "src/lib.rs") else {
        return Vec::new();
    };
    let mut exports = Vec::new();
    for at in lib.places_of("use") {
        let tree = lib.code_after(at + "use".len());
        let tree = &tree[..tree.find(';').unwrap_or(tree.len())];
        let tree = tree.strip_prefix("crate::").unwrap_or(tree);
        let Some(floor) = place_of(first_word(tree)) else {
            continue;
        };
        let leaves =
            words(tree).filter(|(at, word)| after_colons(&tree[at + word.len()..]).is_none());
        exports.extend(leaves.map(|(_, leaf)| (leaf.to_owned(), floor)));
    }
    exports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let lib = "pub use net::{Server, server::{A as B}};\npub use outbox::Sender;";
        let files = [Source::new("src/lib.rs", lib), Source::new(path, text)];
        upward(&files).len()
    }

    #[test]
    fn refuses_paths_that_lead_up() {
        for text in [
            "use crate::net::Server;",
            "use crate::{frame::Opcode, net::{self, conn::Conn}};",
            "fn f() -> crate::net::Server {}",
            "use crate :: net;",
            "use crate::Server;",
            "use crate::B;",
            "macro_rules! m { () => { $crate::net::f() } }",
            "pub(in crate::hub) fn f() {}",
        ] {
            assert_eq!(findings("src/protocol/x.rs", text), 1, "{text}");
        }
        assert_eq!(findings("src/protocol/mod.rs", "use super::net;"), 1);
        assert_eq!(findings("src/error.rs", "use crate::net::Server;"), 1);
        assert_eq!(findings("src/sync.rs", "use super::{frame::Opcode};"), 1);
    }

    #[test]
    fn refuses_what_it_cannot_place() {
        assert_eq!(findings("src/protocol/x.rs", "use crate::attic::X;"), 1);
        assert_eq!(findings("src/protocol/x.rs", "use crate::*;"), 1);
        assert_eq!(findings("src/protocol/x.rs", "use super::super::net;"), 1);
        assert_eq!(findings("src/attic/x.rs", ""), 1);
        assert_eq!(findings("src/attic.rs", ""), 1);
    }

    #[test]
    fn takes_paths_that_lead_down_or_along() {
        for text in [
            "use crate::frame::Opcode;",
            "use crate::{frame, sync::{Arc, Mutex}};",
            "use super::{Message, net};",
            "/// [`Server`](crate::Server)\n// crate::net\npub(crate) fn f() {}",
            "fn f() -> &'static str { \"crate::net\" }",
        ] {
            assert_eq!(findings("src/protocol/x.rs", text), 0, "{text}");
        }
        assert_eq!(findings("src/hub/x.rs", "use crate::Sender;"), 0);
        assert_eq!(findings("src/error.rs", "mod tests { use super::*; }"), 0);
    }

    #[test]
    fn refuses_tokio_below_the_line() {
        let text = "// tokio\nuse tokio::net;";
        for (path, count) in
            [("src/outbox/x.rs", 1), ("src/error.rs", 1), ("src/auth/x.rs", 1), ("src/net/x.rs", 0)]
        {
            assert_eq!(runtimes(&[Source::new(path, text)]).len(), count, "{path}");
        }
    }
}
