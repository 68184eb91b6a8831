//! A command line of numbers.

use std::fmt::Display;
use std::str::FromStr;

/// The numbers behind these options, each with its default: `--port 8080`. Whoever writes something else
/// is told what there is.
pub(crate) fn numbers<T, const N: usize>(known: [(&str, T); N]) -> [T; N]
where
    T: FromStr + Display + Copy,
{
    let mut numbers = known.map(|(_, default)| default);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        if matches!(name.as_str(), "-h" | "--help") {
            known.iter().for_each(|(name, default)| println!("{name} N (default {default})"));
            std::process::exit(0);
        }
        let at = known.iter().position(|(option, _)| *option == name);
        let number = args.next().and_then(|value| value.parse().ok());
        let (Some(at), Some(number)) = (at, number) else {
            match at {
                None => eprintln!("unknown option {name}"),
                Some(_) => eprintln!("{name} needs a number"),
            }
            eprintln!("options:");
            known.iter().for_each(|(name, default)| eprintln!("  {name} N (default {default})"));
            std::process::exit(2);
        };
        numbers[at] = number;
    }
    numbers
}
