//! The replies to all that one read brought, built in the block that was read into.

use std::ops::Range;

use super::{Gone, IN_PLACE_BYTES};
use crate::frame::{self, Header, Parsed};

/// The replies to one read. Emptied and used again for the next.
#[derive(Default)]
pub struct Batch {
    /// Where the replies lie in the block, in order. Adjacent ones are one.
    segments: Vec<Range<usize>>,
    /// Replies to control frames, for the sender alone.
    pub control: Vec<u8>,
    /// A close frame came: nothing after it counts.
    pub is_closed: bool,
    /// A frame came that is only a part of a message.
    pub has_fragment: bool,
}

/// What is left of a block: a frame that is not complete.
pub struct Rest {
    /// Where it begins.
    pub start: usize,
    /// Its header, where that is complete.
    pub header: Option<Header>,
}

impl Batch {
    pub fn clear(&mut self) {
        self.segments.clear();
        self.control.clear();
        self.is_closed = false;
        self.has_fragment = false;
    }

    /// Turns the complete frames of `block` into replies, where they lie.
    ///
    /// # Errors
    /// The peer broke the protocol.
    pub fn take(&mut self, block: &mut [u8]) -> Result<Rest, Gone> {
        let mut start = 0;
        // written <= start: a reply is four bytes shorter than its frame.
        let mut open = 0..0;
        let header = loop {
            if self.is_closed {
                start = block.len();
            }
            let header = match frame::parse(&block[start..]) {
                Parsed::Incomplete => break None,
                Parsed::Invalid => return Err(Gone),
                Parsed::Header(header) => header,
            };
            if block.len() - start < header.frame_len() {
                break Some(header);
            }
            if header.is_control() {
                self.answer(header, &mut block[start + header.len..][..header.payload_len]);
            } else {
                self.has_fragment |= header.first != frame::TEXT && header.first != frame::BINARY;
                if open.is_empty() || header.payload_len >= IN_PLACE_BYTES {
                    self.push(open);
                    open = start + 4..start + 4;
                }
                open.end = reply(block, start, open.end, header);
            }
            start += header.frame_len();
        };
        self.push(open);
        Ok(Rest { start, header })
    }

    fn push(&mut self, segment: Range<usize>) {
        if !segment.is_empty() {
            self.segments.push(segment);
        }
    }

    fn answer(&mut self, header: Header, payload: &mut [u8]) {
        frame::unmask(payload, header.key, 0);
        match header.first {
            frame::CLOSE => {
                self.is_closed = true;
                self.control.extend(frame::server_frame(frame::CLOSE, payload));
            }
            frame::PING => self.control.extend(frame::server_frame(frame::PONG, payload)),
            _ => {}
        }
    }

    /// The replies, in order, as they lie in `block`.
    pub fn segments<'a>(&self, block: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.segments.iter().map(|range| &block[range.clone()])
    }

    /// How many pieces the replies lie in.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }
}

/// Writes the reply to the frame at `start` to `to`; returns where it ends.
#[inline]
fn reply(block: &mut [u8], start: usize, to: usize, header: Header) -> usize {
    let from = start + header.len;
    let payload_at = to + frame::write_header(&mut block[to..], header.first, header.payload_len);
    frame::unmask_down(block, from, payload_at, header.payload_len, header.key);
    payload_at + header.payload_len
}

#[cfg(test)]
mod tests {
    use super::*;
    use frame::{BINARY, PING, TEXT, client_frame, server_frame};

    const KEY: [u8; 4] = [9, 80, 7, 255];

    fn replies(batch: &Batch, block: &[u8]) -> Vec<u8> {
        batch.segments(block).collect::<Vec<_>>().concat()
    }

    #[test]
    fn every_cut_of_the_input_gives_the_same_replies() {
        let payloads = [vec![1; 16], vec![], vec![2; 3000], vec![3; 200], vec![4; 5]];
        let input: Vec<u8> =
            payloads.iter().flat_map(|payload| client_frame(BINARY, payload, KEY)).collect();
        let expected: Vec<u8> =
            payloads.iter().flat_map(|payload| server_frame(BINARY, payload)).collect();
        for cut in 0..=input.len() {
            let mut batch = Batch::default();
            let mut first = input[..cut].to_vec();
            let rest = batch.take(&mut first).unwrap();
            let mut output = replies(&batch, &first);
            let mut second = [&first[rest.start..], &input[cut..]].concat();
            batch.clear();
            assert_eq!(batch.take(&mut second).unwrap().start, second.len());
            output.extend(replies(&batch, &second));
            assert_eq!(output, expected);
        }
    }

    #[test]
    fn small_replies_are_adjacent_and_control_frames_stand_apart() {
        let mut block = [
            client_frame(TEXT, b"ab", KEY),
            client_frame(PING, b"p", KEY),
            client_frame(TEXT, b"cd", KEY),
        ]
        .concat();
        let mut batch = Batch::default();
        batch.take(&mut block).unwrap();
        assert_eq!(batch.segment_count(), 1);
        let expected = [server_frame(TEXT, b"ab"), server_frame(TEXT, b"cd")].concat();
        assert_eq!(replies(&batch, &block), expected);
        assert_eq!(batch.control, server_frame(frame::PONG, b"p"));
    }
}
