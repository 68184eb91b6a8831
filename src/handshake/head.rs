//! Gathers the head of an HTTP/1.1 message, with limits (RFC 9112 2).
//!
//! ```text
//!               CRLF                  CRLF, empty line
//!  StartLine ----------> HeaderLine ------------------> Complete
//!      |                 ^  |   |
//!      |           CRLF  +--+   |  a limit, a bare CR or LF, a control, a folded line
//!      +------------------------+-----------------------------------> Refused
//! ```

use std::fmt;

use http::{Request, Response};

use super::parse::{parse_request, parse_response};
use super::plain::Plain;
use super::request_head::RequestHead;
use super::tokens::{is_white, text_bytes};
use super::{HandshakeError, Upgrade};

/// First room for a head: most requests of programs fit, a browser's takes one or two doublings.
const HEAD_BYTES_MIN: usize = 512;

const BARE_CR: HandshakeError = HandshakeError::Malformed("a CR without LF");

/// Bounds on an HTTP head. A limit is the last value that is still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Request line or status line, in bytes without its CRLF. Default: 8 KiB.
    pub start_line_bytes_max: usize,
    /// One header line, in bytes without its CRLF. Default: 8 KiB.
    pub header_line_bytes_max: usize,
    /// The whole head with every CRLF and the empty line, in bytes. Default: 16 KiB.
    pub head_bytes_max: usize,
    /// Header lines. Default: 100.
    pub headers_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            start_line_bytes_max: 8 << 10,
            header_line_bytes_max: 8 << 10,
            head_bytes_max: 16 << 10,
            headers_max: 100,
        }
    }
}

/// Gathers one head from pieces of any size, then parses it.
///
/// Every byte is looked at once as it comes, so a head in one-byte pieces costs no more looks than
/// a head in one piece. Memory: nothing before the first byte, then what came, doubling, at most
/// `head_bytes_max`. A limit or a forbidden byte shows in the call that brings it; after an error
/// the bytes are dropped and every later call repeats the error, so that nothing behind a refused
/// head is ever parsed. Source: RFC 9112 2, 5.
///
/// ```
/// use sockeye::handshake::{HeadLimits, HeadReader};
///
/// let mut head = HeadReader::new(HeadLimits::default());
/// assert_eq!(head.receive(b"GET /chat HTTP/1.1\r\nHost: exa")?, None);
/// assert_eq!(head.receive(b"mple.com\r\n\r\nframes")?, Some(12));
/// assert_eq!(head.request()?.uri().path(), "/chat");
/// # Ok::<(), sockeye::handshake::HandshakeError>(())
/// ```
pub struct HeadReader {
    limits: HeadLimits,
    /// `buffer.len() <= limits.head_bytes_max`, and so is what is asked of the allocator.
    buffer: Vec<u8>,
    /// Bytes of the line that is being read, its CR and LF not counted. At most that line's limit.
    line_bytes: usize,
    /// Bytes of the first line, when it is whole, its CRLF not counted.
    start_line_bytes: usize,
    /// Header lines begun.
    header_lines: usize,
    /// The last byte was a CR, so the next must be a LF.
    after_cr: bool,
    scan: Scan,
}

#[derive(Debug)]
enum Scan {
    StartLine,
    HeaderLine,
    Complete,
    Refused(HandshakeError),
}

impl HeadReader {
    /// A reader that holds nothing yet.
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            line_bytes: 0,
            start_line_bytes: 0,
            header_lines: 0,
            after_cr: false,
            scan: Scan::StartLine,
        }
    }

    /// Takes bytes up to and including the empty line.
    ///
    /// `Ok(None)`: all were taken and more are needed. `Ok(Some(n))`: the head is complete and its
    /// last byte was `bytes[n - 1]`; `bytes[n..]` were not touched, they follow the head. On a
    /// complete head it takes nothing: `Ok(Some(0))`.
    ///
    /// Errors: the limit crossed, or [`HandshakeError::Malformed`] for a bare CR or LF, a control
    /// byte, a folded header line or an empty first line (RFC 9112 2.2 lets a server skip one
    /// between requests; here nothing stands before the first).
    ///
    /// Cost: one pass over the bytes taken, one copy of them. Source: RFC 9112 2.2, 5.2.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<usize>, HandshakeError> {
        match &self.scan {
            Scan::Complete => return Ok(Some(0)),
            Scan::Refused(error) => return Err(error.clone()),
            Scan::StartLine | Scan::HeaderLine => {}
        }
        match self.scan_bytes(bytes) {
            Ok(taken) => {
                self.keep(&bytes[..taken]);
                Ok(self.is_complete().then_some(taken))
            }
            Err(error) => {
                self.buffer = Vec::new();
                self.scan = Scan::Refused(error.clone());
                Err(error)
            }
        }
    }

    /// Forgets the head and is ready for the next one, with the same limits and the same memory.
    pub fn clear(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        *self = Self { buffer, ..Self::new(self.limits) };
        self.buffer.clear();
    }

    /// Whether no byte came yet (or none since [`clear`](Self::clear)): a peer that closes now
    /// asked for nothing.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && matches!(self.scan, Scan::StartLine)
    }

    /// Whether the empty line came.
    pub fn is_complete(&self) -> bool {
        matches!(self.scan, Scan::Complete)
    }

    /// Parses the complete head as a request, as the server does.
    ///
    /// The result has an origin-form target (path and query) and exactly one valid `Host`. From a
    /// target in absolute form (`ws`, `wss`, `http`, `https`) the path is taken and the authority
    /// replaces `Host`, as RFC 9112 3.2.2 demands. HTTP/1.2 to 1.9 count as 1.1 (RFC 9110 2.5);
    /// HTTP/1.0 is refused with 505 like another major version, since RFC 6455 4.2.1 requires 1.1
    /// or higher. A GET that is no upgrade is fine here.
    ///
    /// Errors: [`Malformed`](HandshakeError::Malformed),
    /// [`HttpVersion`](HandshakeError::HttpVersion), [`Method`](HandshakeError::Method),
    /// [`Target`](HandshakeError::Target), [`Host`](HandshakeError::Host),
    /// [`Body`](HandshakeError::Body), the error of [`receive`](Self::receive) again, and
    /// [`Closed`](HandshakeError::Closed) while the head is not complete.
    ///
    /// Cost: one pass, a copy of each name that is not a standard one, and one copy of all values together:
    /// who keeps a clone of one value keeps that copy, at most `head_bytes_max`. Source: RFC 9112 3, 5, 6.3.
    pub fn request(&self) -> Result<Request<()>, HandshakeError> {
        let (line, block) = self.lines()?;
        parse_request(line, block, self.header_lines)
    }

    /// What [`request`](Self::request) gives, and what it is as an upgrade; where all is as it nearly always is, no map is
    /// made before somebody asks for it.
    pub(crate) fn into_request(
        self,
    ) -> Result<(RequestHead, Result<Upgrade, HandshakeError>), HandshakeError> {
        let (line, block) = self.lines()?;
        if let Some((plain, upgrade)) = Plain::read(line, block, self.header_lines) {
            return Ok((RequestHead::plain(plain, self.buffer), Ok(upgrade)));
        }
        let request = self.request()?;
        let upgrade = Upgrade::from_head(&request);
        Ok((request.into(), upgrade))
    }

    /// Parses the complete head as a response, as the client does.
    ///
    /// Any status from 100 to 599 is fine here; lengths of bodies are not looked at. The reason
    /// phrase is dropped. HTTP/1.0 is fine, too: gateways refuse in it; a 101 in it is none (see
    /// [`ClientHandshake::finish`](super::ClientHandshake::finish)).
    ///
    /// Errors: [`Malformed`](HandshakeError::Malformed),
    /// [`HttpVersion`](HandshakeError::HttpVersion) for another major version, the error
    /// of [`receive`](Self::receive) again, and [`Closed`](HandshakeError::Closed) while the head
    /// is not complete. Source: RFC 9112 4, 5.
    pub fn response(&self) -> Result<Response<()>, HandshakeError> {
        let (line, block) = self.lines()?;
        parse_response(line, block, self.header_lines)
    }

    /// The number of bytes of this piece that belong to the head.
    fn scan_bytes(&mut self, bytes: &[u8]) -> Result<usize, HandshakeError> {
        let limit_bytes = self.limits.head_bytes_max;
        let room = (limit_bytes - self.buffer.len()).min(bytes.len());
        let mut taken = 0;
        while taken < room {
            let text = &bytes[taken..taken + text_bytes(&bytes[taken..room])];
            if !text.is_empty() {
                self.add_to_line(text)?;
                taken += text.len();
            }
            match &bytes[taken..room] {
                [] => break,
                [b'\r', b'\n', ..] if !self.after_cr => {
                    self.end_line()?;
                    taken += 2;
                }
                [byte, ..] => {
                    self.scan_control(*byte)?;
                    taken += 1;
                }
            }
            if self.is_complete() {
                return Ok(taken);
            }
        }
        if room < bytes.len() {
            Err(HandshakeError::HeadTooLong { limit_bytes })
        } else {
            Ok(taken)
        }
    }

    fn scan_control(&mut self, byte: u8) -> Result<(), HandshakeError> {
        match (byte, self.after_cr) {
            (b'\n', true) => {
                self.after_cr = false;
                self.end_line()
            }
            (_, true) => Err(BARE_CR),
            (b'\r', false) => {
                self.after_cr = true;
                Ok(())
            }
            (b'\n', false) => Err(HandshakeError::Malformed("a LF without CR")),
            _ => Err(HandshakeError::Malformed("a control byte")),
        }
    }

    fn end_line(&mut self) -> Result<(), HandshakeError> {
        self.scan = match (&self.scan, self.line_bytes) {
            (Scan::StartLine, 0) => return Err(HandshakeError::Malformed("an empty start line")),
            (Scan::StartLine, len) => {
                self.start_line_bytes = len;
                Scan::HeaderLine
            }
            (_, 0) => Scan::Complete,
            _ => Scan::HeaderLine,
        };
        self.line_bytes = 0;
        Ok(())
    }

    /// Adds text, at least one byte, to the line that is being read.
    fn add_to_line(&mut self, text: &[u8]) -> Result<(), HandshakeError> {
        let HeadLimits { start_line_bytes_max, header_line_bytes_max, headers_max, .. } =
            self.limits;
        if self.after_cr {
            return Err(BARE_CR);
        }
        let is_start_line = matches!(self.scan, Scan::StartLine);
        if !is_start_line && self.line_bytes == 0 {
            if is_white(text[0]) {
                return Err(HandshakeError::Malformed("a folded header line"));
            }
            if self.header_lines == headers_max {
                return Err(HandshakeError::TooManyHeaders { limit: headers_max });
            }
            self.header_lines += 1;
        }
        let limit_bytes = if is_start_line { start_line_bytes_max } else { header_line_bytes_max };
        if text.len() <= limit_bytes - self.line_bytes {
            self.line_bytes += text.len();
            Ok(())
        } else if is_start_line {
            Err(HandshakeError::StartLineTooLong { limit_bytes })
        } else {
            Err(HandshakeError::HeaderLineTooLong { limit_bytes })
        }
    }

    /// Copies a piece that fits, doubling up to the limit and not beyond it.
    fn keep(&mut self, piece: &[u8]) {
        let needed = self.buffer.len() + piece.len();
        if needed > self.buffer.capacity() {
            let doubled =
                (self.buffer.capacity() * 2).max(HEAD_BYTES_MIN).min(self.limits.head_bytes_max);
            self.buffer.reserve_exact(doubled.max(needed) - self.buffer.len());
        }
        self.buffer.extend_from_slice(piece);
    }

    /// The start line, and the header lines with the empty line.
    fn lines(&self) -> Result<(&[u8], &[u8]), HandshakeError> {
        match &self.scan {
            Scan::Complete => {}
            Scan::Refused(error) => return Err(error.clone()),
            Scan::StartLine | Scan::HeaderLine => return Err(HandshakeError::Closed),
        }
        Ok(split(&self.buffer, self.start_line_bytes))
    }
}

/// The start line of a whole head, and the header lines with the empty line.
pub(super) fn split(head: &[u8], start_line_bytes: usize) -> (&[u8], &[u8]) {
    let (line, rest) = head.split_at(start_line_bytes);
    (line, rest.strip_prefix(b"\r\n").unwrap_or_default())
}

/// Shows how far the head came, not what it says: it may hold cookies and tokens.
impl fmt::Debug for HeadReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HeadReader")
            .field("scan", &self.scan)
            .field("head_bytes", &self.buffer.len())
            .field("header_lines", &self.header_lines)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] =
        b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nX-A:\t1 \r\nx-a: 2\r\n\r\n";

    fn read(bytes: &[u8]) -> Result<HeadReader, HandshakeError> {
        let mut head = HeadReader::new(HeadLimits::default());
        head.receive(bytes).map(|_| head)
    }

    #[test]
    fn nothing_is_allocated_before_the_first_byte_and_no_more_than_the_limit_after_it() {
        let limits =
            HeadLimits { head_bytes_max: 10_000, headers_max: 1_000, ..HeadLimits::default() };
        let mut head = HeadReader::new(limits);
        assert_eq!(head.receive(b""), Ok(None));
        assert_eq!(head.buffer.capacity(), 0);
        assert_eq!(head.receive(b"GET / HTTP/1.1\r\n"), Ok(None));
        assert_eq!(head.buffer.capacity(), HEAD_BYTES_MIN);
        while head.receive(b"a: 1234567890\r\n").is_ok() {
            assert!(head.buffer.len() <= limits.head_bytes_max);
            assert!(head.buffer.capacity() <= limits.head_bytes_max);
        }
        assert_eq!(head.buffer.capacity(), 0, "a refused head is dropped");
    }

    /// Row 7: the reader does not wait for the end of the head to refuse it.
    #[test]
    fn rfc_9112_s2_2_a_forbidden_byte_shows_at_once() {
        for (start, byte, rule) in [
            ("GET / HTTP/1.1", "\n", "a LF without CR"),
            ("GET / HTTP/1.1\r", "\r", "a CR without LF"),
            ("GET / HTTP/1.1\r", "X", "a CR without LF"),
            ("GET / HTTP/1.1\r\n", " ", "a folded header line"),
            ("GET / HTTP/1.1\r\nHost: a\r\n", "\t", "a folded header line"),
            ("GET /", "\0", "a control byte"),
            ("", "\x16", "a control byte"),
            ("\r", "\n", "an empty start line"),
        ] {
            let mut head = HeadReader::new(HeadLimits::default());
            assert_eq!(head.receive(start.as_bytes()), Ok(None), "{start:?}");
            let error = HandshakeError::Malformed(rule);
            assert_eq!(head.receive(byte.as_bytes()), Err(error.clone()));
            assert_eq!(read((start.to_owned() + byte).as_bytes()).unwrap_err(), error);
        }
    }

    #[test]
    fn every_cut_gives_the_same_request() {
        let whole = read(HEAD).unwrap().request().unwrap();
        for cut in 0..HEAD.len() {
            let mut head = read(&HEAD[..cut]).unwrap();
            assert_eq!(head.is_empty(), cut == 0);
            assert_eq!(head.request().unwrap_err(), HandshakeError::Closed);
            let rest = [&HEAD[cut..], b"frames"].concat();
            assert_eq!(head.receive(&rest), Ok(Some(HEAD.len() - cut)));
            assert_eq!(head.receive(b"frames"), Ok(Some(0)));
            let cut_request = head.request().unwrap();
            assert_eq!(cut_request.uri(), whole.uri());
            assert_eq!(cut_request.headers(), whole.headers());
        }
    }

    /// Looking at the bytes of every call again would take 10^13 looks here.
    #[test]
    fn a_long_head_in_single_bytes_is_looked_at_once() {
        let len = 4 << 20;
        let limits =
            HeadLimits { header_line_bytes_max: len, head_bytes_max: len, ..HeadLimits::default() };
        let mut head = HeadReader::new(limits);
        head.receive(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").unwrap();
        for _ in 0..len - 100 {
            assert_eq!(head.receive(b"x"), Ok(None));
        }
        assert_eq!(head.receive(b"\r\n\r\n"), Ok(Some(4)));
        assert_eq!(head.request().unwrap().headers()["x"].len(), len - 100);
    }

    #[test]
    fn a_cleared_reader_is_new() {
        let mut head = read(HEAD).unwrap();
        head.clear();
        assert!(head.is_empty() && !head.is_complete());
        assert_eq!(head.receive(HEAD), Ok(Some(HEAD.len())));
    }

    #[test]
    fn limits_are_the_last_value_taken() {
        let limits = HeadLimits {
            start_line_bytes_max: 16,
            header_line_bytes_max: 8,
            head_bytes_max: 50,
            headers_max: 3,
        };
        let first_error = |text: &str| {
            let mut head = HeadReader::new(limits);
            let error = text
                .bytes()
                .enumerate()
                .find_map(|(at, byte)| Some((at, head.receive(&[byte]).err()?)));
            let mut whole = HeadReader::new(limits);
            assert_eq!(
                whole.receive(text.as_bytes()).err(),
                error.clone().map(|(_, error)| error),
                "{text}"
            );
            error
        };
        assert_eq!(first_error("GET /23 HTTP/1.1\r\nHost: a2\r\n\r\n"), None);
        let error = HandshakeError::StartLineTooLong { limit_bytes: 16 };
        assert_eq!(first_error("GET /234 HTTP/1.1\r\n"), Some((16, error)));
        let error = HandshakeError::HeaderLineTooLong { limit_bytes: 8 };
        assert_eq!(first_error("GET / HTTP/1.1\r\nHost: abc"), Some((24, error)));
        let error = HandshakeError::TooManyHeaders { limit: 3 };
        assert_eq!(first_error("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\n"), Some((28, error)));
        // 16 + 10 + 10 + 10 and the last CRLF are 48.
        let line = "a: 12345\r\n";
        assert_eq!(first_error(&format!("GET / HTTP/1.1\r\n{line}{line}{line}\r\n")), None);
        let error = HandshakeError::HeadTooLong { limit_bytes: 50 };
        let mut head = HeadReader::new(HeadLimits { headers_max: 9, ..limits });
        assert_eq!(
            head.receive(format!("GET / HTTP/1.1\r\n{line}{line}{line}a: 1").as_bytes()),
            Ok(None)
        );
        assert_eq!(head.receive(b"2"), Err(error));
    }

    #[test]
    fn what_is_read_is_not_shown() {
        let head = read(b"GET /?token=marker HTTP/1.1\r\nCookie: marker\r\n\r\n").unwrap();
        assert!(!format!("{head:?}").contains("marker"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_cuts_change_nothing(
            bytes in prop::collection::vec(prop_oneof![
                4 => Just(&b"\r\n"[..]), 2 => Just(&b": "[..]), 2 => Just(&b"GET / HTTP/1.1"[..]),
                1 => Just(&b"HTTP/1.1 101"[..]), 4 => Just(&b"Host"[..]), 1 => Just(&b"\r"[..]),
                1 => Just(&b" "[..]), 1 => Just(&b"\xff"[..]), 1 => Just(&b"\0"[..]),
            ], 0..24).prop_map(|parts| parts.concat()),
            cut: prop::sample::Index,
        ) {
            let limits = HeadLimits { start_line_bytes_max: 40, header_line_bytes_max: 20, head_bytes_max: 80, headers_max: 3 };
            let mut whole = HeadReader::new(limits);
            let mut pieces = HeadReader::new(limits);
            let expected = whole.receive(&bytes);
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let cut = match pieces.receive(first) {
                Ok(None) => pieces.receive(second).map(|n| n.map(|n| n + first.len())),
                done => done,
            };
            prop_assert_eq!(cut, expected);
            prop_assert_eq!(whole.request().ok().map(|it| it.headers().clone()), pieces.request().ok().map(|it| it.headers().clone()));
            let _ = whole.response();
        }

        #[test]
        fn arbitrary_noise_never_panics(bytes: Vec<u8>) {
            if let Ok(head) = read(&bytes) {
                let _ = (head.request(), head.response());
            }
        }

    }
}
