//! Servers on Unix sockets: the file, whose it is, and what is said when it cannot be had. Over real sockets.

#![cfg(unix)]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sockeye::{Acceptor, Connector, NetStream, Server, WebSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::pair::quiet;
use crate::support::server::within;

/// A folder, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sockeye-unix-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("a.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Echoes on a path until it is told to stop.
struct Echo {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Echo {
    async fn start(path: &Path) -> Self {
        Self::on(within(Server::bind_unix(path)).await.unwrap())
    }

    fn on(server: Server) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let echo = |mut socket: WebSocket<NetStream>, request: sockeye::Request| async move {
            assert_eq!(request.peer_addr(), None);
            while let Ok(Some(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        };
        let server = server.acceptor(Acceptor::new(quiet()));
        let serving = tokio::spawn(server.serve_until(echo, async {
            let _ = stopped.await;
        }));
        Self { stop, serving }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        within(self.serving).await.unwrap().unwrap();
    }
}

async fn connect(path: &Path) -> Result<WebSocket<NetStream>, sockeye::Error> {
    let url = format!("ws+unix://{}:/chat", path.display());
    within(Connector::new(quiet()).connect(&url)).await
}

async fn echoes(path: &Path) {
    let mut socket = connect(path).await.unwrap();
    for text in ["hello", "again"] {
        within(socket.send(text)).await.unwrap();
        assert_eq!(within(socket.recv()).await.unwrap(), Some(text.into()));
    }
    within(socket.close(1000, "")).await.unwrap();
}

async fn refusal(path: &Path) -> (ErrorKind, String) {
    let error = within(Server::bind_unix(path)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    (error.kind(), text)
}

/// BY-27, SV-02: a server on a Unix socket; the file is gone when it ends.
#[tokio::test]
async fn by_27_a_server_on_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.socket();
    let server = within(Server::bind_unix(&path)).await.unwrap();
    assert_eq!(server.unix_path(), Some(&*path));
    assert_eq!(server.local_addr().unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    let server = Echo::on(server);
    echoes(&path).await;
    server.end().await;
    assert!(!path.exists());
    let server = Echo::start(&path).await;
    echoes(&path).await;
    server.serving.abort();
    assert!(within(server.serving).await.unwrap_err().is_cancelled());
    assert!(!path.exists(), "also when it is dropped");
}

/// A path at which another listens is left alone, and so is a file that is no socket.
#[tokio::test]
async fn a_path_in_use_is_refused() {
    let folder = Folder::new();
    let path = folder.socket();
    let server = Echo::start(&path).await;
    for _ in 0..2 {
        assert_eq!(refusal(&path).await.0, ErrorKind::AddrInUse);
    }
    echoes(&path).await;
    server.end().await;
    fs::write(&path, "a diary").unwrap();
    assert_eq!(refusal(&path).await.0, ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a diary");
    // Not even by a link to a socket that nobody listens on.
    let (stale, link) = (folder.0.join("stale.sock"), folder.0.join("link.sock"));
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    std::os::unix::fs::symlink(&stale, &link).unwrap();
    assert_eq!(refusal(&link).await.0, ErrorKind::AlreadyExists);
    assert!(stale.exists());
}

/// The file of a program that died is replaced, also when several come at the same moment: one of them has it.
#[tokio::test]
async fn a_stale_file_is_replaced() {
    let folder = Folder::new();
    let path = folder.socket();
    for _ in 0..20 {
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (a, b) = tokio::join!(Server::bind_unix(&path), Server::bind_unix(&path));
        let mut servers: Vec<_> = [a, b].into_iter().flatten().collect();
        assert_eq!(servers.len(), 1);
        let server = Echo::on(servers.remove(0));
        echoes(&path).await;
        server.end().await;
        assert!(!path.exists());
    }
}

/// What is not ours any more is not removed.
#[tokio::test]
async fn another_file_is_left_alone() {
    let folder = Folder::new();
    let path = folder.socket();
    let first = Echo::start(&path).await;
    fs::remove_file(&path).unwrap();
    let second = Echo::start(&path).await;
    first.end().await;
    echoes(&path).await;
    second.end().await;
    assert!(!path.exists());
}

/// Permissions are set before anybody can connect; what may not be done is said with the path.
#[tokio::test]
async fn permissions() {
    let folder = Folder::new();
    let path = folder.socket();
    let server = within(Server::bind_unix_with_mode(&path, 0o600)).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let server = Echo::on(server);
    echoes(&path).await;
    server.end().await;
    let nowhere = folder.0.join("nowhere").join("a.sock");
    assert_eq!(refusal(&nowhere).await.0, ErrorKind::NotFound);
    let long = folder.0.join("x".repeat(200));
    assert_eq!(refusal(&long).await.0, ErrorKind::InvalidInput);
}

/// A folder that somebody has locked is waited for, and not for ever.
#[tokio::test(start_paused = true)]
async fn a_locked_folder_is_an_error() {
    let folder = Folder::new();
    let lock = fs::File::open(&folder.0).unwrap();
    lock.lock().unwrap();
    assert_eq!(refusal(&folder.socket()).await.0, ErrorKind::TimedOut);
    assert!(!folder.socket().exists());
    drop(lock);
    Echo::start(&folder.socket()).await.end().await;
}
