//! NATS servers that say anything: the messages and the end are those that another reader finds, whatever the cuts, and
//! the server is told no more than its turn is. Or they answer anything to who asks for a record.

use serde_json::Value;
use sockeye::pubsub::nats::Nats;
use sockeye::pubsub::{Broker, Incoming, PubSubErrorKind};
use tokio::runtime::{Builder, Runtime};

use super::source::Source;
use super::wire_client::{NoTls, OnePeer, Peer};

/// A byte that says whether the server begins as it should, or [answers](super::jetstream), a byte of cuts; then what it says.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choice = source.byte();
    if choice & 2 == 2 {
        return super::jetstream::run(source);
    }
    let seed = source.byte();
    let mut said = Vec::new();
    if choice & 1 == 1 {
        said.extend_from_slice(b"INFO {\"max_payload\":64}\r\nPONG\r\n");
    }
    said.extend_from_slice(source.rest());
    let expected = read(&said);
    for seed in [0, 1, seed] {
        let (seen, told) = connect(&said, seed);
        assert_eq!(seen.messages, expected.messages);
        assert!(expected.ends.contains(&seen.ends[0]), "{seen:?} instead of {expected:?}");
        assert_told(&told, &said, expected.is_plain);
    }
}

/// What comes of it.
#[derive(Debug, Default)]
struct Verdict {
    messages: Vec<(String, Vec<u8>)>,
    /// One of these; some hang on the cuts.
    ends: Vec<PubSubErrorKind>,
    /// The client introduced itself.
    is_plain: bool,
}

fn connect(said: &[u8], seed: u8) -> (Verdict, Vec<u8>) {
    thread_local! {
        /// For timers, none of which runs out.
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let peer = Peer::new(said, seed);
    let told = peer.told();
    let broker = Nats::new("nats://user:marker@192.0.2.1").expect("a URL");
    let broker = broker.dial(OnePeer::new(peer)).tls(NoTls);
    let verdict = RUNTIME.with(|runtime| runtime.block_on(listen(&broker)));
    let told = told.lock().expect("whole").clone();
    (verdict, told)
}

async fn listen(broker: &Nats) -> Verdict {
    let mut verdict = Verdict::default();
    let error = match broker.connect().await {
        Err(error) => error,
        Ok(line) => loop {
            match line.next().await {
                Ok(Incoming::Message(message)) => {
                    let (channel, payload) =
                        (message.channel.to_string(), message.payload.to_vec());
                    verdict.messages.push((channel, payload));
                }
                Ok(other) => panic!("{other:?}, and little was said"),
                Err(error) => break error,
            }
        },
    };
    let text = format!("{error:?} {error}");
    assert!(!text.contains("marker"), "{text}");
    verdict.ends.push(error.kind());
    verdict
}

fn assert_told(told: &[u8], said: &[u8], is_plain: bool) {
    let told = std::str::from_utf8(told).expect("text");
    if !is_plain {
        assert_eq!(told, "");
        return;
    }
    let (options, rest) = told.split_once("\r\nPING\r\n").expect("an introduction");
    let options = options.strip_prefix("CONNECT ").expect("options");
    let options: Value = serde_json::from_str(options).expect("JSON");
    assert_eq!((&options["user"], &options["pass"]), (&"user".into(), &"marker".into()));
    let pongs = rest.len() / "PONG\r\n".len();
    let pings = said.windows(4).filter(|word| word.eq_ignore_ascii_case(b"PING")).count();
    assert!(rest == "PONG\r\n".repeat(pongs) && pongs <= pings, "{rest}");
}

/// How far a conversation is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Hello,
    Introduced,
    Up,
}

/// Another reader, over the whole, which is too short for any limit but that of a number.
fn read(said: &[u8]) -> Verdict {
    let (mut verdict, mut stage, mut rest) = (Verdict::default(), Stage::Hello, said);
    let ends = loop {
        match step(&mut rest, &mut stage, &mut verdict) {
            Ok(()) => {}
            Err(ends) => break ends,
        }
    };
    let before = |kind| match kind {
        PubSubErrorKind::Lost => PubSubErrorKind::Unreachable,
        kind => kind,
    };
    verdict.is_plain = stage != Stage::Hello;
    verdict.ends = ends;
    if stage != Stage::Up {
        verdict.messages.clear();
        verdict.ends = verdict.ends.into_iter().map(before).collect();
    }
    verdict
}

/// One line, with what belongs to it; the ways in which it may end.
fn step(
    rest: &mut &[u8],
    stage: &mut Stage,
    verdict: &mut Verdict,
) -> Result<(), Vec<PubSubErrorKind>> {
    let broken = || vec![PubSubErrorKind::Answer];
    let lost = || vec![PubSubErrorKind::Lost];
    let Some(at) = rest.iter().position(|byte| *byte == b'\n') else { return Err(lost()) };
    let line = rest[..at].strip_suffix(b"\r").ok_or_else(broken)?;
    let line = std::str::from_utf8(line).map_err(|_| broken())?;
    *rest = &rest[at + 1..];
    let (word, arguments) = line.split_at(line.find([' ', '\t']).unwrap_or(line.len()));
    let word = word.to_ascii_uppercase();
    match (*stage, word.as_str()) {
        (_, "+OK") => Ok(()),
        (_, "-ERR") => Err(error(arguments)),
        (_, "MSG" | "HMSG") => {
            let message = message(arguments, word == "HMSG", rest)?;
            verdict.messages.push(message);
            if *stage == Stage::Hello { Err(broken()) } else { Ok(()) }
        }
        (_, "INFO") => {
            let info = serde_json::from_str::<Value>(arguments);
            let info = info.ok().filter(Value::is_object).ok_or_else(broken)?;
            if info["ldm"] == true {
                return Err(lost());
            }
            if *stage != Stage::Hello {
                return Ok(());
            }
            if info["tls_required"] == true {
                // Something more may have come by then.
                return Err(vec![PubSubErrorKind::Answer, PubSubErrorKind::Unreachable]);
            }
            *stage = Stage::Introduced;
            Ok(())
        }
        (Stage::Introduced | Stage::Up, "PING") => Ok(()),
        (Stage::Introduced, "PONG") => {
            *stage = Stage::Up;
            Ok(())
        }
        _ => Err(broken()),
    }
}

fn message(
    arguments: &str,
    has_headers: bool,
    rest: &mut &[u8],
) -> Result<(String, Vec<u8>), Vec<PubSubErrorKind>> {
    let broken = || vec![PubSubErrorKind::Answer];
    let fields: Vec<&str> =
        arguments.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    let numbers = if has_headers { 2 } else { 1 };
    if !(numbers + 2..=numbers + 3).contains(&fields.len()) {
        return Err(broken());
    }
    let number = |at: usize| {
        let text = fields[fields.len() - at];
        let is_number = text.chars().all(|character| character.is_ascii_digit());
        is_number.then(|| text.parse::<u128>().unwrap_or(u128::MAX)).ok_or_else(broken)
    };
    let (len, header_len) = (number(1)?, if has_headers { number(2)? } else { 0 });
    if header_len > len || len > 64 << 20 {
        return Err(broken());
    }
    let (len, header_len) = (len as usize, header_len as usize);
    let Some((body, after)) = rest.split_at_checked(len + 2) else {
        return Err(vec![PubSubErrorKind::Lost]);
    };
    let body = body.strip_suffix(b"\r\n").ok_or_else(broken)?;
    *rest = after;
    Ok((fields[0].to_owned(), body[header_len..].to_vec()))
}

/// By words that may stand anywhere in the text, so more than one kind is right.
fn error(words: &str) -> Vec<PubSubErrorKind> {
    use PubSubErrorKind::{Answer, Lost, Refused, Setting};
    let words = words.to_ascii_lowercase();
    let mut ends = vec![Answer];
    let refusals =
        ["authorization", "authentication", "permissions", "connections", "subscriptions"];
    if refusals.iter().any(|word| words.contains(word)) {
        ends.push(Refused);
    }
    if ["payload", "slow", "stale", "shutdown"].iter().any(|word| words.contains(word)) {
        ends.push(Lost);
    }
    if words.contains("secure") {
        ends.push(Setting);
    }
    ends
}
