//! The command line: `WORD... --name value --flag`.

use std::collections::HashMap;
use std::str::FromStr;

/// A parsed command line. A name given twice keeps all its values, in order.
pub struct Options {
    words: Vec<String>,
    values: HashMap<String, Vec<String>>,
}

impl Options {
    /// Reads the command line of this process.
    pub fn from_env() -> Self {
        Self::parse(std::env::args().skip(1))
    }

    /// The same. Ends the process with `usage` where a name stands there that is not in it, or `--help`.
    pub fn from_env_or(usage: &str) -> Self {
        let options = Self::from_env();
        let unknown = options.unknown(usage);
        if options.flag("help") {
            println!("{usage}");
            std::process::exit(0);
        }
        if let Some(name) = unknown {
            eprintln!("--{name} is unknown\n\n{usage}");
            std::process::exit(2);
        }
        options
    }

    fn unknown(&self, usage: &str) -> Option<&str> {
        let mut words =
            usage.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        let known: Vec<&str> = words.by_ref().filter_map(|word| word.strip_prefix("--")).collect();
        self.values.keys().map(String::as_str).find(|name| !known.contains(name))
    }

    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self { words: Vec::new(), values: HashMap::new() };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                options.words.push(argument);
                continue;
            };
            let value = arguments.next_if(|next| !next.starts_with("--"));
            let values = options.values.entry(name.to_owned()).or_default();
            values.extend(value);
        }
        options
    }

    /// The words without a name before them.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether `--name` stands there, with or without a value.
    pub fn flag(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Every value given to `--name`.
    pub fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The last value of `--name`, where it was given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// The value of `--name` parsed, or `default` where it was not given.
    ///
    /// Ends the process with a message where the value does not parse.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> T {
        let Some(text) = self.text(name) else {
            return default;
        };
        text.parse().unwrap_or_else(|_| {
            eprintln!("--{name} does not take {text:?}");
            std::process::exit(2)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_values_flags_and_words_are_told_apart() {
        let line = "echo --size 16 --text --server a=b --server c=d";
        let options = Options::parse(line.split(' ').map(str::to_owned));
        assert_eq!(options.words(), ["echo"]);
        assert_eq!(options.value("size", 0), 16);
        assert_eq!(options.value("connections", 7), 7);
        assert!(options.flag("text") && !options.flag("json"));
        assert_eq!(options.all("server"), ["a=b", "c=d"]);
    }

    #[test]
    fn what_the_usage_does_not_name_is_unknown() {
        let usage = "load echo [--size BYTES] [--in-flight 1|--text]";
        let unknown = |line: &str| {
            let options = Options::parse(line.split(' ').map(str::to_owned));
            options.unknown(usage).map(str::to_owned)
        };
        assert_eq!(unknown("echo --size 16 --in-flight 4 --text"), None);
        assert_eq!(unknown("echo --in 4").as_deref(), Some("in"));
        assert_eq!(unknown("--help").as_deref(), Some("help"));
    }
}
