//! HTTP/2 by hand: frames that no library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::server::within;

/// Kinds of frames (RFC 9113 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const WINDOW: u16 = 4;

/// What came.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) kind: u8,
    pub(crate) flags: u8,

    pub(crate) payload: Vec<u8>,
}

impl Came {
    /// Whether it is a head that begins with a status of 200, which is one byte (RFC 7541 A).
    pub(crate) fn is_ok(&self) -> bool {
        self.kind == HEADERS && self.payload[0] == 0x88
    }
}

/// A client that is no good.
pub(crate) struct RawHttp2(TcpStream);

impl RawHttp2 {
    /// With so many bytes that the server may send on a stream before it has to wait.
    pub(crate) async fn connect(address: SocketAddr, window: u32) -> Self {
        let mut raw = Self(within(TcpStream::connect(address)).await.unwrap());
        raw.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut settings = WINDOW.to_be_bytes().to_vec();
        settings.extend(window.to_be_bytes());
        raw.send(SETTINGS, 0, 0, &settings).await;
        raw
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        within(self.0.write_all(&frame)).await.unwrap();
    }

    /// A head: names and values, none compressed.
    pub(crate) async fn head(&mut self, flags: u8, stream: u32, fields: &[(&str, &str)]) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS | flags, stream, &block).await;
    }

    /// A lawful extended CONNECT, and these fields.
    pub(crate) async fn ask(&mut self, stream: u32, path: &str, more: &[(&str, &str)]) {
        let mut fields = vec![
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("sec-websocket-version", "13"),
        ];
        fields.extend(more);
        self.head(0, stream, &fields).await;
    }

    /// What comes next on a stream, or the end of the connection. Settings are acknowledged.
    pub(crate) async fn next(&mut self, stream: u32) -> Option<Came> {
        loop {
            let mut head = [0; 9];
            within(self.0.read_exact(&mut head)).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            within(self.0.read_exact(&mut payload)).await.ok()?;
            let (kind, flags) = (head[3], head[4]);
            let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if kind == SETTINGS && flags == 0 {
                self.send(SETTINGS, 1, 0, &[]).await;
            }
            if of == stream || kind == GOAWAY {
                return Some(Came { kind, flags, payload });
            }
        }
    }

    /// Asks, and is let in.
    pub(crate) async fn open(&mut self, stream: u32, path: &str) {
        self.ask(stream, path, &[]).await;
        let head = self.next(stream).await.unwrap();
        assert!(head.is_ok(), "{head:?}");
    }
}

/// A short WebSocket frame of a client, whose mask is zero.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(payload);
    frame
}
