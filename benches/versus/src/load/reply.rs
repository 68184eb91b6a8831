//! What a connection must receive: one frame, over and over.

use super::Result;
use super::payload::Payload;
use crate::frame;

/// One read in this many is compared byte by byte.
const SAMPLE: u32 = 16;

/// The expected frame.
pub struct Reply {
    frame: Vec<u8>,
    header_len: usize,
}

/// How far a connection is: `position < frame.len()` between two reads.
#[derive(Default)]
pub struct Cursor {
    position: usize,
    reads: u32,
}

impl Reply {
    pub fn new(payload: &Payload) -> Self {
        let frame = frame::server_frame(payload.first, &payload.bytes);
        Self { header_len: frame.len() - payload.bytes.len(), frame }
    }

    /// Takes what a read brought; returns how many replies it completes.
    ///
    /// # Errors
    /// The bytes are not what they must be.
    pub fn check(&self, cursor: &mut Cursor, mut bytes: &[u8]) -> Result<usize> {
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
            }
        }
        Ok(completed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Reply {
        Reply::new(&Payload { first: frame::BINARY, bytes: vec![5; 300] })
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
    fn a_wrong_length_is_found_in_every_read_and_wrong_content_in_the_sampled() {
        let reply = reply();
        let wrong = frame::server_frame(frame::BINARY, &[5; 299]);
        let mut cursor = Cursor { position: 0, reads: 1 };
        assert!(reply.check(&mut cursor, &wrong).is_err());
        let wrong = frame::server_frame(frame::BINARY, &[6; 300]);
        assert!(reply.check(&mut Cursor::default(), &wrong).is_err());
    }
}
