//! A broker on a host of its own, and the adapter for it: lines for what is asked, bytes for what is said.
//!
//! ```text
//!   to the broker:  S channel ┊ U channel ┊ P channel length, and the bytes ┊ ? (is answered with !)
//!   from it:        M channel length, and the bytes ┊ !
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sockeye::client::BoxFuture;
use sockeye::pubsub::{BusMessage, Incoming, PubSub, PubSubError, PubSubErrorKind};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{Mutex as Turn, mpsc};
use tokio::task::JoinHandle;
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

use crate::world::Ended;

const PORT: u16 = 6000;

/// What waits for one listener.
type Queue = mpsc::UnboundedSender<Vec<u8>>;

/// Who listens to what, by channel and number.
type Listeners = Arc<Mutex<HashMap<String, HashMap<u64, Queue>>>>;

/// The host.
pub(crate) async fn broker() -> Ended {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let listeners = Listeners::default();
    for number in 0.. {
        let (stream, _) = listener.accept().await?;
        let listeners = listeners.clone();
        tokio::spawn(async move {
            let _ = serve(stream, number, &listeners).await;
            listeners.lock().unwrap().values_mut().for_each(|queues| drop(queues.remove(&number)));
        });
    }
    Ok(())
}

async fn serve(stream: TcpStream, number: u64, listeners: &Listeners) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let (queue, mut queued) = mpsc::unbounded_channel::<Vec<u8>>();
    let asked = async {
        while let Some((words, payload)) = read(&mut reader).await? {
            let mut listeners = listeners.lock().unwrap();
            let queues = listeners.entry(words.get(1).cloned().unwrap_or_default()).or_default();
            match &*words[0] {
                "S" => drop(queues.insert(number, queue.clone())),
                "U" => drop(queues.remove(&number)),
                "P" => {
                    let said = written(&["M", &words[1]], &payload);
                    queues.values().for_each(|queue| drop(queue.send(said.clone())));
                }
                _ => drop(queue.send(b"!\n".to_vec())),
            }
        }
        Ok(())
    };
    let told = async {
        while let Some(bytes) = queued.recv().await {
            writer.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = asked => ended,
        ended = told => ended,
    }
}

fn written(words: &[&str], payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{} {}\n", words.join(" "), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// The next thing: its words, and the bytes behind them. `None` at the end.
async fn read(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<(Vec<String>, Bytes)>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let mut payload = Vec::new();
    if let [_, _, len] = &words[..] {
        payload.resize(len.parse().map_err(io::Error::other)?, 0);
        reader.read_exact(&mut payload).await?;
    }
    Ok(Some((words, payload.into())))
}

/// A connection of a node to it.
struct Line {
    writer: Turn<OwnedWriteHalf>,
    incoming: Turn<mpsc::Receiver<BusMessage>>,
    answers: Turn<mpsc::Receiver<()>>,
    reading: JoinHandle<()>,
}

fn lost(error: io::Error) -> PubSubError {
    PubSubError::new(PubSubErrorKind::Lost).with_source(error)
}

pub(crate) async fn connect() -> Result<Box<dyn PubSub>, PubSubError> {
    let stream = TcpStream::connect((turmoil::lookup("broker"), PORT)).await.map_err(lost)?;
    let (reader, writer) = stream.into_split();
    let (messages, incoming) = mpsc::channel(100_000);
    let (told, answers) = mpsc::channel(1);
    let reading = tokio::spawn(async move {
        let mut reader = BufReader::new(reader);
        while let Ok(Some((words, payload))) = read(&mut reader).await {
            let is_taken = match words.get(1) {
                Some(name) => messages
                    .send(BusMessage { channel: name.as_str().into(), payload })
                    .await
                    .is_ok(),
                None => told.send(()).await.is_ok(),
            };
            if !is_taken {
                return;
            }
        }
    });
    let (writer, incoming, answers) = (Turn::new(writer), Turn::new(incoming), Turn::new(answers));
    Ok(Box::new(Line { writer, incoming, answers, reading }))
}

impl Line {
    async fn write(&self, bytes: &[u8]) -> Result<(), PubSubError> {
        self.writer.lock().await.write_all(bytes).await.map_err(lost)
    }

    /// Asks, and waits until all that was asked before is done.
    async fn ask(&self, mut bytes: Vec<u8>) -> Result<(), PubSubError> {
        bytes.extend_from_slice(b"?\n");
        let mut answers = self.answers.lock().await;
        self.write(&bytes).await?;
        answers.recv().await.ok_or_else(|| lost(io::ErrorKind::UnexpectedEof.into()))
    }
}

fn lines(word: &str, channels: &[Arc<str>]) -> Vec<u8> {
    channels.iter().flat_map(|name| format!("{word} {name}\n").into_bytes()).collect()
}

impl PubSub for Line {
    fn publish<'a>(&'a self, messages: &'a [BusMessage]) -> BoxFuture<'a, Result<(), PubSubError>> {
        let bytes: Vec<u8> = messages
            .iter()
            .flat_map(|message| written(&["P", &message.channel], &message.payload))
            .collect();
        Box::pin(async move { self.write(&bytes).await })
    }

    fn subscribe<'a>(&'a self, channels: &'a [Arc<str>]) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(self.ask(lines("S", channels)))
    }

    fn unsubscribe<'a>(
        &'a self,
        channels: &'a [Arc<str>],
    ) -> BoxFuture<'a, Result<(), PubSubError>> {
        Box::pin(self.ask(lines("U", channels)))
    }

    fn next(&self) -> BoxFuture<'_, Result<Incoming, PubSubError>> {
        Box::pin(async move {
            let message = self.incoming.lock().await.recv().await;
            message.map(Incoming::Message).ok_or_else(|| lost(io::ErrorKind::UnexpectedEof.into()))
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), PubSubError>> {
        Box::pin(self.ask(Vec::new()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
