//! Tests that wait for the real clock. A notification or paused time is better.

use super::items::{Function, functions};
use super::source::Source;

/// Sleeps that are real: `std::thread::sleep`, and tokio's where time is not paused.
pub(crate) fn real(files: &[Source]) -> Vec<String> {
    files.iter().flat_map(real_in).collect()
}

fn real_in(file: &Source) -> Vec<String> {
    let functions = functions(file.code());
    let words = ["sleep", "sleep_until", "sleep_ms", "park_timeout"];
    let places = words.into_iter().flat_map(|word| {
        let calls = file.places_of(word);
        calls.filter(move |at| is_call(file, *at, word))
    });
    let is_real = |at: &usize| is_of_thread(file, *at) || !is_paused(file, &functions, *at);
    places.filter(is_real).map(|at| file.finding(at, "sleeps for real")).collect()
}

fn is_call(file: &Source, at: usize, word: &str) -> bool {
    let is_definition = file.code()[..at].trim_end().ends_with("fn");
    !is_definition && file.code_after(at + word.len()).starts_with('(')
}

/// Called as the thread's, or imported as that.
fn is_of_thread(file: &Source, at: usize) -> bool {
    let has_path = file.code()[..at].ends_with("::");
    if has_path {
        return file.code()[..at].ends_with("thread::");
    }
    file.code().contains("thread::sleep;") || file.code().contains("thread::park_timeout;")
}

/// Time is paused in the innermost function around the call, or in every test of the file.
fn is_paused(file: &Source, functions: &[Function<'_>], at: usize) -> bool {
    let around = functions.iter().rfind(|function| function.start <= at && at < function.end);
    let code = around.map_or("", |function| &file.code()[function.start..function.end]);
    if code.contains("start_paused") || code.contains("time::pause(") {
        return true;
    }
    let tests: Vec<_> = file.code().match_indices("#[tokio::test").collect();
    let is_paused = |at: usize| {
        let attribute = &file.code()[at..];
        attribute[..attribute.find(']').unwrap_or(attribute.len())].contains("start_paused = true")
    };
    !tests.is_empty() && tests.into_iter().all(|(at, _)| is_paused(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        real(&[Source::new("tests/x.rs", text)]).len()
    }

    #[test]
    fn refuses_real_sleeps() {
        for text in [
            "fn a() { std::thread::sleep(B) }",
            "use std::thread::sleep; fn a() { sleep(B) }",
            "#[tokio::test] async fn a() { tokio::time::sleep(B).await }",
            "#[tokio::test] async fn a() { sleep_until(B).await }",
            "#[tokio::test(start_paused = true)] async fn a() { std::thread::sleep(B) }",
            "#[tokio::test(start_paused = true)] async fn a() {} \
             #[tokio::test] async fn b() { time::sleep(B).await }",
            "async fn helper() { tokio::time::sleep(B).await }",
        ] {
            assert_eq!(findings(text), 1, "{text}");
        }
    }

    #[test]
    fn takes_virtual_ones() {
        for text in [
            "#[tokio::test(start_paused = true)] async fn a() { tokio::time::sleep(B).await }",
            "#[tokio::test] async fn a() { tokio::time::pause(); tokio::time::sleep(B).await }",
            "#[tokio::test(start_paused = true)] async fn a() { b().await } \
             async fn b() { sleep(C).await }",
            "// thread::sleep(B)\nfn sleep(a: &str) {}",
        ] {
            assert_eq!(findings(text), 0, "{text}");
        }
    }
}
