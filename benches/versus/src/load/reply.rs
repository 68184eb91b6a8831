//! What a connection must receive: one frame, over and over.

use super::Result;
use super::payload::Payload;
use crate::deflate::Deflate;
use crate::frame;

/// One read in this many is compared byte by byte.
const SAMPLE: u32 = 16;

/// The expected frame.
pub struct Reply {
    frame: Vec<u8>,
    header_len: usize,
    /// Frames are counted, whatever they hold.
    deflate: Option<Deflate>,
}

/// How far a connection is: `position < frame.len()` between two reads.
#[derive(Default)]
pub struct Cursor {
    position: usize,
    reads: u32,
    /// Of a frame that is only counted: what has come of its header, and what is missing of it.
    header: Vec<u8>,
    missing: usize,
    /// What has come of a ping.
    ping: Vec<u8>,
    /// The pongs that are due, as frames.
    pub pongs: Vec<u8>,
}

/// Pongs that may be due, in bytes: a server that pings on and takes none is none to be measured.
const PONGS_BYTES_MAX: usize = 64 * 1024;

impl Cursor {
    /// Between two messages, where a ping may stand.
    fn take_pings<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8]> {
        let is_between = self.position == 0 && self.header.is_empty() && self.missing == 0;
        while is_between && (!self.ping.is_empty() || bytes.first() == Some(&frame::PING)) {
            let [first, rest @ ..] = bytes else { break };
            self.ping.push(*first);
            bytes = rest;
            if let [_, len, payload @ ..] = &*self.ping
                && payload.len() == usize::from(*len)
            {
                let pong = frame::client_frame(frame::PONG, payload, [0; 4]);
                self.pongs.extend(pong);
                self.ping.clear();
            }
            if self.ping.len() > 2 + 125 || self.pongs.len() > PONGS_BYTES_MAX {
                return Err("a ping that is too long, or pings without end".into());
            }
        }
        Ok(bytes)
    }
}

impl Reply {
    pub fn new(payload: &Payload) -> Self {
        let frame = frame::server_frame(payload.first, &payload.messages[0]);
        let header_len = frame.len() - payload.messages[0].len();
        Self { header_len, frame, deflate: payload.deflate }
    }

    /// The compression that was asked for: replies are only counted.
    pub fn deflate(&self) -> Option<Deflate> {
        self.deflate
    }

    /// Takes what a read brought; returns how many replies it completes.
    ///
    /// # Errors
    /// The bytes are not what they must be.
    pub fn check(&self, cursor: &mut Cursor, mut bytes: &[u8]) -> Result<usize> {
        if self.deflate.is_some() {
            return count(cursor, bytes);
        }
        bytes = cursor.take_pings(bytes)?;
        let is_sample = cursor.reads.is_multiple_of(SAMPLE);
        cursor.reads = cursor.reads.wrapping_add(1);
        let mut completed = 0;
        while !bytes.is_empty() {
            let expected = &self.frame[cursor.position..];
            let len = expected.len().min(bytes.len());
            let compared = match cursor.position {
                _ if is_sample => len,
                position => len.min(self.header_len.saturating_sub(position)),
            };
            if bytes[..compared] != expected[..compared] {
                return Err(format!(
                    "a wrong reply: byte {} on of the frame, {:02x?}",
                    cursor.position,
                    &bytes[..compared.min(32)]
                )
                .into());
            }
            bytes = &bytes[len..];
            cursor.position += len;
            if cursor.position == self.frame.len() {
                cursor.position = 0;
                completed += 1;
                bytes = cursor.take_pings(bytes)?;
            }
        }
        Ok(completed)
    }
}

/// Counts whole frames.
fn count(cursor: &mut Cursor, mut bytes: &[u8]) -> Result<usize> {
    let mut completed = 0;
    loop {
        bytes = cursor.take_pings(bytes)?;
        let [first, rest @ ..] = bytes else { break };
        if cursor.missing > 0 {
            let len = cursor.missing.min(bytes.len());
            bytes = &bytes[len..];
            cursor.missing -= len;
            completed += usize::from(cursor.missing == 0);
            continue;
        }
        cursor.header.push(*first);
        bytes = rest;
        let payload_len = match *cursor.header {
            [_, len @ 0..=125] => usize::from(len),
            [_, 126, high, low] => usize::from(u16::from_be_bytes([high, low])),
            [_, 127, .., _, _] if cursor.header.len() == 10 => {
                cursor.header[2..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            }
            _ => continue,
        };
        if cursor.header[0] & 0x8f != frame::TEXT {
            return Err(format!("not a whole text message: {:02x?}", cursor.header).into());
        }
        cursor.header.clear();
        cursor.missing = payload_len;
        completed += usize::from(payload_len == 0);
    }
    Ok(completed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Reply {
        Reply::new(&Payload::plain(frame::BINARY, vec![5; 300]))
    }

    #[test]
    fn every_cut_of_two_replies_counts_two() {
        let reply = reply();
        let bytes = reply.frame.repeat(2);
        for cut in 0..bytes.len() {
            let mut cursor = Cursor::default();
            let first = reply.check(&mut cursor, &bytes[..cut]).unwrap();
            let second = reply.check(&mut cursor, &bytes[cut..]).unwrap();
            assert_eq!((first + second, cursor.position), (2, 0));
        }
    }

    #[test]
    fn every_cut_of_replies_with_pings_between_them_counts_and_answers() {
        let mut payload = Payload::plain(frame::TEXT, vec![5; 300]);
        for deflate in [None, Some(Deflate::NoContext)] {
            payload.deflate = deflate;
            let reply = Reply::new(&payload);
            let message = frame::server_frame(payload.first, &payload.messages[0]);
            let ping = frame::server_frame(frame::PING, b"here");
            let bytes = [&*ping, &message, &ping, &ping, &message].concat();
            for cut in 0..bytes.len() {
                let mut cursor = Cursor::default();
                let first = reply.check(&mut cursor, &bytes[..cut]).unwrap();
                let second = reply.check(&mut cursor, &bytes[cut..]).unwrap();
                assert_eq!((first + second, cursor.position), (2, 0));
                let pong = frame::client_frame(frame::PONG, b"here", [0; 4]);
                assert_eq!(cursor.pongs, pong.repeat(3));
            }
        }
    }

    #[test]
    fn a_wrong_length_is_found_in_every_read_and_wrong_content_in_the_sampled() {
        let reply = reply();
        let wrong = frame::server_frame(frame::BINARY, &[5; 299]);
        let mut cursor = Cursor { reads: 1, ..Cursor::default() };
        assert!(reply.check(&mut cursor, &wrong).is_err());
        let wrong = frame::server_frame(frame::BINARY, &[6; 300]);
        assert!(reply.check(&mut Cursor::default(), &wrong).is_err());
    }

    #[test]
    fn every_cut_of_frames_that_are_only_counted_counts_them() {
        let mut payload = Payload::plain(frame::TEXT, vec![5; 300]);
        payload.deflate = Some(Deflate::NoContext);
        let reply = Reply::new(&payload);
        let mut bytes = Vec::new();
        for len in [0, 1, 300, 70_000] {
            bytes.extend(frame::server_frame(frame::TEXT | frame::COMPRESSED, &vec![1; len]));
        }
        for cut in 0..bytes.len() {
            let mut cursor = Cursor::default();
            let first = reply.check(&mut cursor, &bytes[..cut]).unwrap();
            assert_eq!(first + reply.check(&mut cursor, &bytes[cut..]).unwrap(), 4);
        }
        assert!(reply.check(&mut Cursor::default(), &[0x88, 0]).is_err());
    }
}
