//! A NATS server that has a bucket and answers anything when it is asked for a record: what the store makes of it is what
//! another reader does.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sockeye::NetStream;
use sockeye::client::{BoxFuture, Dial};
use sockeye::pubsub::nats::Nats;
use sockeye::session::stores::{NatsStore, Record, SessionStore as _, StoreErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::source::{Source, pieces};

/// What time it is.
const NOW: &str = "2026-01-01T00:00:00Z";
const NOW_SECONDS: u64 = 1_767_225_600;

/// The longest that a record is kept.
const KEEP_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

/// What concerns a store.
const NAMES: [&str; 12] = [
    "seq",
    "message",
    "config",
    "error",
    "hdrs",
    "data",
    "time",
    "err_code",
    "code",
    "max_age",
    "num_replicas",
    "max_msg_size",
];

/// No turn takes longer.
const MINUTE: Duration = Duration::from_secs(60);

/// A byte of cuts, a byte that says how many of the bytes that follow are headers; then what is answered.
pub(super) fn run(mut source: Source<'_>) {
    let (seed, count) = (source.byte(), usize::from(source.byte()));
    let headers = source.take(count).to_vec();
    let payload = source.rest().to_vec();
    let found = ask(&headers, &payload, seed);
    let expected = read(&headers, &payload);
    let is_right = match (&expected, &found) {
        (Expected::Anything, _) | (Expected::Near(_), Ok(None)) => true,
        (Expected::Failed(kind), Err(found)) => kind == found,
        (Expected::Nothing, Ok(found)) => found.is_none(),
        (Expected::There(record) | Expected::Near(record), Ok(Some(found))) => record == found,
        _ => false,
    };
    assert!(is_right, "{found:?} instead of {expected:?}");
}

#[derive(Debug)]
enum Expected {
    /// Where readers of JSON differ.
    Anything,
    Failed(StoreErrorKind),
    Nothing,
    There(Record),
    /// It is over about now.
    Near(Record),
}

fn ask(headers: &[u8], payload: &[u8], seed: u8) -> Result<Option<Record>, StoreErrorKind> {
    thread_local! {
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let last = match headers {
        [] => message(4, payload),
        _ => {
            let mut last =
                format!("HMSG x.4 1 {} {}\r\n", headers.len(), headers.len() + payload.len())
                    .into_bytes();
            last.extend_from_slice(headers);
            last.extend_from_slice(payload);
            last.extend_from_slice(b"\r\n");
            last
        }
    };
    let now = format!("{{\"message\":{{\"seq\":1,\"time\":\"{NOW}\"}}}}");
    let answers = [
        message(1, br#"{"config":{"max_age":0}}"#),
        message(2, br#"{"stream":"x","seq":1}"#),
        message(3, now.as_bytes()),
        last,
    ];
    let hello = b"INFO {\"headers\":true,\"max_payload\":1000}\r\n".to_vec();
    let server = Server {
        answers: answers.into(),
        said: VecDeque::from([hello]),
        seed,
        told: Vec::new(),
        waiting: None,
    };
    let nats = Nats::new("nats://192.0.2.1").expect("a URL").dial(One(Mutex::new(Some(server))));
    let store = NatsStore::new(nats).deadline(MINUTE);
    RUNTIME.with(|runtime| runtime.block_on(store.get("a"))).map_err(|error| error.kind())
}

fn message(number: usize, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("MSG x.{number} 1 {}\r\n", payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message.extend_from_slice(b"\r\n");
    message
}

/// Answers each ping, and each request with the next answer; nobody answers after that.
struct Server {
    answers: VecDeque<Vec<u8>>,
    said: VecDeque<Vec<u8>>,
    seed: u8,
    told: Vec<u8>,
    waiting: Option<Waker>,
}

impl Server {
    /// Whole lines that were told. What is in a request has no line in it that looks like one.
    fn hear(&mut self, bytes: &[u8]) {
        self.told.extend_from_slice(bytes);
        while let Some(end) = self.told.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.told.drain(..=end).collect();
            let is_request = line.starts_with(b"PUB ") || line.starts_with(b"HPUB ");
            let answer = match line.as_slice() {
                b"PING\r\n" => b"PONG\r\n".to_vec(),
                _ if is_request => self.answers.pop_front().expect("asked four times"),
                _ => continue,
            };
            self.said.extend(pieces(&answer, self.seed).into_iter().map(<[u8]>::to_vec));
        }
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.said.pop_front() else {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let rest = piece.split_off(piece.len().min(buf.remaining()));
        buf.put_slice(&piece);
        if !rest.is_empty() {
            self.said.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.hear(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A network with one server, which is called once.
struct One(Mutex<Option<Server>>);

impl Dial for One {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<std::net::SocketAddr>>> {
        Box::pin(async move { Ok(vec![([192, 0, 2, 1], port).into()]) })
    }

    fn connect(&self, _: std::net::SocketAddr) -> BoxFuture<'_, io::Result<NetStream>> {
        let server = self.0.lock().expect("whole").take();
        Box::pin(async move { Ok(NetStream::boxed(server.expect("called once"))) })
    }
}

/// Another reader.
fn read(headers: &[u8], payload: &[u8]) -> Expected {
    let wrong = Expected::Failed(StoreErrorKind::Answer);
    let is_whole = !headers.get(12).is_some_and(u8::is_ascii_alphanumeric);
    if headers.starts_with(b"NATS/1.0 503") && is_whole {
        return Expected::Failed(StoreErrorKind::Setting);
    }
    // What is skipped need not be whole, and of two of a name one reader takes the last and one none.
    let Ok(value) = serde_json::from_slice::<Value>(payload) else { return Expected::Anything };
    let text = String::from_utf8_lossy(payload);
    let is_twice = |name: &&str| text.matches(&format!("\"{name}\"")).count() > 1;
    if text.contains('\\') || NAMES.iter().any(is_twice) || !value.is_object() {
        return Expected::Anything;
    }
    judge(&value).unwrap_or(wrong)
}

/// `None`: it makes no sense.
fn judge(value: &Value) -> Option<Expected> {
    let parts = ["message", "config", "error"].map(|name| &value[name]);
    if parts.iter().any(|part| part.is_array()) {
        return Some(Expected::Anything);
    }
    let is_part = |part: &&Value| part.is_null() || part.is_object();
    if !parts.iter().all(is_part) {
        return None;
    }
    number(value, "seq")?;
    let [message, config, error] = parts;
    number(config, "max_age")?;
    number(config, "num_replicas")?;
    if config.get("max_msg_size").is_some_and(|size| !size.is_i64()) {
        return None;
    }
    let of_error = (number(error, "err_code")?, number(error, "code")?);
    let found = if message.is_object() { Some(Message::read(message)?) } else { None };
    if error.is_object() {
        return Some(refused(of_error));
    }
    found?.judge()
}

/// 0 where there is none.
fn number(value: &Value, name: &str) -> Option<u64> {
    match value.get(name) {
        None => Some(0),
        Some(number) => number.as_u64(),
    }
}

fn refused((number, code): (u64, u64)) -> Expected {
    use StoreErrorKind::{Answer, Full, Setting, Unreachable};
    Expected::Failed(match number {
        10_037 => return Expected::Nothing,
        10_039 | 10_076 | 10_052 | 10_058 | 10_065 | 10_074 => Setting,
        10_002 | 10_023 | 10_028 | 10_047 | 10_053 | 10_054 | 10_077 => Full,
        10_059 => Unreachable,
        10_071 | 10_164 => Answer,
        _ if code == 503 => Unreachable,
        _ => Answer,
    })
}

struct Message<'a> {
    number: u64,
    headers: &'a str,
    data: &'a str,
    time: &'a str,
}

impl<'a> Message<'a> {
    fn read(message: &'a Value) -> Option<Self> {
        let text = |name: &str| match &message[name] {
            Value::Null => Some(""),
            value => value.as_str(),
        };
        Some(Self {
            number: message["seq"].as_u64()?,
            headers: text("hdrs")?,
            data: text("data")?,
            time: message["time"].as_str()?,
        })
    }

    fn judge(&self) -> Option<Expected> {
        let headers = STANDARD.decode(self.headers).ok()?;
        let since_ms = time_ms(self.time.as_bytes())?;
        let data = STANDARD.decode(self.data).ok()?;
        if self.number == 0 {
            return None;
        }
        let headers = String::from_utf8_lossy(&headers).to_ascii_lowercase();
        let is_gone = |line: &str| {
            let name = line.split_once(':').map_or(line, |(name, _)| name);
            matches!(name, "kv-operation" | "nats-marker-reason")
        };
        if headers.split('\n').any(is_gone) {
            return Some(Expected::Nothing);
        }
        let [1, head @ ..] = data.as_slice() else { return None };
        let (epoch, head) = head.split_first_chunk()?;
        let (keep_ms, bytes) = head.split_first_chunk()?;
        let (epoch, keep_ms) = (u64::from_be_bytes(*epoch), u64::from_be_bytes(*keep_ms));
        if epoch == 0 || keep_ms > KEEP_MS_MAX {
            return None;
        }
        let record = Record { epoch, bytes: bytes.to_vec().into() };
        let age_ms = (NOW_SECONDS * 1000).saturating_sub(since_ms);
        Some(match keep_ms.checked_sub(age_ms) {
            None | Some(0) => Expected::Nothing,
            Some(left) if left < 60_000 => Expected::Near(record),
            Some(_) => Expected::There(record),
        })
    }
}

/// Milliseconds since 1970, rounded up: year by year and month by month.
fn time_ms(text: &[u8]) -> Option<u64> {
    let (front, fraction) = text.strip_suffix(b"Z")?.split_at_checked(19)?;
    for (at, byte) in front.iter().enumerate() {
        let is_right = match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            _ => byte.is_ascii_digit(),
        };
        if !is_right {
            return None;
        }
    }
    let number = |from: usize, to: usize| {
        front[from..to].iter().fold(0, |number, digit| 10 * number + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let of_years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30];
    let of_months: u64 = lengths.iter().take(month as usize - 1).sum();
    let seconds = ((of_years + of_months + day - 1) * 24 + hour) * 3600 + minute * 60 + second;
    let part_ms = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            if !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let text = format!("{:0<9}", String::from_utf8_lossy(digits));
            text.parse::<u64>().ok()?.div_ceil(1_000_000)
        }
        _ => return None,
    };
    Some(seconds * 1000 + part_ms)
}
