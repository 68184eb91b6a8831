//! The server: each binary message becomes a file.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sockeye::{Acceptor, MessageKind, MessageReader, NetStream, Server, WebSocket};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::options::Serve;
use crate::tally::Tally;

/// What is written at once, in bytes.
const WRITE_BYTES: usize = 64 * 1024;

/// Where files are put, under names of our own.
struct Store {
    dir: PathBuf,
    next: AtomicU64,
    places: Semaphore,
}

pub(crate) async fn serve(options: &Serve) -> io::Result<()> {
    fs::create_dir_all(&options.dir).await?;
    let server = Server::bind(options.addr).await?;
    println!("listening on {}", server.local_addr()?);
    let store = Arc::new(Store {
        dir: options.dir.clone(),
        next: AtomicU64::new(1),
        places: Semaphore::new(options.uploads_max),
    });
    server
        .acceptor(Acceptor::new(options.config()))
        .serve(move |socket, _request| {
            let store = store.clone();
            async move {
                let id = socket.id();
                if let Err(error) = store.receive(socket).await {
                    eprintln!("connection {id}: {error}");
                }
            }
        })
        .await
}

impl Store {
    /// One connection: any number of files, one after the other.
    async fn receive(
        &self,
        mut socket: WebSocket<NetStream>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Ok(_place) = self.places.try_acquire() else {
            socket.close(1013, "too many uploads").await?;
            return Ok(());
        };
        while let Some(message) = socket.recv_stream().await? {
            if message.kind() != MessageKind::Binary {
                socket.close(1003, "a file is a binary message").await?;
                break;
            }
            match self.keep(message).await {
                Ok(answer) => socket.send(answer).await?,
                Err(error) => {
                    // When the connection was lost there is nobody to tell.
                    let _ = socket.close(1011, "the file could not be kept").await;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Writes a file; what is to be answered. One that is not whole is taken away.
    async fn keep(&self, message: MessageReader<'_, NetStream>) -> io::Result<String> {
        let (path, file) = self.create().await?;
        let part = path.with_extension("part");
        let mut tally = Tally::new(path.display().to_string(), None);
        let kept = write(message, file, &mut tally).await;
        let kept = match kept {
            Ok(()) => fs::rename(&part, &path).await,
            Err(error) => Err(error),
        };
        if kept.is_err() {
            // What cannot be taken away is there for whoever looks.
            let _ = fs::remove_file(&part).await;
        }
        kept?;
        let line = tally.line();
        eprintln!("{}: {line}", path.display());
        Ok(line)
    }

    /// A file beside its name to be, and that name; nothing that is there is written over.
    async fn create(&self) -> io::Result<(PathBuf, File)> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let path = self.dir.join(format!("upload-{number:06}.bin"));
            if fs::try_exists(&path).await? {
                continue;
            }
            match File::create_new(path.with_extension("part")).await {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

async fn write(
    mut message: MessageReader<'_, NetStream>,
    mut file: File,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut block = vec![0; WRITE_BYTES];
    loop {
        let len = message.read(&mut block).await?;
        if len == 0 {
            file.flush().await?;
            return Ok(());
        }
        tally.push(&block[..len]);
        file.write_all(&block[..len]).await?;
    }
}
