//! Unix sockets that a server listens on.
//!
//! ```text
//!   lock the folder ──► bind ──in use──► nobody there? ──► remove, bind ──► mode ──► listen ──► unlock
//!                                             │
//!                                             └─ somebody is: the caller is told
//! ```

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::listener::{Accepted, BACKLOG, Listen};

/// How often a folder that another program has locked is tried, and how long between: 1 s in all. A lock of ours is held
/// for a moment.
const LOCK_TRIES: u32 = 100;
const LOCK_EVERY: Duration = Duration::from_millis(10);

/// A Unix socket, and the file by which it is found.
#[derive(Debug)]
struct Unix {
    /// Dropped first: as long as the socket is open no other file has its number.
    file: OwnFile,
    listener: UnixListener,
}

/// A file that is removed in the end, if it is still ours by then.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    /// Device and inode.
    number: (u64, u64),
}

/// Listens on a path; `mode` are the permissions of the file, `None` for those of the process.
pub(super) async fn listen(path: &Path, mode: Option<u32>) -> io::Result<Box<dyn Listen>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    // Of two programs that find the same file of a third, dead one the later would remove what the earlier has just made.
    let lock = lock(path.parent()).await.map_err(named)?;
    let unix = open(path, mode).map_err(named)?;
    drop(lock);
    Ok(Box::new(unix))
}

fn open(path: &Path, mode: Option<u32>) -> io::Result<Unix> {
    let address = SockAddr::unix(path)?;
    let socket = stream_socket()?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = OwnFile::new(path)?;
    if let Some(mode) = mode {
        // Nobody can connect before it listens.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok(Unix { file, listener: UnixListener::from_std(socket.into())? })
}

/// Removes the file of a socket that nobody listens on.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let refusal = |kind, text| Err(io::Error::new(kind, text));
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return refusal(io::ErrorKind::AlreadyExists, "there is a file, and it is no socket");
    }
    // It does not wait: who has no place left for us is there, too.
    match stream_socket()?.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            refusal(error.kind(), "there is a socket that may not be asked whether anybody listens")
        }
        _ => refusal(io::ErrorKind::AddrInUse, "another program listens there"),
    }
}

fn stream_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Keeps others like us out of a folder. `None`: it cannot be locked, and two that begin at the same moment are not told
/// apart.
async fn lock(folder: Option<&Path>) -> io::Result<Option<File>> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) else { return Ok(None) };
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_EVERY).await,
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "another program has locked the folder"))
}

impl OwnFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: std::path::absolute(path)?, number: number_of(path)? })
    }
}

fn number_of(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if number_of(&self.path).is_ok_and(|number| number == self.number) {
            // One that cannot be removed is found to be stale by the next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listen for Unix {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(Ok((stream.into(), None)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let text = "a Unix socket has a path and no address";
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
    }

    fn unix_path(&self) -> Option<&Path> {
        Some(&self.file.path)
    }
}
