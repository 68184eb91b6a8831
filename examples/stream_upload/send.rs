//! The client: one file, read and sent piece by piece.

use std::error::Error;
use std::path::Path;

use sockeye::{MessageKind, NetStream, WebSocket};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tally::Tally;

/// What is read at once, in bytes: a fragment.
const READ_BYTES: usize = 64 * 1024;

/// Sends the file; the server's answer, which is what this end has counted, too.
pub(crate) async fn send(url: &str, path: &Path) -> Result<String, Box<dyn Error>> {
    let in_file = |error| format!("{}: {error}", path.display());
    let mut file = File::open(path).await.map_err(in_file)?;
    let total = file.metadata().await.map_err(in_file)?.len();
    let mut socket = sockeye::connect(url).await?;
    let mut tally = Tally::new(path.display().to_string(), Some(total));
    let sent = write(&mut socket, &mut file, &mut tally).await;
    let answer = match (answer(&mut socket).await, sent) {
        (Ok(answer), _) => answer,
        (Err(refusal), Ok(())) => return Err(refusal),
        (Err(refusal), Err(error)) => return Err(format!("{error}; {refusal}").into()),
    };
    if answer != tally.line() {
        return Err(format!("something else has arrived: {answer}").into());
    }
    Ok(answer)
}

async fn write(
    socket: &mut WebSocket<NetStream>,
    file: &mut File,
    tally: &mut Tally,
) -> Result<(), Box<dyn Error>> {
    let mut block = vec![0; READ_BYTES];
    let mut message = socket.send_stream(MessageKind::Binary)?;
    loop {
        let len = file.read(&mut block).await?;
        if len == 0 {
            message.shutdown().await?;
            return Ok(());
        }
        tally.push(&block[..len]);
        message.write_all(&block[..len]).await?;
    }
}

async fn answer(socket: &mut WebSocket<NetStream>) -> Result<String, Box<dyn Error>> {
    let Some(message) = socket.recv().await? else {
        let outcome = socket.outcome();
        let text = outcome.map(|end| format!("{} {}", end.code.as_u16(), end.reason.as_str()));
        return Err(format!("closed without an answer: {}", text.unwrap_or_default()).into());
    };
    let answer = message.as_text().ok_or("the answer is no text")?.to_owned();
    socket.close(1000, "").await?;
    Ok(answer)
}
