//! The example `wscat` as its users start it: each of its options, in pipes and in a terminal.

#![cfg(all(
    unix,
    feature = "json",
    feature = "ring",
    feature = "tls-native-roots",
    feature = "hub"
))]

// For its own tests.
#[path = "../../examples/wscat/editor.rs"]
mod editor;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use sockeye::handshake::Acceptance;
use sockeye::{Acceptor, Answer, NetStream, Request, Server, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_blocking};

use crate::support::pair::quiet;
use crate::support::programs::{Running, example};
use crate::support::server::{LONG, within};
use crate::support::tls::{Authority, Issued};

/// Exit status, standard output, standard error.
type Ended = (Option<i32>, String, String);

fn command(arguments: &[&str]) -> Command {
    let mut command = example("wscat");
    command.args(arguments).args(["--no-proxy"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What becomes of this input.
async fn wscat(arguments: &[&str], input: &str) -> Ended {
    ended(command(arguments), input).await
}

async fn ended(mut command: Command, input: &str) -> Ended {
    let input = input.to_owned();
    let running = spawn_blocking(move || {
        let mut process = command.spawn().expect("cargo test builds it");
        // It may end without reading.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        let output = process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    });
    within(running).await.unwrap()
}

/// A server of which each path does something else.
struct Site {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    _serving: JoinSet<std::io::Result<()>>,
}

impl Site {
    async fn start() -> Self {
        let acceptor = Acceptor::new(quiet()).on_request(|request| {
            let is_chat = request.subprotocols().iter().any(|offer| offer == "chat");
            let acceptance = Acceptance::default();
            let acceptance = if is_chat { acceptance.subprotocol("chat") } else { acceptance };
            std::future::ready(Answer::Upgrade(acceptance))
        });
        let server = Server::bind("127.0.0.1:0").await.unwrap().acceptor(acceptor);
        let port = server.local_addr().unwrap().port();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (seen, mut serving) = (requests.clone(), JoinSet::new());
        serving.spawn(server.serve(move |socket, request| {
            let count = {
                let mut seen = seen.lock().unwrap();
                seen.push(request.clone());
                seen.len()
            };
            talk(socket, request.path().to_owned(), count)
        }));
        Self { port, requests, _serving: serving }
    }

    fn url(&self, path: &str) -> String {
        format!("ws://127.0.0.1:{}{path}", self.port)
    }
}

async fn talk(mut socket: WebSocket<NetStream>, path: String, count: usize) {
    match path.as_str() {
        // Two connections: the first is cut, the second says goodbye.
        "/twice" => {
            let _ = socket.send(format!("connection {count}")).await;
            if count > 1 {
                let _ = socket.close(1000, "").await;
            }
        }
        "/ask" => {
            let _ = socket.send("question").await;
            let answer = socket.recv().await.ok().flatten();
            let is_same = answer.is_some_and(|answer| answer.as_text() == Some("question"));
            let _ = socket.send(vec![0, 159]).await;
            let answer = socket.recv().await.ok().flatten();
            let is_same = is_same && answer.is_some_and(|answer| answer.as_bytes() == [0, 159]);
            let _ = socket.close(if is_same { 1000 } else { 4000 }, "").await;
        }
        path if path.starts_with("/close/") => {
            let code = path.trim_start_matches("/close/").parse().unwrap();
            let _ = socket.close(code, "why").await;
        }
        _ => {
            while let Ok(Some(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        }
    }
}

/// CL-02, CL-03: headers and subprotocols arrive; messages go and come.
#[tokio::test]
async fn headers_and_subprotocols() {
    let site = Site::start().await;
    let options =
        ["-H", "X-Api: a b", "--header", "Authorization:Bearer x", "-s", "soap", "-s", "chat"];
    let ended = wscat(&[&options[..], &[&site.url("/echo?q=1")]].concat(), "one\ntwo").await;
    assert_eq!(ended, (Some(0), "one\ntwo\n".into(), String::new()));
    let requests = site.requests.lock().unwrap();
    assert_eq!(requests[0].header("x-api"), Some("a b"));
    assert_eq!(requests[0].bearer_token(), Some("x"));
    assert_eq!(requests[0].subprotocols(), ["soap", "chat"]);
    assert_eq!(requests[0].query("q").as_deref(), Some("1"));
}

/// CL-16, CE-08: 0 after a clean close, 1 after an error, which is told in one line.
#[tokio::test]
async fn exit_statuses() {
    let site = Site::start().await;
    for (code, status) in [(1000, 0), (1001, 0), (1011, 1), (4000, 1)] {
        let (ended, out, error) = wscat(&["-l", &site.url(&format!("/close/{code}"))], "").await;
        assert_eq!((ended, out.as_str()), (Some(status), ""), "{code}: {error}");
        let retryable = if code == 1011 { "true" } else { "false" };
        let line =
            format!("error: internal: closed by the peer with {code} (retryable: {retryable})\n");
        assert_eq!(error, if status == 0 { "" } else { &line }, "{code}");
    }
    for arguments in [
        &["--cert", "a", "ws://a/"][..],
        &["--ca", "/no/such/file", "ws://a/"],
        &["-p", "0s", "ws://a/"],
    ] {
        let (status, _, error) = wscat(arguments, "").await;
        assert!(status == Some(2) && error.contains("usage: wscat"), "{arguments:?}: {error}");
    }
}

/// CL-11, CL-15: `--echo` sends back what it receives, of the kind it was.
#[tokio::test]
async fn echo() {
    let site = Site::start().await;
    let mut asked = command(&["--echo", &site.url("/ask")]);
    let output = within(spawn_blocking(move || asked.output().unwrap())).await.unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"question\n\0\x9f"[..]));
}

/// BY-50: `--reconnect` comes back after a cut, and ends where the server says goodbye.
#[tokio::test]
async fn reconnect() {
    let site = Site::start().await;
    let (status, out, error) = wscat(&["-l", "-r", "-T", &site.url("/twice")], "").await;
    assert_eq!((status, out.as_str()), (Some(0), "connection 1\nconnection 2\n"), "{error}");
    assert!(error.contains("lost: ") && error.matches("connected in ").count() == 2, "{error}");
    let site = Site::start().await;
    // 1001, without it, is an end.
    let ended = wscat(&["-l", &site.url("/twice")], "").await;
    assert_eq!(ended, (Some(0), "connection 1\n".into(), String::new()));
}

/// CL-12: `--ping` tells the time there and back, again and again.
#[tokio::test]
async fn ping() {
    let site = Site::start().await;
    let mut running = Running(command(&["-l", "-p", "20ms", &site.url("/echo")]).spawn().unwrap());
    let lines = spawn_blocking(move || {
        let lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
        lines.take(3).map(Result::unwrap).collect::<Vec<_>>()
    });
    for line in within(lines).await.unwrap() {
        assert!(line.starts_with("ping: ") && line.ends_with('s'), "{line}");
    }
}

/// BY-50: `--proxy` goes through it, with its user and password.
#[tokio::test]
async fn proxy() {
    let site = Site::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://user:secret@127.0.0.1:{}", listener.local_addr().unwrap().port());
    let port = site.port;
    let relay = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut server).await;
        String::from_utf8(head).unwrap()
    });
    let mut command = example("wscat");
    command.args(["-x", &proxy, &site.url("/echo")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = ended(command, "through").await;
    assert_eq!(ended, (Some(0), "through\n".into(), String::new()));
    let head = within(relay).await.unwrap();
    assert!(head.starts_with(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("\r\nproxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{head}");
}

/// A folder of this test's own, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("sockeye-wscat-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// BY-27, AU-13, E34: `--ca` trusts an authority of one's own, `--cert` and `--key` show a certificate; without
/// them the server is not trusted, or does not trust us.
#[tokio::test]
async fn tls() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let roots = folder.write("roots.pem", &authority.pem);
    let Issued { chain, key } = authority.issue(&["client"]);
    let (chain, key) = (folder.write("chain.pem", &chain), folder.write("key.pem", &key));
    let open = crate::support::tls::Site::start(authority.here()).await;
    let ended = wscat(&["--ca", &roots, &open.url()], "hello").await;
    assert_eq!(ended, (Some(0), "hello\n".into(), String::new()));
    let (status, out, error) = wscat(&[&open.url()], "hello").await;
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(error.starts_with("error: internal: tls: ") && error.lines().count() == 1, "{error}");
    let closed = crate::support::tls::Site::start(authority.asking()).await;
    let known = ["--ca", &roots, "--cert", &chain, "--key", &key, &closed.url()];
    assert_eq!(wscat(&known, "known").await, (Some(0), "known\n".into(), String::new()));
    let (status, out, _) = wscat(&["--ca", &roots, &closed.url()], "unknown").await;
    assert_eq!((status, out.as_str()), (Some(1), ""));
}

/// The chat by TLS, and its client.
#[tokio::test]
async fn chat_by_tls() {
    let mut command = example("chat");
    command.args(["--tls", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut chat = Running(command.spawn().expect("cargo test builds it"));
    let (mut certificate, mut greeting) = (String::new(), String::new());
    BufReader::new(chat.0.stderr.take().unwrap()).read_line(&mut certificate).unwrap();
    BufReader::new(chat.0.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
    let path = certificate.trim().strip_prefix("certificate in ").unwrap();
    let place = greeting.trim().strip_prefix("chat is at https://").unwrap();
    let url = format!("wss://{place}chat?room=a&name=Ann");
    let (status, out, error) = wscat(&["--ca", path, "-s", "chat", &url], "").await;
    assert_eq!((status, error.as_str()), (Some(0), ""), "{out}");
    std::fs::remove_file(path).unwrap();
}

/// A program in a terminal.
struct Typing {
    keys: File,
    shown: mpsc::Receiver<Vec<u8>>,
    seen: String,
    process: Child,
}

impl Typing {
    fn start(arguments: &[&str]) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let path = PathBuf::from(ptsname(&keys, Vec::new()).unwrap().into_string().unwrap());
        let end =
            || -> OwnedFd { OpenOptions::new().read(true).write(true).open(&path).unwrap().into() };
        let mut command = command(arguments);
        command.stdin(end()).stdout(end()).stderr(end());
        let process = command.spawn().expect("cargo test builds it");
        // The ends of it that are here.
        drop(command);
        let keys = File::from(keys);
        let (mut screen, (sender, shown)) = (keys.try_clone().unwrap(), mpsc::channel());
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            // Where all of the other ends are closed, it is an error.
            while let Ok(len @ 1..) = screen.read(&mut block) {
                if sender.send(block[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, shown, seen: String::new(), process }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this stands on the screen; what came before is forgotten.
    fn shows(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let shown = self.shown.recv_timeout(LONG);
            let shown = shown.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&shown));
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    fn end(mut self) -> Option<i32> {
        let status = self.process.wait().unwrap().code();
        drop(self.keys);
        status
    }
}

/// The history of lines: what was sent comes back with the arrow keys and can be changed; what is received stands
/// above the line that is being typed, and its controls do nothing.
#[tokio::test]
async fn a_terminal_has_a_history() {
    let site = Site::start().await;
    let url = site.url("/echo");
    let typed = spawn_blocking(move || {
        let mut typing = Typing::start(&[&url]);
        typing.shows("> ");
        typing.press("first\r");
        typing.shows("\x1b[Kfirst\r\n");
        typing.press("second \u{e9}\r");
        typing.shows("\x1b[Ksecond \u{e9}\r\n");
        typing.press("\x1b[A\x1b[A\x7f!\r");
        typing.shows("\r\x1b[Kfirs!\r\n");
        // It came while this stood there.
        typing.press("half");
        typing.shows("> half");
        typing.press("\x15bell \x07\x09x\r");
        typing.press("\x1b[A\x03");
        typing.shows("bell \tx\r\n");
        typing.end()
    });
    assert_eq!(within(typed).await.unwrap(), Some(0));
    // Ctrl-D at the beginning of a line is the end of the input; Ctrl-C leaves also where nobody answers.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("ws://{}/", closed.local_addr().unwrap());
    let url = site.url("/echo");
    let ended = spawn_blocking(move || {
        let mut typing = Typing::start(&[&url]);
        typing.shows("> ");
        typing.press("x\r");
        typing.shows("\x1b[Kx\r\n");
        typing.press("\x04");
        let first = typing.end();
        let mut typing = Typing::start(&["-r", &silent]);
        typing.shows("> ");
        typing.press("\x03");
        (first, typing.end())
    });
    assert_eq!(within(ended).await.unwrap(), (Some(0), Some(0)));
}
