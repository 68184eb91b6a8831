//! The other side of a compressing end, made of flate2 alone: what it compresses and inflates owes nothing
//! to the code under test.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::sync::Arc;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use sockeye::deflate::{Deflate, DeflateParams};
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::{Endpoint, WriteBuffer};
use sockeye::{Config, Message, Role, WebSocket};
use tokio::net::{TcpListener, TcpStream};

use super::io::RawPeer;
use super::pair::{End, quiet};
use super::server::{Site, request_with};

/// What is taken off the end of a message (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A peer's compressor. Its window lives as long as it does.
pub(crate) struct Deflating(Compress);

impl Deflating {
    pub(crate) fn new(level: u32, window_bits: u8) -> Self {
        Self(Compress::new_with_window_bits(Compression::new(level), false, window_bits))
    }

    pub(crate) fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut out = self.flushed(payload, FlushCompress::Sync);
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    /// All of it, up to this kind of flush; nothing is taken off.
    pub(crate) fn flushed(&mut self, payload: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut out = Vec::with_capacity(payload.len() + payload.len() / 8 + 128);
        let before = self.0.total_in();
        self.0.compress_vec(payload, &mut out, flush).unwrap();
        assert_eq!(self.0.total_in() - before, payload.len() as u64);
        assert!(out.len() < out.capacity(), "all came out");
        out
    }
}

/// A message by itself.
pub(crate) fn deflated(payload: &[u8]) -> Vec<u8> {
    Deflating::new(6, 15).message(payload)
}

/// A peer's inflater.
pub(crate) struct Inflating(Decompress);

impl Inflating {
    pub(crate) fn new(window_bits: u8) -> Self {
        Self(Decompress::new_with_window_bits(false, window_bits))
    }

    /// `None`: it is no message.
    pub(crate) fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let input = [payload, &TAIL].concat();
        let (mut at, mut all) = (0, Vec::with_capacity(8 * input.len()));
        loop {
            let before = (self.0.total_in(), self.0.total_out());
            all.reserve(1024);
            let status =
                self.0.decompress_vec(&input[at..], &mut all, FlushDecompress::Sync).ok()?;
            at += (self.0.total_in() - before.0) as usize;
            assert_ne!(status, Status::StreamEnd, "no last block is written");
            if at == input.len() && all.len() < all.capacity() {
                return Some(all);
            }
            if (self.0.total_in(), self.0.total_out()) == before {
                return None;
            }
        }
    }
}

/// A frame with RSV1.
pub(crate) fn compressed(opcode: Opcode, payload: impl Into<Vec<u8>>) -> Frame {
    let mut frame = Frame::new(opcode, payload.into());
    frame.rsv1 = true;
    frame
}

/// A compressed message in fragments that end at `cuts`.
pub(crate) fn compressed_in(opcode: Opcode, payload: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let ends: Vec<usize> = cuts.iter().copied().chain([payload.len()]).collect();
    let mut start = 0;
    let piece = |(number, end): (usize, &usize)| {
        let opcode = if number == 0 { opcode } else { Opcode::Continuation };
        let mut frame = Frame::new(opcode, payload[start..*end].to_vec());
        (frame.fin, frame.rsv1) = (number + 1 == ends.len(), number == 0);
        start = *end;
        frame
    };
    ends.iter().enumerate().map(piece).collect()
}

/// What client and server agree on, each as it sees it.
pub(crate) fn agree(client: &Deflate, server: &Deflate) -> Option<(DeflateParams, DeflateParams)> {
    let offers = DeflateParams::offers(client);
    let offers = offers.iter().map(Vec::as_slice);
    let (at_server, answer) = DeflateParams::answer_first(server, offers)?;
    Some((DeflateParams::accept(client, &answer).expect("an answer to our offer"), at_server))
}

pub(crate) fn config(deflate: Deflate) -> Config {
    let mut config = quiet();
    config.deflate = deflate;
    config
}

/// Two connections behind a handshake.
pub(crate) fn ends<S>(
    streams: (S, S),
    client: &Deflate,
    server: &Deflate,
) -> (WebSocket<S>, WebSocket<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let socket = |stream, role, deflate: &Deflate, params: Option<&DeflateParams>| {
        let socket = WebSocket::from_stream(stream, role, &Arc::new(config(*deflate)));
        match params {
            Some(params) => socket.with_deflate(params),
            None => socket,
        }
    };
    let agreed = agree(client, server);
    let (at_client, at_server) = agreed.as_ref().map(|(a, b)| (a, b)).unzip();
    (
        socket(streams.0, Role::Client, client, at_client),
        socket(streams.1, Role::Server, server, at_server),
    )
}

pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// A client and a server with the same config.
pub(crate) fn ends_of(
    streams: (TcpStream, TcpStream),
    config: Config,
) -> (WebSocket<TcpStream>, WebSocket<TcpStream>) {
    let agreed = agree(&config.deflate, &config.deflate);
    let (at_client, at_server) = agreed.as_ref().map(|(a, b)| (a, b)).unzip();
    let config = Arc::new(config);
    let socket = |stream, role, params: Option<&DeflateParams>| {
        let socket = WebSocket::from_stream(stream, role, &config);
        match params {
            Some(params) => socket.with_deflate(params),
            None => socket,
        }
    };
    (socket(streams.0, Role::Client, at_client), socket(streams.1, Role::Server, at_server))
}

/// An endpoint that compresses and whose peer, with the other settings, does.
pub(crate) fn end(role: Role, own: &Deflate, peer: &Deflate) -> End {
    let (client, server) = if role == Role::Client { (own, peer) } else { (peer, own) };
    let (at_client, at_server) = agree(client, server).expect("both compress");
    let params = if role == Role::Client { at_client } else { at_server };
    end_with(role, config(*own), &params)
}

pub(crate) fn end_with(role: Role, config: Config, params: &DeflateParams) -> End {
    let endpoint = Endpoint::new(role, Arc::new(config), 0).with_deflate(params);
    End { endpoint, out: WriteBuffer::new(), now_ms: 0 }
}

/// The frames of what was written, reserved bits and all.
pub(crate) fn all_frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, len) = Frame::decode(bytes).expect("lawful").expect("whole");
        frames.push(frame);
        bytes = &bytes[len..];
    }
    frames
}

/// Bytes that nothing makes shorter.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// JSON of this length, and another for each number.
pub(crate) fn json(len: usize, number: usize) -> String {
    let rows = (0..).map(|row| format!("{{\"id\":{number},\"row\":{row},\"né\":\"salmon\"}},"));
    let mut text = String::new();
    for row in rows {
        if text.len() + row.len() > len {
            break;
        }
        text.push_str(&row);
    }
    text.extend(std::iter::repeat_n(' ', len - text.len()));
    text
}

/// Messages of many kinds and lengths, the longest of these.
pub(crate) fn messages(len_max: usize) -> Vec<Message> {
    let lens = [0, 1, 127, 128, 129, 1024, 16 * 1024, 65_536, 65_537, 70 * 1024, 300 * 1024];
    let mut all = Vec::new();
    for (number, len) in lens.into_iter().filter(|len| *len <= len_max).enumerate() {
        all.push(Message::text(json(len, number)));
        all.push(Message::binary(noise(len, number as u64)));
        all.push(Message::binary(vec![number as u8; len]));
    }
    // Those before come again: a window that was kept has them.
    let again: Vec<_> =
        all.iter().filter(|message| message.as_bytes().len() < 65_537).cloned().collect();
    all.extend(again);
    all
}

/// A raw client that has compression agreed on, by this line of its request.
pub(crate) async fn offering(site: &mut Site, line: &str) -> RawPeer<TcpStream> {
    let line = format!("Sec-WebSocket-Extensions: {line}");
    let reply = site.request(&request_with("Sec-WebSocket-Extensions", &[&line])).await;
    let answer = reply.header("Sec-WebSocket-Extensions").unwrap_or_default();
    assert!(answer.starts_with("permessage-deflate"), "{line}: {}", reply.head);
    reply.into_peer()
}

/// How far back a message refers at most, read by hand (RFC 1951 3.2): inflaters are lenient about it.
pub(crate) fn farthest_match(payload: &[u8]) -> usize {
    let mut bits = Bits { bytes: [payload, &TAIL].concat(), at: 0 };
    let mut farthest = 0;
    while bits.at + 10 < 8 * bits.bytes.len() {
        assert_eq!(bits.take(1), 0, "no block is the last");
        match bits.take(2) {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let len = bits.take(16);
                assert_eq!(bits.take(16), len ^ 0xffff);
                bits.at += 8 * len;
            }
            1 => {
                let lens = (0..288).map(|symbol| match symbol {
                    144..256 => 9,
                    256..280 => 7,
                    _ => 8,
                });
                farthest = farthest.max(bits.block(&Codes::new(lens), &Codes::new([5; 30])));
            }
            _ => {
                let (literals, distances) = bits.codes();
                farthest = farthest.max(bits.block(&literals, &distances));
            }
        }
    }
    farthest
}

/// How many codes of each length there are, and their symbols in order.
struct Codes {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Codes {
    fn new(lens: impl IntoIterator<Item = usize>) -> Self {
        let lens: Vec<usize> = lens.into_iter().collect();
        let mut counts = [0; 16];
        lens.iter().for_each(|len| counts[*len] += 1);
        let mut symbols: Vec<usize> = (0..lens.len()).filter(|symbol| lens[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| lens[*symbol]);
        counts[0] = 0;
        Self { counts, symbols }
    }
}

struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn take(&mut self, count: usize) -> usize {
        let bit = |at: usize| usize::from(self.bytes[at / 8] >> (at % 8) & 1);
        let value = (0..count).map(|index| bit(self.at + index) << index).sum();
        self.at += count;
        value
    }

    fn symbol(&mut self, codes: &Codes) -> usize {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for len in 1..16 {
            code |= self.take(1);
            let count = codes.counts[len];
            if code < first + count {
                return codes.symbols[index + code - first];
            }
            (index, first, code) = (index + count, (first + count) << 1, code << 1);
        }
        panic!("no code");
    }

    /// The codes of a block that brings its own.
    fn codes(&mut self) -> (Codes, Codes) {
        let (literals, distances) = (257 + self.take(5), 1 + self.take(5));
        let count = 4 + self.take(4);
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let mut lens = [0; 19];
        order[..count].iter().for_each(|symbol| lens[*symbol] = self.take(3));
        let codes = Codes::new(lens);
        let mut lens = Vec::new();
        while lens.len() < literals + distances {
            let (len, count) = match self.symbol(&codes) {
                16 => (lens[lens.len() - 1], 3 + self.take(2)),
                17 => (0, 3 + self.take(3)),
                18 => (0, 11 + self.take(7)),
                len => (len, 1),
            };
            lens.extend(std::iter::repeat_n(len, count));
        }
        let of_distances = lens.split_off(literals);
        (Codes::new(lens), Codes::new(of_distances))
    }

    /// The farthest match of a block.
    fn block(&mut self, literals: &Codes, distances: &Codes) -> usize {
        let mut farthest = 0;
        loop {
            match self.symbol(literals) {
                256 => return farthest,
                0..256 => continue,
                length => self.take(match length {
                    265..285 => (length - 261) / 4,
                    _ => 0,
                }),
            };
            let symbol = self.symbol(distances);
            let extra = (symbol / 2).saturating_sub(1);
            let base = if symbol < 4 { symbol } else { (2 + symbol % 2) << extra };
            farthest = farthest.max(1 + base + self.take(extra));
        }
    }
}
