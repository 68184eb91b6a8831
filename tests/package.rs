//! What the package promises about itself.

use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// PK-01: no other WebSocket crate is asked for, not even in development.
#[test]
fn no_websocket_crate_is_asked_for() {
    let manifest = read("Cargo.toml");
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    let names: Vec<&str> = dependencies
        .lines()
        .take_while(|line| !line.starts_with("[lints"))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .collect();
    assert!(names.contains(&"tokio") && names.contains(&"criterion"), "{names:?}");
    let known = ["tungstenite", "websocket", "soketto", "wtx", "yawc", "sockudo"];
    for name in names {
        assert!(!known.iter().any(|known| name.contains(known)), "{name}");
    }
}

/// PK-02, PK-03, PK-04, PK-08: the README says what it is and is not, when to use it and when not, and
/// what a connection is beside a session.
#[test]
fn the_readme_says_what_it_is_and_is_not() {
    let readme = read("README.md");
    for words in [
        "It **is**",
        "It is **not** a web framework",
        "promises no scale by itself",
        "**Use it when**",
        "**Use something else when**",
        "no hidden magic",
        "A **connection** is a socket, which may fall",
    ] {
        assert!(readme.contains(words), "{words:?}");
    }
}

/// PK-06: the README has exactly two commands to begin with: the main job and the tests.
#[test]
fn the_readme_begins_with_two_commands() {
    let readme = read("README.md");
    let block = readme.split("```").nth(1).unwrap();
    let commands: Vec<&str> = block.lines().filter(|line| line.starts_with("cargo ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert!(commands[0].starts_with("cargo run --release --example chat"));
    assert!(commands[1].starts_with("cargo test --all-features"));
}

/// EX-01..15: each example is in the README's table, and in a test (or is what the conformance suite runs).
#[test]
fn every_example_is_shown_and_run() {
    fn sources(folder: &Path, into: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.extension().and_then(|kind| kind.to_str());
            if path.is_dir() && !path.ends_with("node_modules") {
                sources(&path, into);
            } else if matches!(kind, Some("rs" | "mjs")) && !path.ends_with("package.rs") {
                into.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut tests = read("autobahn/run");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    sources(&root.join("tests"), &mut tests);
    let readme = read("README.md");
    let examples = &readme[readme.find("\n## Examples").unwrap()..];
    let mut count = 0;
    for entry in std::fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let is_program =
            path.join("main.rs").exists() || path.extension().is_some_and(|kind| kind == "rs");
        let name = path.file_stem().unwrap().to_str().unwrap();
        if is_program {
            assert!(examples.contains(&format!("\n| `{name}` |")), "{name} is not in the table");
            let is_run = [format!("\"{name}\""), format!("'{name}'")]
                .iter()
                .any(|name| tests.contains(name));
            assert!(is_run, "{name} is not run");
            count += 1;
        }
    }
    assert_eq!(examples.matches("\n| `").count(), count, "the table has what is no example");
}

/// BY-64: there is a way from the crates people use today, name by name; its programs are doc tests.
#[test]
fn guides_lead_from_the_crates_of_today() {
    for (page, theirs, ours) in [
        ("FROM_TOKIO_TUNGSTENITE.md", "accept_async", "Server"),
        ("FROM_AXUM.md", "axum::extract::ws", "sockeye::axum"),
        ("FROM_SOCKET_IO.md", "emit", "App"),
    ] {
        let text = read(&format!("src/guide/{page}"));
        assert!(text.contains(theirs) && text.contains(ours), "{page}");
    }
}

/// PK-07: both licences are there in full, and named.
#[test]
fn both_licences_are_there() {
    assert!(read("Cargo.toml").contains("license = \"MIT OR Apache-2.0\""));
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("LICENSE-APACHE").contains("Apache License"));
    assert!(read("LICENSE-APACHE").lines().count() > 150);
}

/// PK-05, BY-12: the crate forbids unsafe code at its root; `tests/tidy` looks at every file.
#[test]
fn unsafe_code_is_forbidden() {
    assert!(read("src/lib.rs").contains("\n#![forbid(unsafe_code)]\n"));
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
}

/// BY-22: in the files for deployment, what has to be longer than something else is.
#[test]
fn deployments_have_the_time_they_need() {
    let seconds = |name: &str, before: &str| -> u64 {
        let text = read(&format!("examples/{name}"));
        let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
        let found = lines.filter_map(|line| line.split_once(before)).map(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_else(|_| panic!("{name}: {before}{rest}"))
        });
        found.min().unwrap_or_else(|| panic!("{name}: no {before}"))
    };
    let ping = sockeye::Config::default().ping_interval.unwrap().as_secs();
    for (name, before) in [
        ("proxy/nginx.conf", "proxy_read_timeout "),
        ("proxy/nginx.conf", "proxy_send_timeout "),
        ("proxy/haproxy.cfg", "timeout tunnel "),
        ("cluster/kubernetes.yaml", "proxy-read-timeout: \""),
    ] {
        assert!(seconds(name, before) > 2 * ping, "{name}: {before}");
    }
    let (pod, unit) = ("cluster/kubernetes.yaml", "cluster/sockeye@.service");
    let drain = "\"--drain\", \"";
    let stopping = seconds(pod, "\"sleep\", \"") + seconds(pod, drain);
    assert!(seconds(pod, "terminationGracePeriodSeconds: ") > stopping);
    assert!(seconds(unit, "TimeoutStopSec=") > seconds(unit, "--drain "));
    let compose = "cluster/compose.yaml";
    assert!(seconds(compose, "stop_grace_period: ") > seconds(compose, drain));
}

/// HB-14, HB-15: the tuning guide of the hub says why, and its numbers are those of the code.
#[test]
fn the_tuning_guide_is_right() {
    let guide = read("src/hub/mod.rs");
    let words = ["One a core is right", "up to two a core", "fewer, where messages are large"];
    for words in words.into_iter().chain(["16 to 32", "64 to 128", "256 and more"]) {
        assert!(guide.contains(words), "{words:?}");
    }
    let builder = read("src/hub/builder.rs");
    let outbox = sockeye::Config::default().outbox_messages_max;
    assert!(guide.contains(&format!("(crate::Config::outbox_messages_max) | {outbox} |")));
    for (shown, default) in [
        ("job_queue) | 65,536 jobs", "job_queue: 65_536,"),
        ("job_bytes_max) | 16 MiB", "job_bytes_max: 16 * 1024 * 1024,"),
    ] {
        assert!(guide.contains(shown) && builder.contains(default), "{shown}");
    }
}
