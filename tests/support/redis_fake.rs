//! Nodes of a Redis Cluster that answer what a test likes.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

type Answer = dyn Fn(&[String]) -> String + Send + Sync;

/// One node, until it is dropped.
pub(crate) struct Fake {
    pub(crate) port: u16,
    answer: Arc<Mutex<Arc<Answer>>>,
    /// What it was asked, and not to be introduced.
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Fake {
    /// Knows nothing yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer: Arc<Answer> = Arc::new(|_| "-ERR unknown\r\n".to_owned());
        let answer = Arc::new(Mutex::new(answer));
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        let connections = Arc::<AtomicUsize>::default();
        let (known, hearing, counted) = (answer.clone(), heard.clone(), connections.clone());
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                clients.spawn(talk(stream, known.clone(), hearing.clone()));
            }
        });
        Self { port, answer, heard, connections, _tasks: tasks }
    }

    /// What it answers from now on, by the words of what it is asked; nothing: it closes the connection.
    pub(crate) fn answers(&self, answer: impl Fn(&[String]) -> String + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Answers that a node at this port has all slots.
    pub(crate) fn slots_at(&self, port: u16) -> impl Fn(&[String]) -> String + Send + Sync + use<> {
        let slots = slots(&[(0, 16_383, None, port, "a")]);
        move |_| slots.clone()
    }

    /// How often it was asked this.
    pub(crate) fn count(&self, command: &str) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|heard| heard.starts_with(command)).count()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn talk(
    stream: TcpStream,
    answer: Arc<Mutex<Arc<Answer>>>,
    heard: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let words = command(&mut stream).await?;
        let said = match words[0].as_str() {
            "HELLO" => "%1\r\n+proto\r\n:3\r\n".to_owned(),
            "CLIENT" => "+OK\r\n".to_owned(),
            _ => {
                heard.lock().unwrap().push(words.join(" "));
                let answer = answer.lock().unwrap().clone();
                answer(&words)
            }
        };
        if said.is_empty() {
            return None;
        }
        stream.write_all(said.as_bytes()).await.ok()?;
    }
}

async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = number(stream).await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}

/// The answer to `CLUSTER SLOTS`: first and last slot, host (`None`: none is said), port, and what the node is called.
pub(crate) fn slots(ranges: &[(usize, usize, Option<&str>, u16, &str)]) -> String {
    let mut said = format!("*{}\r\n", ranges.len());
    for (first, last, host, port, id) in ranges {
        let host = host.map_or("$-1\r\n".to_owned(), bulk);
        let id = bulk(id);
        said.push_str(&format!("*3\r\n:{first}\r\n:{last}\r\n*3\r\n{host}:{port}\r\n{id}"));
    }
    said
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// What is pushed about a sharded channel.
pub(crate) fn pushed(kind: &str, channel: &str, count: usize) -> String {
    format!(">3\r\n{}{}:{count}\r\n", bulk(kind), bulk(channel))
}
