//! Where conditional compilation may stand: on modules and uses, not on fields, variants or branches.

use super::items::{after_attributes, after_visibility, bracketed_len, first_word};
use super::source::Source;

/// Conditions that stand elsewhere. `cfg(test)` may stand anywhere.
pub(crate) fn misplaced(files: &[Source]) -> Vec<String> {
    files.iter().flat_map(misplaced_in).collect()
}

fn misplaced_in(file: &Source) -> Vec<String> {
    let attributes = ["cfg", "cfg_attr"]
        .into_iter()
        .flat_map(|word| file.places_of(word).filter(|at| is_attribute(file, *at)));
    let misplaced = attributes.filter(|at| !is_in_its_place(file, *at));
    let macros =
        file.places_of("cfg").filter(|at| file.code()[at + "cfg".len()..].starts_with('!'));
    let places = misplaced.chain(macros);
    places.map(|at| file.finding(at, file.text[at..].lines().next().unwrap_or_default())).collect()
}

fn is_attribute(file: &Source, at: usize) -> bool {
    let before = file.code()[..at].trim_end();
    before.ends_with("#[") || before.ends_with("#![")
}

fn is_in_its_place(file: &Source, at: usize) -> bool {
    let name = first_word(&file.code()[at..]);
    let predicate = &file.code()[at + name.len()..];
    let end = bracketed_len(predicate);
    if name == "cfg" && predicate[..end].trim_matches(['(', ')', ' ']) == "test" {
        return true;
    }
    let is_outer = file.code()[..at].trim_end().ends_with("#[");
    let rest = predicate[end..].trim_start().strip_prefix(']');
    let Some(rest) = rest.filter(|_| is_outer) else {
        return false;
    };
    let item = after_attributes(rest.trim_start());
    let keyword = first_word(after_visibility(item));
    keyword == "mod" || (keyword == "use" && first_word(item) == "pub")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        misplaced(&[Source::new("src/net/x.rs", text)]).len()
    }

    #[test]
    fn refuses_conditions_on_anything_else() {
        for text in [
            "struct A { #[cfg(feature = \"b\")] c: D }",
            "#[cfg(unix)] fn a() {}",
            "#[cfg(unix)] use a::b;",
            "#[cfg(all(unix, test))] fn a() {}",
            "fn a() { if cfg!(unix) {} }",
            "#[cfg_attr(unix, inline)] fn a() {}",
            "#![cfg(unix)] mod a;",
        ] {
            assert_eq!(findings(text), 1, "{text}");
        }
    }

    #[test]
    fn takes_modules_uses_and_tests() {
        for text in [
            "#[cfg(feature = \"hub\")] pub mod hub;",
            "#[cfg(feature = \"hub\")] #[doc(inline)] pub use hub::Hub;",
            "#[cfg_attr(docsrs, doc(cfg(feature = \"hub\")))] mod a;",
            "#[cfg(test)] mod tests { #[cfg(test)] fn a() {} }",
            "// #[cfg(unix)]\nfn a() {}",
        ] {
            assert_eq!(findings(text), 0, "{text}");
        }
    }
}
