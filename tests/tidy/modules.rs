//! The tree of modules.

use super::items::{after_attributes, after_visibility, first_word};
use super::source::Source;

/// `mod.rs` files that hold anything but `mod` and `use`.
pub(crate) fn code_in_tables(files: &[Source]) -> Vec<String> {
    let tables = files.iter().filter(|file| file.path.ends_with("/mod.rs"));
    tables
        .filter(|file| !is_table(file.code()))
        .map(|file| file.finding(0, "code in a table of contents"))
        .collect()
}

fn is_table(code: &str) -> bool {
    let mut statements: Vec<_> = code.split(';').map(str::trim).collect();
    // What is behind the last semicolon.
    let rest = statements.pop().unwrap_or_default();
    rest.is_empty() && statements.into_iter().all(is_entry)
}

fn is_entry(statement: &str) -> bool {
    let item = after_visibility(after_attributes(statement));
    match first_word(item) {
        "use" => true,
        "mod" => !item.contains('{'),
        _ => false,
    }
}

/// Files that no `mod` leads to, beginning at `lib.rs`.
pub(crate) fn unreachable(files: &[Source]) -> Vec<String> {
    let mut reached = vec!["src/lib.rs".to_owned()];
    let mut at = 0;
    while let Some(path) = reached.get(at) {
        let file = files.iter().find(|file| file.path == *path);
        let children = file.map(children).unwrap_or_default();
        let new = children.into_iter().filter(|child| !reached.contains(child));
        let new: Vec<_> = new.collect();
        reached.extend(new);
        at += 1;
    }
    let dead = files.iter().filter(|file| !reached.contains(&file.path));
    dead.map(|file| file.finding(0, "no `mod` leads here")).collect()
}

/// The files that the `mod name;` of a file may mean.
fn children(file: &Source) -> Vec<String> {
    let (parent, name) = file.path.rsplit_once('/').unwrap_or_default();
    let folder = match name {
        "lib.rs" | "mod.rs" => parent.to_owned(),
        name => format!("{parent}/{}", name.trim_end_matches(".rs")),
    };
    let names = file.places_of("mod").filter_map(|at| {
        let rest = file.code_after(at + "mod".len());
        let name = first_word(rest);
        rest[name.len()..].trim_start().starts_with(';').then_some(name)
    });
    names
        .flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str) -> usize {
        code_in_tables(&[Source::new("src/net/mod.rs", text)]).len()
    }

    #[test]
    fn refuses_code_in_tables() {
        for text in [
            "fn a() {}",
            "mod a; const B: u8 = 0;",
            "mod a { use b; }",
            "mod a; struct B;",
            "mod a; impl B {}",
            "mod a",
        ] {
            assert_eq!(tables(text), 1, "{text}");
        }
    }

    #[test]
    fn takes_tables() {
        let text =
            "//! What.\n#[cfg(unix)]\nmod a;\npub(crate) mod b;\npub use a::{B, c::{D, E}};\n";
        assert_eq!(tables(text), 0);
        assert_eq!(tables("// nothing yet\n"), 0);
    }

    #[test]
    fn refuses_files_that_nothing_leads_to() {
        let sources = [
            Source::new("src/lib.rs", "mod a; // mod c;\nmod d { fn e() {} }"),
            Source::new("src/a/mod.rs", "pub mod b;"),
            Source::new("src/a/b.rs", "#[cfg(x)] mod f;"),
            Source::new("src/a/b/f.rs", ""),
            Source::new("src/c.rs", ""),
            Source::new("src/d.rs", "mod g;"),
            Source::new("src/d/g.rs", ""),
        ];
        let dead = unreachable(&sources);
        assert_eq!(dead.len(), 3, "{dead:?}");
        assert!(dead[0].starts_with("src/c.rs: "));
        assert!(unreachable(&sources[..4]).is_empty());
    }
}
