//! Small messages compressed and read again by another reader, whose memory is a ring as large as the
//! window: the same bytes, no longer than allowed, and no trace of the message before.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use sockeye::deflate::SmallDeflater;

use super::source::Source;

/// A byte for the window, one for how often the message is repeated, then the message: what is left of
/// it is the second message.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let window = 512 << (source.byte() % 7);
    let times = 1 + usize::from(source.byte() % 8);
    let message = source.rest();
    let mut deflater = SmallDeflater::new();
    for message in [&message.repeat(times)[..], &message[message.len() / 2..]] {
        let mut payload = Vec::new();
        deflater.deflate(message, window, &mut payload);
        assert!(inflate(&payload, window) == message, "another message");
        let pieces = message.len().div_ceil(SmallDeflater::INPUT_BYTES_MAX).max(1);
        assert!(payload.len() <= message.len() + 10 * pieces - 4, "{} bytes", payload.len());
        let mut again = Vec::new();
        SmallDeflater::new().deflate(message, window, &mut again);
        assert!(payload == again, "it depends on the message before");
    }
}

fn inflate(payload: &[u8], window: usize) -> Vec<u8> {
    let payload = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
    let (mut reader, mut ring) = (DecompressorOxide::new(), vec![0; window]);
    let (mut message, mut rest, mut at) = (Vec::new(), &payload[..], 0);
    loop {
        let (status, read, written) =
            decompress(&mut reader, rest, &mut ring, at, TINFL_FLAG_HAS_MORE_INPUT);
        message.extend_from_slice(&ring[at..at + written]);
        rest = &rest[read..];
        at = (at + written) % window;
        match status {
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput if rest.is_empty() => return message,
            status => panic!("{status:?} with {} bytes to come", rest.len()),
        }
    }
}
