//! The beginning of a response's body (RFC 9112 6, 7.1).

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use super::headers::only;
use super::tokens::elements;

/// Gathers the body of a response that was no 101, up to a bound.
///
/// What is malformed ends it: it is shown to people, nothing is done with it.
#[derive(Debug)]
pub(crate) struct BodyReader {
    bytes: Vec<u8>,
    /// `bytes.len() <= bytes_max`.
    bytes_max: usize,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    /// So many bytes are left; `u64::MAX` up to the end of the stream.
    Length(u64),
    /// In the line that says how long the next chunk is.
    ChunkSize {
        size: u64,
        is_extension: bool,
    },
    /// In a chunk, of which so many bytes are left.
    Chunk(u64),
    /// In the line end behind a chunk.
    ChunkEnd,
    Done,
}

impl BodyReader {
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, bytes_max: usize) -> Self {
        let is_chunked = || {
            let mut codings = elements(headers, TRANSFER_ENCODING);
            codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        };
        let framing = if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            Framing::Done
        } else if is_chunked() {
            Framing::ChunkSize { size: 0, is_extension: false }
        } else {
            let length = only(headers, CONTENT_LENGTH).and_then(|value| value.to_str().ok());
            Framing::Length(length.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
        };
        Self { bytes: Vec::new(), bytes_max, framing }
    }

    /// Whether no more bytes are wanted.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.framing, Framing::Done | Framing::Length(0))
            || self.bytes.len() == self.bytes_max
    }

    pub(crate) fn receive(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first()
            && !self.is_done()
        {
            match self.framing {
                Framing::Length(left) => {
                    bytes = self.keep(bytes, left);
                }
                Framing::Chunk(left) => {
                    bytes = self.keep(bytes, left);
                    if matches!(self.framing, Framing::Chunk(0)) {
                        self.framing = Framing::ChunkEnd;
                    }
                }
                Framing::ChunkSize { size, is_extension } => {
                    self.framing = next_in_size(size, is_extension, *first);
                    bytes = rest;
                }
                Framing::ChunkEnd => {
                    self.framing = match first {
                        b'\r' => Framing::ChunkEnd,
                        b'\n' => Framing::ChunkSize { size: 0, is_extension: false },
                        _ => Framing::Done,
                    };
                    bytes = rest;
                }
                Framing::Done => return,
            }
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Keeps what belongs to a part of which `left` bytes are to come; returns what is behind it.
    fn keep<'a>(&mut self, bytes: &'a [u8], left: u64) -> &'a [u8] {
        let room = self.bytes_max - self.bytes.len();
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()).min(room);
        let (kept, rest) = bytes.split_at(len);
        self.bytes.extend_from_slice(kept);
        match &mut self.framing {
            Framing::Length(left) | Framing::Chunk(left) => *left -= len as u64,
            _ => {}
        }
        rest
    }
}

fn next_in_size(size: u64, is_extension: bool, byte: u8) -> Framing {
    match byte {
        b'\n' if size == 0 => Framing::Done,
        b'\n' => Framing::Chunk(size),
        b'\r' | b';' => Framing::ChunkSize { size, is_extension: true },
        _ if is_extension => Framing::ChunkSize { size, is_extension },
        _ => {
            let digit = char::from(byte).to_digit(16).map(u64::from);
            let size = digit.and_then(|digit| size.checked_mul(16)?.checked_add(digit));
            size.map_or(Framing::Done, |size| Framing::ChunkSize { size, is_extension })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn reader(header: (HeaderName, &'static str), max: usize) -> BodyReader {
        let headers = [(header.0, HeaderValue::from_static(header.1))].into_iter().collect();
        BodyReader::new(StatusCode::UNAUTHORIZED, &headers, max)
    }

    fn body(header: &(HeaderName, &'static str), max: usize, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut whole = reader(header.clone(), max);
        whole.receive(bytes);
        for cut in 0..bytes.len() {
            let mut cut_reader = reader(header.clone(), max);
            cut_reader.receive(&bytes[..cut]);
            cut_reader.receive(&bytes[cut..]);
            assert_eq!((&cut_reader.bytes, cut_reader.is_done()), (&whole.bytes, whole.is_done()));
        }
        let is_done = whole.is_done();
        (whole.into_bytes(), is_done)
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let length = |text| (CONTENT_LENGTH, text);
        assert_eq!(body(&length("3"), 9, b"abcdef"), (b"abc".to_vec(), true));
        assert_eq!(body(&length("7"), 9, b"abcdef"), (b"abcdef".to_vec(), false));
        assert_eq!(body(&length("0"), 9, b"abcdef"), (vec![], true));
        assert_eq!(body(&length("1073741824"), 4, b"abcdef"), (b"abcd".to_vec(), true));
        assert_eq!(body(&length("x"), 9, b"abcdef"), (b"abcdef".to_vec(), false));
        let chunked = (TRANSFER_ENCODING, "gzip, Chunked");
        let bytes = b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nmore";
        assert_eq!(body(&chunked, 99, bytes), (b"abc0123456789".to_vec(), true));
        assert_eq!(body(&chunked, 5, bytes), (b"abc01".to_vec(), true));
        assert_eq!(body(&chunked, 99, b"3\r\nab"), (b"ab".to_vec(), false));
        assert_eq!(body(&chunked, 99, b"zz\r\nab"), (vec![], true));
        assert_eq!(body(&chunked, 99, b"3\r\nabcd"), (b"abc".to_vec(), true));
        assert_eq!(body(&chunked, 99, b"fffffffffffffffff\r\nab"), (vec![], true));
    }

    #[test]
    fn a_status_without_a_body_has_none() {
        assert!(BodyReader::new(StatusCode::NO_CONTENT, &HeaderMap::new(), 9).is_done());
        assert!(!BodyReader::new(StatusCode::OK, &HeaderMap::new(), 9).is_done());
    }

    proptest! {
        #[test]
        fn arbitrary_chunks_never_panic(bytes in prop::collection::vec(prop_oneof![
            4 => Just(b'\r'), 4 => Just(b'\n'), 4 => prop::sample::select(&b"0123aF;x"[..]), 1 => any::<u8>(),
        ], 0..64), max in 0usize..20) {
            let mut reader = reader((TRANSFER_ENCODING, "chunked"), max);
            reader.receive(&bytes);
            prop_assert!(reader.bytes.len() <= max);
        }
    }
}
