//! The upload example as its users start it: the compiled program as server and as client, and this
//! crate's client.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use sha1::{Digest, Sha1};
use sockeye::{CloseCode, Message, MessageKind};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::support::programs::example;

/// A test that waits longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The server, on a port and in a folder of its own, until it is dropped.
struct Upload {
    process: Child,
    addr: SocketAddr,
    dir: PathBuf,
}

impl Upload {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let dir = format!("upload-{name}-{}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(dir);
        let _ = fs::remove_dir_all(&dir);
        let mut command = example("stream_upload");
        command.args(["serve", "--port", "0"]).args(arguments).arg("--dir").arg(&dir);
        let process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = process.expect(
            "the example is there: cargo test builds it, cargo test --test stream_upload does not",
        );
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        Self { process, addr: addr.unwrap_or_else(|| panic!("{line:?}")), dir }
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn file(&self, number: u32) -> Vec<u8> {
        fs::read(self.dir.join(format!("upload-{number:06}.bin"))).unwrap()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect()
}

fn line_of(bytes: &[u8]) -> String {
    let digest = Sha1::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{\"bytes\":{},\"sha1\":\"{hex}\"}}", bytes.len())
}

fn send(upload: &Upload, path: &Path) -> Output {
    example("stream_upload").args(["send", &upload.url()]).arg(path).output().unwrap()
}

/// EX-07: 64 MiB arrive as they were, with progress and the right checksum; nothing is written over.
#[test]
fn takes_a_long_file() {
    let upload = Upload::start("long", &[]);
    let bytes = pattern(64 * 1024 * 1024);
    let path = upload.dir.with_extension("source");
    fs::write(&path, &bytes).unwrap();
    let output = send(&upload, &path);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), line_of(&bytes));
    assert!(stderr.contains("32 of 64 MiB"), "{stderr}");
    assert!(upload.file(1) == bytes);

    fs::write(&path, "").unwrap();
    let output = send(&upload, &path);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), line_of(b""));
    assert_eq!(upload.names(), ["upload-000001.bin", "upload-000002.bin"]);
    fs::remove_file(&path).unwrap();
}

/// EX-07: a connection may bring several files; one that is cut leaves nothing behind, nor does a text.
#[tokio::test]
async fn keeps_what_is_whole() {
    let upload = Upload::start("whole", &["--max-bytes", "1000000"]);
    let uploading = async {
        let mut socket = sockeye::connect(&upload.url()).await.unwrap();
        for bytes in [pattern(300_000), pattern(7)] {
            socket.send(bytes.clone()).await.unwrap();
            let answer = socket.recv().await.unwrap().unwrap();
            assert_eq!(answer, Message::text(line_of(&bytes)));
        }
        let mut writer = socket.send_stream(MessageKind::Binary).unwrap();
        writer.write_all(&pattern(100_000)).await.unwrap();
        writer.flush().await.unwrap();
        drop(writer);
        while let Ok(Some(_)) = socket.recv().await {}

        let mut socket = sockeye::connect(&upload.url()).await.unwrap();
        socket.send("text").await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), None);
        assert_eq!(socket.outcome().unwrap().code, CloseCode::UnsupportedData);
        let mut socket = sockeye::connect(&upload.url()).await.unwrap();
        socket.feed(pattern(1_000_001)).unwrap();
        while let Ok(Some(_)) = socket.recv().await {}
        assert_eq!(socket.outcome().unwrap().code, CloseCode::MessageTooBig);
        // Answered behind the ones that failed.
        let mut socket = sockeye::connect(&upload.url()).await.unwrap();
        socket.send(b"last".to_vec()).await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), Some(Message::text(line_of(b"last"))));
    };
    timeout(PATIENCE, uploading).await.unwrap();
    assert_eq!(upload.file(1), pattern(300_000));
    assert_eq!(upload.file(2), pattern(7));
    let gone = async {
        while upload.names().iter().any(|name| name.ends_with(".part")) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("a part is left behind");
    assert_eq!(upload.names().len(), 3, "{:?}", upload.names());
}

/// EX-07: what goes wrong is said, and is a failure.
#[test]
fn errors_are_told() {
    let upload = Upload::start("errors", &["--max-bytes", "10"]);
    let missing = send(&upload, Path::new("no/such/file"));
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no/such/file"));
    let path = upload.dir.with_extension("source");
    fs::write(&path, "longer than ten").unwrap();
    let refused = send(&upload, &path);
    assert!(!refused.status.success());
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("1009"), "{stderr}");
    fs::remove_file(&path).unwrap();
    for arguments in [&["serve"][..], &["send", "ws://127.0.0.1:1/"], &["fetch"], &[]] {
        let output = example("stream_upload").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: stream_upload"));
    }
}
