//! Who may ask what the time of day is: it jumps, forwards and back.

use super::source::Source;

/// Mentions of the wall clock where it is not about the end of a token.
pub(crate) fn of_the_wall(files: &[Source]) -> Vec<String> {
    let is_about_tokens =
        |path: &str| path.starts_with("src/auth/") || path == "src/hub/guarded.rs";
    let others = files.iter().filter(|file| !is_about_tokens(&file.path));
    let mentions = others.flat_map(|file| {
        let words = ["SystemTime", "UNIX_EPOCH"].into_iter();
        words.flat_map(|word| file.places_of(word)).map(move |at| (file, at))
    });
    mentions.map(|(file, at)| file.finding(at, "the wall clock jumps")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        of_the_wall(&[Source::new(path, text)]).len()
    }

    #[test]
    fn refuses_the_wall_clock() {
        assert_eq!(findings("src/net/x.rs", "let now = std::time::SystemTime::now();"), 1);
        assert_eq!(findings("src/hub/x.rs", "use std::time::{SystemTime, UNIX_EPOCH};"), 2);
    }

    #[test]
    fn takes_it_where_tokens_end() {
        assert_eq!(findings("src/auth/x.rs", "SystemTime"), 0);
        assert_eq!(findings("src/hub/guarded.rs", "SystemTime"), 0);
        assert_eq!(findings("src/net/x.rs", "// SystemTime\nInstant::now()"), 0);
    }
}
