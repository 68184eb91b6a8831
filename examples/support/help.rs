//! `--help`, which every command line knows.

/// Prints how a program is used and ends it, where the first word asks for that.
pub(crate) fn if_asked(usage: &[&str]) {
    if matches!(std::env::args().nth(1).as_deref(), Some("-h" | "--help")) {
        println!("{}", usage.join("\n"));
        std::process::exit(0);
    }
}
