//! The client examples as their users start them.

#![cfg(all(feature = "hub", feature = "auth", feature = "json"))]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program, until it is dropped.
struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap().join("examples");
        let mut command = Command::new(folder.join(name));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process =
            command.spawn().expect("cargo test builds it, cargo test --test NAME does not");
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads up to a line that has this.
    fn line_with(&mut self, part: &str) -> String {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended before {part}");
            if line.contains(part) {
                return line;
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The end of its input; its exit status.
    fn finish(&mut self) -> Option<i32> {
        drop(self.process.stdin.take());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `wscat` makes of an input: exit status, standard output, standard error.
fn wscat(arguments: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let mut command = Command::new(folder.join("wscat"));
    command.args(arguments).args(["--no-proxy"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("cargo test builds it");
    // It may end without reading.
    let _ = process.stdin.take().unwrap().write_all(input);
    let output = process.wait_with_output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

/// CL-01 to CL-19 from the command line: what goes into the pipe comes back from an echo, all of it.
#[test]
fn wscat_in_pipes() {
    let mut server = Running::start("echo", &["--port", "0", "--deflate", "takeover"]);
    let greeting = server.line();
    let address = greeting.strip_prefix("listening on ").expect("a greeting");
    let url = format!("ws://{address}/echo");
    let text = (0..500).map(|n| format!("line {n} \u{e9}\n")).collect::<String>();
    for options in [&[][..], &["-c", "takeover"], &["-c", "no-context", "-r", "-t", "20s"]] {
        let (status, out, error) = wscat(&[options, &[url.as_str()]].concat(), text.as_bytes());
        assert_eq!((status, error.as_str()), (Some(0), ""), "{options:?}");
        assert!(out == text.as_bytes(), "{options:?}: {} bytes", out.len());
    }
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let (status, out, error) = wscat(&["-b", &url], &bytes);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(out == bytes, "{} bytes", out.len());
    let (status, out, error) = wscat(&["-j", "-T", &url], b"{\"a\":[1]}\nno json\n");
    assert_eq!(status, Some(0));
    assert_eq!(out, b"{\n  \"a\": [\n    1\n  ]\n}\nno json\n");
    assert!(error.starts_with("connected in ") && error.contains(" s: 9 bytes\n"), "{error}");
}

/// CE-06, CE-08: an error is one line with its kind and whether to try again; wrong usage is 2.
#[test]
fn wscat_tells_errors() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("ws://user:marker@{closed}/?token=marker");
    let (status, out, error) = wscat(&[&url], b"");
    assert_eq!((status, out.len()), (Some(1), 0));
    assert!(error.starts_with("error: internal: cannot connect: "), "{error}");
    assert!(error.ends_with("(retryable: true)\n") && error.lines().count() == 1, "{error}");
    assert!(!error.contains("marker"));
    let (status, _, error) = wscat(&["http//nonsense"], b"");
    assert_eq!(status, Some(1));
    assert!(error.starts_with("error: invalid: ") && error.contains("retryable: false"), "{error}");
    for arguments in
        [&[][..], &["-q", "ws://a/"], &["-L", "11", "ws://a/"], &["-H", "x", "ws://a/"]]
    {
        let (status, _, error) = wscat(arguments, b"");
        assert!(status == Some(2) && error.contains("usage: wscat"), "{arguments:?}: {error}");
    }
}

/// EX-05, CL-19: prices of the symbols that were asked for, and they move.
#[test]
fn price_stream() {
    let mut server = Running::start("price_stream", &["serve", "--port", "0"]);
    let greeting = server.line();
    let url = greeting.strip_prefix("prices are at ").expect("a greeting");
    let mut client = Running::start("price_stream", &["watch", url, "BTC-USD", "ETH-USD"]);
    let prices: Vec<_> = (0..6).map(|_| client.line()).collect();
    for (index, symbol) in ["BTC-USD ", "ETH-USD "].into_iter().enumerate() {
        let own: Vec<_> = prices.iter().skip(index).step_by(2).collect();
        assert!(own.iter().all(|line| line.starts_with(symbol)), "{prices:?}");
        assert!(own.windows(2).any(|pair| pair[0] != pair[1]), "{prices:?}");
    }
    drop(server);
    // The end of a server that was killed is an error of the client.
    while !client.line().is_empty() {}
    assert_eq!(client.finish(), Some(1));
}

/// EX-06: two people in a room hear each other; the end of the input is a clean close. One comes back with
/// its server.
#[test]
fn chat_client() {
    let mut server = Running::start("chat", &["--port", "0"]);
    let greeting = server.line();
    let place =
        greeting.strip_prefix("chat is at http://").unwrap().trim_end_matches('/').to_owned();
    let url = format!("ws://{place}");
    let mut alice = Running::start("chat_client", &[&url, "a room", "Alice"]);
    assert_eq!(alice.line(), "* you are Alice in a room, with 1 people");
    let mut bob = Running::start("chat_client", &[&url, "a room", "Bob"]);
    bob.line_with("you are Bob");
    alice.line_with("Bob");
    bob.say("h\u{e9}llo \"you\"");
    assert_eq!(alice.line_with("Bob: "), "Bob: h\u{e9}llo \"you\"");
    assert_eq!(bob.finish(), Some(0));
    drop(server);
    let port = place.rsplit_once(':').unwrap().1;
    let mut server = Running::start("chat", &["--port", port]);
    assert_eq!(server.line(), greeting);
    alice.line_with("you are Alice");
    alice.say("again");
    assert_eq!(alice.line_with("Alice: "), "Alice: again");
    assert_eq!(alice.finish(), Some(0));
}
