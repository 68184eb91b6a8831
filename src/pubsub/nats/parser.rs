//! What a server says, without I/O.

use std::str;

use bytes::{Buf as _, Bytes, BytesMut};
use serde_json::Value;

use crate::pubsub::broker::BusMessage;
use crate::sync::Arc;

use super::fault::Fault;

/// Longest line: an `INFO` names all servers of its cluster.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Longest message, its headers included: no server can be told to take more. Not the `max_payload` of the one that sends
/// it, for those of other servers of its cluster may be larger.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much is read at once.
const READ_BYTES: usize = 32 * 1024;

const NO_MESSAGE: Fault = Fault::answer("a message without a subject or a length");
const TOO_LONG: Fault = Fault::answer("a line or a message that is too long");

/// What concerns a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Info(Info),
    Message(Heard),
    Ping,
    Pong,
}

/// A message. Of its headers there is only what the server says by them itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) message: BusMessage,
    /// Such as 503: nobody answers.
    pub(super) status: Option<u16>,
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// Its first two numbers; 0 where it does not say.
    pub(crate) version: (u16, u16),
    pub(crate) message_bytes_max: usize,
    pub(super) has_tls: bool,
    pub(super) needs_tls: bool,
    pub(super) has_headers: bool,
    /// Lame duck mode.
    pub(super) is_leaving: bool,
}

/// Takes bytes as they come.
///
/// ```text
///   buf:  MSG subject sid [reply] bytes CR LF  headers  payload  CR LF  PING CR LF …
///         '---------- a line ----------------'  '--- coming ---------'
/// ```
#[derive(Debug, Default)]
pub(super) struct Parser {
    buf: BytesMut,
    /// There is no line end before this: scanned <= buf.len()
    scanned: usize,
    /// A message whose line has come.
    coming: Option<Coming>,
}

/// header_bytes <= bytes <= MESSAGE_BYTES_MAX
#[derive(Debug, PartialEq, Eq)]
struct Coming {
    channel: Arc<str>,
    header_bytes: usize,
    /// Headers and payload.
    bytes: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Said(Said),
    Coming(Coming),
    Ok,
}

impl Parser {
    /// Where what comes next is put. It grows with what came, not with what was announced.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        // What a long message took is given back.
        if self.buf.is_empty() && self.buf.capacity() > 4 * READ_BYTES {
            self.buf = BytesMut::new();
        }
        self.buf.reserve(READ_BYTES);
        &mut self.buf
    }

    /// The next thing, if all of it has come. An error of the server is one here.
    pub(super) fn next(&mut self) -> Result<Option<Said>, Fault> {
        while self.coming.is_none() {
            let Some(end) = self.line_end()? else { return Ok(None) };
            let line = Line::parse(&self.buf[..end])?;
            self.buf.advance(end + 2);
            match line {
                Line::Said(said) => return Ok(Some(said)),
                Line::Coming(coming) => self.coming = Some(coming),
                Line::Ok => {}
            }
        }
        Ok(self.message()?.map(Said::Message))
    }

    /// Nothing has come that was not taken.
    pub(super) fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// How long the first line is, if it has come.
    fn line_end(&mut self) -> Result<Option<usize>, Fault> {
        let end = self.buf[self.scanned..].iter().position(|byte| *byte == b'\n');
        let end = end.map(|at| self.scanned + at);
        self.scanned = if end.is_some() { 0 } else { self.buf.len() };
        if end.unwrap_or(self.scanned) > LINE_BYTES_MAX {
            return Err(TOO_LONG);
        }
        let Some(end) = end else { return Ok(None) };
        match self.buf[..end].strip_suffix(b"\r") {
            Some(line) => Ok(Some(line.len())),
            None => Err(Fault::answer("a line without CR LF")),
        }
    }

    fn message(&mut self) -> Result<Option<Heard>, Fault> {
        let filled = self.buf.len();
        let Some(coming) = self.coming.take_if(|coming| coming.bytes + 2 <= filled) else {
            return Ok(None);
        };
        if !self.buf[coming.bytes..].starts_with(b"\r\n") {
            return Err(Fault::answer("a message of another length than was announced"));
        }
        // A copy: as long as somebody holds it, it holds no more than itself.
        let payload = Bytes::copy_from_slice(&self.buf[coming.header_bytes..coming.bytes]);
        let status = status(&self.buf[..coming.header_bytes]);
        self.buf.advance(coming.bytes + 2);
        let message = BusMessage { channel: coming.channel, payload };
        Ok(Some(Heard { message, status }))
    }
}

impl Line {
    fn parse(line: &[u8]) -> Result<Self, Fault> {
        let line = str::from_utf8(line).map_err(|_| Fault::answer("a line that is no text"))?;
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        match () {
            () if is("MSG") => Coming::parse(rest, false).map(Self::Coming),
            () if is("HMSG") => Coming::parse(rest, true).map(Self::Coming),
            () if is("PING") => Ok(Self::Said(Said::Ping)),
            () if is("PONG") => Ok(Self::Said(Said::Pong)),
            () if is("INFO") => Info::parse(rest).map(|info| Self::Said(Said::Info(info))),
            () if is("+OK") => Ok(Self::Ok),
            () if is("-ERR") => Err(Fault::of_server(rest)),
            () => Err(Fault::answer("a word that is none of the protocol")),
        }
    }
}

impl Coming {
    /// `subject sid [reply] bytes`, and before the bytes those of the headers where there are any.
    fn parse(fields: &str, has_headers: bool) -> Result<Self, Fault> {
        let (mut found, mut count) = ([""; 5], 0);
        for field in fields.split([' ', '\t']).filter(|field| !field.is_empty()) {
            *found.get_mut(count).ok_or(NO_MESSAGE)? = field;
            count += 1;
        }
        let (channel, header_bytes, bytes) = match (has_headers, &found[..count]) {
            (false, [channel, _, bytes] | [channel, _, _, bytes]) => (*channel, "0", *bytes),
            (true, [channel, _, header, bytes] | [channel, _, _, header, bytes]) => {
                (*channel, *header, *bytes)
            }
            _ => return Err(NO_MESSAGE),
        };
        let (header_bytes, bytes) = (number(header_bytes)?, number(bytes)?);
        if header_bytes > bytes {
            return Err(NO_MESSAGE);
        }
        if bytes > MESSAGE_BYTES_MAX {
            return Err(TOO_LONG);
        }
        Ok(Self { channel: channel.into(), header_bytes, bytes })
    }
}

/// What stands behind the version in the first line of headers: three digits, where there is anything.
fn status(headers: &[u8]) -> Option<u16> {
    let behind = headers.strip_prefix(b"NATS/1.0 ")?;
    let (digits, rest) = behind.split_at_checked(3)?;
    let is_whole = !rest.first().is_some_and(u8::is_ascii_alphanumeric);
    let is_number = is_whole && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| 10 * number + u16::from(digit - b'0')))
}

fn number(text: &str) -> Result<usize, Fault> {
    // `parse` takes a plus.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NO_MESSAGE);
    }
    text.parse().map_err(|_| TOO_LONG)
}

impl Info {
    fn parse(text: &str) -> Result<Self, Fault> {
        let info = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
        let info = info.ok_or(Fault::answer("an INFO that is none"))?;
        let is = |name: &str| info.get(name).and_then(Value::as_bool).unwrap_or_default();
        let max = info.get("max_payload").and_then(Value::as_u64);
        let max = max.and_then(|max| usize::try_from(max).ok());
        let needs_tls = is("tls_required");
        let version = info.get("version").and_then(Value::as_str).unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse().unwrap_or_default());
        let mut number = || numbers.next().unwrap_or_default();
        Ok(Self {
            version: (number(), number()),
            message_bytes_max: max.unwrap_or(usize::MAX),
            has_tls: needs_tls || is("tls_available"),
            needs_tls,
            has_headers: is("headers"),
            is_leaving: is("ldm"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::error::{PubSubError, PubSubErrorKind};
    use proptest::prelude::*;

    /// All that is said, in pieces of so many bytes, and what it ends with.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Said>, Option<Fault>) {
        let (mut parser, mut said) = (Parser::default(), Vec::new());
        for piece in bytes.chunks(piece.max(1)) {
            parser.room().extend_from_slice(piece);
            loop {
                match parser.next() {
                    Ok(Some(next)) => said.push(next),
                    Ok(None) => break,
                    Err(fault) => return (said, Some(fault)),
                }
            }
        }
        (said, None)
    }

    fn message(channel: &str, payload: &'static str) -> Said {
        said(channel, payload, None)
    }

    fn said(channel: &str, payload: &str, status: Option<u16>) -> Said {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        Said::Message(Heard { message: BusMessage { channel: channel.into(), payload }, status })
    }

    /// BY-41: what a server says is the same however it is cut; of headers only the status is told.
    #[test]
    fn every_cut_reads_the_same() {
        let bytes = b"INFO {\"version\":\"2.9.10-x\",\"max_payload\":1000,\"tls_available\":true,\"ldm\":true} \r\n+OK\r\n\
            MSG a.b 1 5\r\nhello\r\nmsg\ta  2 \t reply  0\r\n\r\nHMSG c 3 12 14\r\nNATS/1.0\r\n\r\nhi\r\n\
            HMSG c 3 r 2 2\r\nxx\r\nHMSG e 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPING\r\npong\r\n\
            MSG d 4 2\r\n\r\n\r\n";
        let info = Info {
            version: (2, 9),
            message_bytes_max: 1000,
            has_tls: true,
            needs_tls: false,
            has_headers: false,
            is_leaving: true,
        };
        let expected = vec![
            Said::Info(info),
            message("a.b", "hello"),
            message("a", ""),
            message("c", "hi"),
            message("c", ""),
            said("e", "", Some(503)),
            Said::Ping,
            Said::Pong,
            message("d", "\r\n"),
        ];
        for piece in 1..=bytes.len() {
            let (said, fault) = read(bytes, piece);
            assert!(said == expected && fault.is_none(), "{piece}: {said:?} {fault:?}");
        }
        for end in 0..bytes.len() {
            let (said, fault) = read(&bytes[..end], 7);
            assert!(expected.starts_with(&said) && fault.is_none(), "{end}: {fault:?}");
        }
    }

    #[test]
    fn a_status_is_three_digits() {
        for (headers, expected) in [
            ("NATS/1.0 503\r\n\r\n", Some(503)),
            ("NATS/1.0 100 Idle Heartbeat\r\n\r\n", Some(100)),
            ("NATS/1.0 404", Some(404)),
            ("NATS/1.0\r\nStatus: 503\r\n\r\n", None),
            ("NATS/1.0 5032\r\n", None),
            ("NATS/1.0 +50\r\n", None),
            ("NATS/1.0 50", None),
            ("HTTP/1.1 503\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(headers.as_bytes()), expected, "{headers:?}");
        }
    }

    /// A29: what is none of the protocol ends it, and what is announced is bounded.
    #[test]
    fn a29_what_is_wrong_is_an_answer_that_is_none() {
        let long = format!("INFO {{\"a\":\"{}\"}}\r\n", "x".repeat(LINE_BYTES_MAX));
        for wrong in [
            "PING\n",
            "\r\n",
            "PINGS\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
            "MSG a 1\r\n",
            "MSG a 1 r 2 2\r\n",
            "MSG a 1 +2\r\n",
            "MSG a 1 -2\r\n",
            "MSG a 1 2x\r\n",
            "MSG a 1 67108865\r\n",
            "MSG a 1 99999999999999999999999\r\n",
            "MSG a 1 2\r\nabc\r\n",
            "MSG a 1 3\r\nab\r\n\r\n",
            "HMSG a 1 2\r\n",
            "HMSG a 1 3 2\r\n",
            "INFO\r\n",
            "INFO []\r\n",
            "INFO {\r\n",
            "-ERR 'what?'\r\n",
            &long,
            &"x".repeat(LINE_BYTES_MAX + 1),
        ] {
            for piece in [1, 5, wrong.len()] {
                let (said, fault) = read(wrong.as_bytes(), piece);
                let kind = fault.map(|fault| PubSubError::from(fault).kind());
                assert_eq!((said, kind), (vec![], Some(PubSubErrorKind::Answer)), "{wrong:.40}");
            }
        }
        assert!(read(&"x".repeat(LINE_BYTES_MAX).into_bytes(), 4096).1.is_none());
        assert!(read(b"MSG a 1 67108864\r\n", 100).1.is_none());
        let (said, fault) = read(b"MSG \xff 1 0\r\n\r\n", 100);
        assert!(said.is_empty() && fault.is_some());
    }

    /// A29, row 73: memory grows with what came, not with what was announced, and is given back.
    #[test]
    fn a29_a_length_alone_takes_no_memory() {
        let mut parser = Parser::default();
        parser.room().extend_from_slice(b"MSG a 1 67108864\r\n");
        assert_eq!(parser.next(), Ok(None));
        assert!(parser.room().capacity() < 128 * 1024, "{}", parser.room().capacity());
        let mut parser = Parser::default();
        parser.room().extend_from_slice(b"MSG a 1 1000000\r\n");
        for _ in 0..1000 {
            parser.room().extend_from_slice(&[b'x'; 1000]);
            assert_eq!(parser.next(), Ok(None));
        }
        assert!(parser.room().capacity() >= 1_000_000);
        parser.room().extend_from_slice(b"\r\n");
        assert!(matches!(parser.next(), Ok(Some(Said::Message(_)))));
        assert!(parser.room().capacity() < 128 * 1024, "{}", parser.room().capacity());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes, 3);
        }

        /// Any payload comes through, whatever it looks like.
        #[test]
        fn messages_come_through(payload in "(MSG a 1 2|\r\n|PING|[a-z]){0,20}", piece in 1..30_usize) {
            let text = format!("MSG a.b 1 {}\r\n{payload}\r\nPING\r\n", payload.len());
            let expected = vec![said("a.b", &payload, None), Said::Ping];
            prop_assert_eq!(read(text.as_bytes(), piece), (expected, None));
        }
    }
}
