//! The headers that a server's handshake has rules for, found in one pass over the lines of a request.

use super::tokens::{is_token_byte, line_bytes, trim};

const CRLF: &[u8] = b"\r\n";

/// A name that is longer is none of ours, and left to the map.
const NAME_BYTES_MAX: usize = 1024;

/// The values of headers that stand there once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) host: Option<&'a [u8]>,
    pub(super) origin: Option<&'a [u8]>,
    pub(super) upgrade: Option<&'a [u8]>,
    pub(super) connection: Option<&'a [u8]>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) version: Option<&'a [u8]>,
    pub(super) protocol: Option<&'a [u8]>,
    pub(super) extensions: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Reads lines that a [`HeadReader`](super::HeadReader) has gathered. `None`: one is malformed, one of these headers is
    /// there twice, or a body is announced; whoever makes a map of them can tell.
    pub(super) fn read(mut block: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        loop {
            let (line, rest) = block.split_at(line_bytes(block));
            if line.is_empty() {
                return Some(fields);
            }
            let colon = line.iter().position(|&byte| !is_token_byte(byte))?;
            if colon == 0 || colon > NAME_BYTES_MAX || line[colon] != b':' {
                return None;
            }
            fields.take(&line[..colon], &line[colon + 1..])?;
            block = rest.strip_prefix(CRLF)?;
        }
    }

    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Option<()> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let field = match name.len() {
            4 if is("host") => &mut self.host,
            6 if is("origin") => &mut self.origin,
            7 if is("upgrade") => &mut self.upgrade,
            10 if is("connection") => &mut self.connection,
            14 if is("content-length") => return None,
            17 if is("sec-websocket-key") => &mut self.key,
            17 if is("transfer-encoding") => return None,
            21 if is("sec-websocket-version") => &mut self.version,
            22 if is("sec-websocket-protocol") => &mut self.protocol,
            24 if is("sec-websocket-extensions") => &mut self.extensions,
            _ => return Some(()),
        };
        field.replace(trim(value)).is_none().then_some(())
    }
}
