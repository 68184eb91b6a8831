//! Words that may not stand in the repository, and words that must have a form.

use super::items::words;
use super::source::Source;

/// `unsafe` in code, and a crate that does not forbid it.
pub(crate) fn unsafe_code(files: &[Source]) -> Vec<String> {
    let uses =
        files.iter().flat_map(|file| file.places_of("unsafe").map(|at| file.finding(at, "unsafe")));
    let libs = files.iter().filter(|file| file.path == "src/lib.rs");
    let lax = libs.filter(|lib| !lib.code().contains("#![forbid(unsafe_code)]"));
    uses.chain(lax.map(|lib| lib.finding(0, "does not forbid unsafe code"))).collect()
}

/// Names of one machine: where packages come from, and where somebody lives.
pub(crate) fn forbidden(files: &[Source]) -> Vec<String> {
    let words = forbidden_words();
    let mut findings = Vec::new();
    for file in files {
        for word in &words {
            let places = file.text.match_indices(word.as_str());
            findings.extend(places.map(|(at, _)| file.finding(at, word)));
        }
    }
    findings
}

/// They are put together here, for this file is looked through as well.
fn forbidden_words() -> Vec<String> {
    let hosts = ["crates", "npmjs", "pythonhosted", "debian"];
    let services = ["registry", "index", "static", "files", "deb", "snapshot", "security"];
    let hosts =
        hosts.into_iter().flat_map(|host| services.map(|service| format!("{service}.{host}.")));
    let homes = ["home", "root", "Users"].map(|folder| format!("/{folder}/"));
    hosts.chain(homes).collect()
}

/// Words in comments that look like the ID of a feature and are none: `XX-00` is one.
pub(crate) fn malformed_ids(files: &[Source]) -> Vec<String> {
    files.iter().flat_map(malformed_ids_in).collect()
}

fn malformed_ids_in(file: &Source) -> Vec<String> {
    let candidates = words(file.comments()).filter_map(|(at, letters)| {
        let digits = file.comments()[at + letters.len()..].strip_prefix('-')?;
        let digits = &digits[..super::code::word_len(digits)];
        (is_like_id(letters, digits) && !is_id(letters, digits)).then(|| {
            let what = format!("{letters}-{digits} is no ID of the form XX-00");
            file.finding(at, &what)
        })
    });
    candidates.collect()
}

fn is_like_id(letters: &str, digits: &str) -> bool {
    let is_name = (1..=3).contains(&letters.len())
        && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
        && letters.bytes().any(|byte| byte.is_ascii_uppercase());
    // Algorithms and standards are written alike.
    let is_other =
        ["UTF", "SHA", "RFC", "ISO"].iter().any(|other| letters.eq_ignore_ascii_case(other));
    is_name && !is_other && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_id(letters: &str, digits: &str) -> bool {
    letters.len() == 2 && digits.len() == 2 && letters.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_unsafe_code() {
        let forbids = "#![forbid(unsafe_code)]";
        for (text, count) in [
            (format!("{forbids}\nunsafe fn a() {{}}"), 1),
            (format!("{forbids}\nfn a() {{ unsafe {{ b() }} }}"), 1),
            ("fn a() {}".to_owned(), 1),
            (format!("// {forbids}"), 1),
            (format!("{forbids}\n// unsafe\nfn a() {{ b(\"unsafe\") }}"), 0),
        ] {
            let found = unsafe_code(&[Source::new("src/lib.rs", text.as_str())]);
            assert_eq!(found.len(), count, "{text}");
        }
    }

    #[test]
    fn refuses_words_of_one_machine() {
        let file = |text: String| [Source::new("README.md", text)];
        for word in forbidden_words() {
            assert_eq!(forbidden(&file(format!("see {word}x"))).len(), 1, "{word}");
        }
        assert!(forbidden(&file("crates.io, debian, home/x, /rooted".to_owned())).is_empty());
    }

    #[test]
    fn refuses_ids_without_their_form() {
        let found = |text: &str| malformed_ids(&[Source::new("tests/x.rs", text)]).len();
        for text in ["/// FR-3", "// F-03", "//! FRA-03, so", "/// Fr-03.", "/// FR-003"] {
            assert_eq!(found(text), 1, "{text}");
        }
        let text =
            "/// FR-03, MS-10: Utf-8, SHA-1, RFC-6455, is-1, a-z, FR-x\nfn a() -> u8 { B-1 }";
        assert_eq!(found(text), 0);
    }
}
