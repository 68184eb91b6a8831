//! How long things may be.

use super::items::functions;
use super::source::Source;

/// A file has one noun.
const FILE_LINES_MAX: usize = 600;

/// A function fits a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Files and functions that are longer.
pub(crate) fn too_long(files: &[Source]) -> Vec<String> {
    files.iter().flat_map(too_long_in).collect()
}

fn too_long_in(file: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(file.finding(0, &format!("{lines} lines, {FILE_LINES_MAX} at most")));
    }
    for function in functions(file.code()) {
        let lines = file.line(function.end) - file.line(function.at) + 1;
        if lines > FUNCTION_LINES_MAX {
            let what = format!("fn {}: {lines} lines, {FUNCTION_LINES_MAX} at most", function.name);
            findings.push(file.finding(function.at, &what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: String) -> usize {
        too_long(&[Source::new("src/x.rs", text)]).len()
    }

    #[test]
    fn refuses_long_files() {
        assert_eq!(findings("\n".repeat(FILE_LINES_MAX + 1)), 1);
        assert_eq!(findings("\n".repeat(FILE_LINES_MAX)), 0);
    }

    #[test]
    fn refuses_long_functions() {
        let function =
            |lines: usize| format!("mod a {{\nfn b() {{{}}}\n}}", "\n".repeat(lines - 1));
        assert_eq!(findings(function(FUNCTION_LINES_MAX + 1)), 1);
        assert_eq!(findings(function(FUNCTION_LINES_MAX)), 0);
    }
}
