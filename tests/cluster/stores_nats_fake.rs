//! A store in a NATS server that answers what a test lets it: what is asked, how often, and what becomes of answers that a real
//! one seldom gives.

#![cfg(all(unix, feature = "nats", feature = "app"))]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye::session::stores::{NatsStore, SessionStore, StoreErrorKind, Wrote};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::nats::broker_at;
use crate::support::server::within;
use crate::support::stores::put;

const MINUTE: Duration = Duration::from_secs(60);
const BUCKET: &str = r#"{"config":{"max_age":0}}"#;
const NO_BUCKET: &str = r#"{"error":{"code":404,"err_code":10059}}"#;
const NO_MESSAGE: &str = r#"{"error":{"code":404,"err_code":10037}}"#;

/// What it answers to the nth request with this subject, from 0.
type Answers = dyn Fn(&str, usize) -> String + Send + Sync;

struct Fake {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Fake {
    async fn start(
        version: &str,
        answers: impl Fn(&str, usize) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (answers, asking): (Arc<Answers>, _) = (Arc::new(answers), asked.clone());
        let hello = format!(
            "INFO {{\"version\":\"{version}\",\"headers\":true,\"max_payload\":100000}}\r\n"
        );
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                clients.spawn(serve(stream, hello.clone(), answers.clone(), asking.clone()));
            }
        });
        Self { address, asked, _task: task }
    }

    fn store(&self) -> NatsStore {
        NatsStore::new(broker_at(self.address)).deadline(MINUTE)
    }

    /// What was asked since this was asked last, without what finds the bucket and the time.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked
            .into_iter()
            .filter(|subject| subject.contains(".a") || subject.contains("GET"))
            .collect()
    }
}

async fn serve(
    stream: TcpStream,
    hello: String,
    answers: Arc<Answers>,
    asked: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(hello.as_bytes()).await?;
    let mut sid = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["PING"] => stream.write_all(b"PONG\r\n").await?,
            ["SUB", .., number] => sid = number.to_owned(),
            ["PUB" | "HPUB", subject, reply, .., len] => {
                let mut payload = vec![0; len.parse::<usize>().unwrap() + 2];
                stream.read_exact(&mut payload).await?;
                let number = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(subject.to_owned());
                    asked.iter().filter(|known| *known == subject).count() - 1
                };
                let answer = answers(subject, number);
                let answer = format!("MSG {reply} {sid} {}\r\n{answer}\r\n", answer.len());
                stream.write_all(answer.as_bytes()).await?;
            }
            _ => {}
        }
    }
}

/// As a bucket does that has nothing but what is written to it.
fn usual(subject: &str, number: usize) -> String {
    match subject {
        _ if subject.starts_with("$JS.API.STREAM.INFO.") => BUCKET.to_owned(),
        _ if subject.starts_with("$JS.API.STREAM.MSG.GET.") => NO_MESSAGE.to_owned(),
        _ => format!(r#"{{"stream":"KV_x","seq":{}}}"#, number + 1),
    }
}

/// BY-42: what begins, and what this node has written itself, is written without a question before.
#[tokio::test]
async fn by_42_what_is_known_is_not_asked_for() {
    let fake = Fake::start("2.10.0", usual).await;
    let store = fake.store();
    // Opens the bucket, and asks what time it is.
    assert_eq!(within(store.get("b")).await.unwrap(), None);
    fake.asked();
    for epoch in 0..3 {
        let wrote = within(store.put("a", put(epoch, epoch + 1, "x", MINUTE))).await.unwrap();
        assert_eq!(wrote, Wrote::Done);
        assert_eq!(fake.asked(), ["$KV.sockeye-sessions.a"], "{epoch}");
    }
    // Of another's record it has to ask first.
    let wrote = within(fake.store().put("a", put(3, 4, "x", MINUTE))).await.unwrap();
    assert_eq!(wrote, Wrote::Missing);
}

/// BY-42: what has no number was not written.
#[tokio::test]
async fn by_42_without_a_number_nothing_is_written() {
    let answers = |subject: &str, number| match subject.ends_with(".a") {
        true => r#"{"stream":"KV_x","seq":0}"#.to_owned(),
        false => usual(subject, number),
    };
    let fake = Fake::start("2.10.0", answers).await;
    let error = within(fake.store().put("a", put(0, 1, "x", MINUTE))).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Answer, "{error:?}");
    assert!(format!("{error:?}").contains("no number"), "{error:?}");
}

/// BY-42: of two nodes that make a bucket at the same time with other settings, the later one takes what is there.
#[tokio::test]
async fn by_42_a_bucket_that_another_has_just_made() {
    let answers = |subject: &str, number| match subject {
        _ if subject.starts_with("$JS.API.STREAM.INFO.") && number == 0 => NO_BUCKET.to_owned(),
        _ if subject.starts_with("$JS.API.STREAM.CREATE.") => {
            r#"{"error":{"code":400,"err_code":10058}}"#.to_owned()
        }
        _ => usual(subject, number),
    };
    let fake = Fake::start("2.10.0", answers).await;
    let wrote = within(fake.store().put("a", put(0, 1, "x", MINUTE))).await.unwrap();
    assert_eq!(wrote, Wrote::Done);
}

/// BY-42: replicas are for servers that compare, which those of 2.11 are the first to do.
#[tokio::test]
async fn by_42_replicas_since_2_11() {
    let answers = |subject: &str, number| match subject.contains("STREAM.INFO") {
        true => r#"{"config":{"max_age":0,"num_replicas":3}}"#.to_owned(),
        false => usual(subject, number),
    };
    for (version, expected) in
        [("2.10.29", Some(StoreErrorKind::Setting)), ("2.11.0", None), ("2.12.1", None)]
    {
        let fake = Fake::start(version, answers).await;
        let got = within(fake.store().get("a")).await;
        assert_eq!(got.err().map(|error| error.kind()), expected, "{version}");
    }
}
