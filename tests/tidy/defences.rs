//! The table of attacks, `tests/defences/table.txt`, and the page of the guide that is made of it.
//!
//! Whether a test misses its defence is for `.ci/defences` to try; here it is looked whether all that the table names is there.

use super::source::Source;

pub(crate) const TABLE: &str = "tests/defences/table.txt";
pub(crate) const PAGE: &str = "src/guide/ATTACKS.md";

const BEGIN: &str = "<!-- rows: made of tests/defences/table.txt -->\n";
const END: &str = "<!-- end of rows -->\n";
const SECTION: &str = "# --- ";

/// The words a line may begin with, and whether there may be more than one of it in a row.
const WORDS: [(&str, bool); 13] = [
    ("tried", false),
    ("answer", false),
    ("test", false),
    ("also", true),
    ("inner", false),
    ("file", false),
    ("old", false),
    ("new", false),
    ("same", false),
    ("never", false),
    ("todo", false),
    ("needs", true),
    ("example", true),
];

/// Programs whose tests look from inside: a row with such a test says why.
const INNER: [&str; 9] =
    ["lib", "tidy", "protocol", "deflate", "deflate_memory", "memory", "auth", "outbox", "models"];

pub(crate) struct Row<'a> {
    name: &'a str,
    at: usize,
    section: &'a str,
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Row<'a> {
    fn all(&self, word: &str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(move |(known, _)| *known == word).map(|(_, text)| *text)
    }

    fn of(&self, word: &str) -> Option<&'a str> {
        self.all(word).next()
    }
}

/// Every row from the first line to the last; lines before the first belong to nobody.
pub(crate) fn rows(table: &str) -> Vec<Row<'_>> {
    let (mut rows, mut section, mut at) = (Vec::<Row<'_>>::new(), "", 0);
    for line in table.split_inclusive('\n') {
        let text = line.trim_end();
        if let Some(title) = text.strip_prefix(SECTION) {
            section = title;
        } else if !text.is_empty() && !text.starts_with('#') {
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            let rest = rest.trim_start();
            match (word, rows.last_mut()) {
                ("row", _) => rows.push(Row { name: rest, at, section, lines: Vec::new() }),
                (_, Some(row)) => row.lines.push((word, rest)),
                (_, None) => {}
            }
        }
        at += line.len();
    }
    rows
}

/// What is wrong in the table: rows that are missing, twice or half, tests and texts that are not there.
pub(crate) fn wrong(table: &Source, files: &[Source]) -> Vec<String> {
    let rows = rows(&table.text);
    let mut findings = Vec::new();
    let names: Vec<_> = rows.iter().map(|row| row.name.to_owned()).collect();
    for expected in expected_names() {
        if !names.contains(&expected) {
            findings.push(table.finding(0, &format!("no row {expected}")));
        }
    }
    for (index, row) in rows.iter().enumerate() {
        let mut wrong = faults_of(row, &rows, files);
        if names[..index].contains(&names[index]) || !expected_names().any(|name| name == row.name)
        {
            wrong.push("there twice, or no name of a row".to_owned());
        }
        let named = wrong.iter().map(|what| format!("row {}: {what}", row.name));
        findings.extend(named.map(|what| table.finding(row.at, &what)));
    }
    findings
}

fn expected_names() -> impl Iterator<Item = String> {
    let numbers = (1..=75).map(|number| number.to_string());
    let hostile = (1..=40).map(|number| format!("E{number:02}"));
    let inside = (1..=60).map(|number| format!("A{number:02}"));
    let faults = (1..=16).map(|number| format!("F{number:02}"));
    numbers.chain(hostile).chain(inside).chain(faults)
}

fn faults_of(row: &Row<'_>, rows: &[Row<'_>], files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |is_right: bool, what: &str| {
        if !is_right {
            faults.push(what.to_owned());
        }
    };
    for (word, text) in &row.lines {
        let known = WORDS.iter().find(|(known, _)| known == word);
        let is_often = row.all(word).count() > 1;
        expect(known.is_some_and(|(_, may)| *may || !is_often), &format!("`{word}`"));
        expect(!text.is_empty() || *word == "new", &format!("`{word}` without a text"));
    }
    for word in ["tried", "answer"] {
        let is_cell = row.of(word).is_some_and(|text| !text.contains('|'));
        expect(is_cell, &format!("`{word}` is one cell of a table"));
    }
    expect(row.of("test").is_some(), "no test");
    for test in row.all("test").chain(row.all("also")) {
        expect(is_there(test, files), &format!("no test {test}"));
    }
    let is_inner = row.of("test").and_then(|test| test.split(' ').next());
    let is_inner = is_inner.is_some_and(|program| INNER.contains(&program));
    expect(!is_inner || row.of("inner").is_some(), "does not say why its test is not from outside");
    let kinds = ["old", "same", "never", "todo"].into_iter().filter(|kind| row.of(kind).is_some());
    expect(kinds.count() == 1, "one of `old`, `same`, `never` and `todo`");
    if let Some(old) = row.of("old") {
        let file = files.iter().find(|file| Some(file.path.as_str()) == row.of("file"));
        let count = file.map_or(0, |file| file.text.matches(old).count());
        expect(count == 1, &format!("the old text stands {count} times in its file"));
        expect(row.of("new").is_some_and(|new| new != old), "nothing is changed");
    }
    if let Some(same) = row.of("same") {
        let other = rows.iter().find(|row| row.name == same);
        let has_change = other.is_some_and(|row| row.of("old").is_some());
        expect(has_change, "is the same as a row without a change");
    }
    faults
}

/// The function is in the file that its program and path say.
fn is_there(test: &str, files: &[Source]) -> bool {
    let Some((program, path)) = test.split_once(' ') else { return false };
    let (modules, function) = path.rsplit_once("::").unwrap_or(("", path));
    let paths = if program == "lib" {
        let file = modules.trim_end_matches("::tests").replace("::", "/");
        [format!("src/{file}.rs"), format!("src/{file}/mod.rs")]
    } else if modules.is_empty() {
        [format!("tests/{program}.rs"), format!("tests/{program}/main.rs")]
    } else {
        let first = modules.split("::").next().unwrap_or(modules);
        [format!("tests/{program}/{first}.rs"), format!("tests/{program}/main.rs")]
    };
    let mut found = paths.iter().map(|path| files.iter().find(|file| file.path == *path));
    let file = found.find_map(|file| file);
    file.is_some_and(|file| file.code().contains(&format!("fn {function}(")))
}

/// The part of the page that is made of the table.
pub(crate) fn rendered(table: &str) -> String {
    let rows = rows(table);
    let count = |word: &str| rows.iter().filter(|row| row.of(word).is_some()).count();
    let mut page = format!(
        "{BEGIN}\n{} rows: {} with a change of their own, {} that share another's, {} without one, {} still to be done.\n",
        rows.len(),
        count("old"),
        count("same"),
        count("never"),
        count("todo")
    );
    let mut section = "";
    for row in &rows {
        if row.section != section {
            section = row.section;
            page.push_str(&format!(
                "\n# {section}\n\n| | tried | answer | test |\n|---|---|---|---|\n"
            ));
        }
        let [tried, answer, test] =
            ["tried", "answer", "test"].map(|word| row.of(word).unwrap_or_default());
        let (program, path) = test.split_once(' ').unwrap_or((test, ""));
        page.push_str(&format!("| {} | {tried} | {answer} | `{program}` `{path}` |\n", row.name));
    }
    page.push_str(&listed(&rows, "inner", "Tests that are not from outside, and why"));
    page.push_str(&listed(&rows, "never", "Rows without a change of one line"));
    page.push_str(&listed(&rows, "todo", "Rows whose change is still to be found"));
    page + "\n" + END
}

fn listed(rows: &[Row<'_>], word: &str, title: &str) -> String {
    let lines = rows.iter().filter_map(|row| Some((row.name, row.of(word)?)));
    let lines: String = lines.map(|(name, text)| format!("- {name}: {text}\n")).collect();
    if lines.is_empty() { lines } else { format!("\n# {title}\n\n{lines}") }
}

/// The page with its part made anew; what is around it stays.
pub(crate) fn page_of(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{}{after}", rendered(table)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "row     1\ntried   a\nanswer  b\ntest    x y::z\nfile    src/a.rs\nold     if a {\nnew     if b {\n";

    fn faults(row: &str) -> usize {
        let files = [
            Source::new("src/a.rs", "if a { c } else { c }"),
            Source::new("tests/x/y.rs", "fn z() {} // fn w() {}"),
            Source::new("tests/memory.rs", "fn m() {}"),
        ];
        let table = Source::new(TABLE, row);
        let missing = 190;
        wrong(&table, &files).len() - missing
    }

    #[test]
    fn refuses_rows_that_are_half() {
        assert_eq!(faults(GOOD), 0);
        for (old, new) in [
            ("tried   a\n", ""),
            ("answer  b", "answer  b | c"),
            ("y::z", "y::w"),
            ("y::z", "v::z"),
            ("x y::z", "memory m"),
            ("if a {\nnew", "c\nnew"),
            ("if a {\nnew", "if x {\nnew"),
            ("if b {", "if a {"),
            ("src/a.rs", "src/b.rs"),
            ("tried", "tired   x\ntried"),
            ("tried", "tried   x\ntried"),
            ("file", "todo    x\nfile"),
        ] {
            assert!(faults(&GOOD.replace(old, new)) > 0, "{old} -> {new}");
        }
        assert_eq!(faults(&GOOD.replace("x y::z", "memory m\ninner   so")), 0);
        let open = GOOD.split("file").next().unwrap();
        for (line, count) in
            [("", 1), ("same    1", 1), ("same    2", 1), ("todo    x", 0), ("never   x", 0)]
        {
            assert_eq!(faults(&format!("{open}{line}")), count, "{line}");
        }
    }

    #[test]
    fn every_name_is_there_once() {
        let twice = GOOD.repeat(2);
        assert_eq!(faults(&twice), 1);
        assert_eq!(faults(&(GOOD.to_owned() + &GOOD.replace("row     1", "row     76"))), 1);
    }

    #[test]
    fn the_page_has_what_the_table_has() {
        let table = format!("{SECTION}First\n{GOOD}todo    later\n");
        let page = page_of(&format!("before\n{BEGIN}old{END}after\n"), &table).unwrap();
        assert!(page.starts_with("before\n") && page.ends_with("after\n"), "{page}");
        assert!(page.contains("\n# First\n") && page.contains("| 1 | a | b | `x` `y::z` |\n"));
        assert!(page.contains("1 rows: 1 with") && page.contains("\n- 1: later\n"), "{page}");
        assert_eq!(page_of("no place", &table), None);
    }
}
