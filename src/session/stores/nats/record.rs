//! A record as it is in a bucket.

use std::time::Duration;

use bytes::{Buf as _, Bytes};

use crate::session::stores::session_store::Put;

/// The first byte: the format.
const FORMAT: u8 = 1;

/// Before the bytes.
const HEAD_BYTES: usize = 17;

/// What is added to a record's bytes on the wire at the most, headers included.
pub(super) const AROUND_BYTES: usize = 256;

/// The longest that a record is kept: a year.
const KEEP_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// ```text
///   1 byte   8 bytes   8 bytes
///   format   epoch     ms        bytes     numbers with the highest byte first
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// 1 or more.
    pub(super) epoch: u64,
    /// How long it is kept, from the time on that the server has noted with it.
    pub(super) keep_for: Duration,
    pub(super) bytes: Bytes,
}

/// How long a record is kept for which this was asked, to the millisecond.
pub(super) fn kept_for(keep_for: Duration) -> Duration {
    let ms = keep_for.clamp(Duration::from_millis(1), KEEP_MAX).as_millis();
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

pub(super) fn encode(put: &Put) -> Vec<u8> {
    let keep_ms = u64::try_from(kept_for(put.keep_for).as_millis()).unwrap_or(u64::MAX);
    let mut value = Vec::with_capacity(HEAD_BYTES + put.bytes.len());
    value.push(FORMAT);
    value.extend_from_slice(&put.epoch.to_be_bytes());
    value.extend_from_slice(&keep_ms.to_be_bytes());
    value.extend_from_slice(&put.bytes);
    value
}

/// `None` for what nobody here has written.
pub(super) fn decode(mut value: Bytes) -> Option<Written> {
    if value.len() < HEAD_BYTES || value.get_u8() != FORMAT {
        return None;
    }
    let (epoch, keep_for) = (value.get_u64(), Duration::from_millis(value.get_u64()));
    (epoch > 0 && keep_for <= KEEP_MAX).then_some(Written { epoch, keep_for, bytes: value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(epoch: u64, keep_for: Duration, bytes: &[u8]) -> Put {
        Put { expected: 0, epoch, bytes: Bytes::copy_from_slice(bytes), keep_for }
    }

    #[test]
    fn a_record_is_kept_for_a_time_that_makes_sense() {
        for (asked, kept) in [
            (Duration::ZERO, Duration::from_millis(1)),
            (Duration::from_micros(2_500), Duration::from_millis(2)),
            (Duration::MAX, KEEP_MAX),
        ] {
            assert_eq!(kept_for(asked), kept);
            let decoded = decode(encode(&put(1, asked, b"")).into()).unwrap();
            assert_eq!(decoded.keep_for, kept);
        }
    }

    #[test]
    fn what_nobody_has_written_is_none() {
        let good = encode(&put(7, Duration::from_secs(1), b"bytes"));
        for cut in 0..HEAD_BYTES {
            assert_eq!(decode(Bytes::copy_from_slice(&good[..cut])), None);
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            decode(bad.into())
        };
        assert!(with(0, 2).is_none(), "another format");
        assert!(with(8, 0).is_none(), "no epoch");
        assert!(with(9, 1).is_none(), "for too long");
    }

    proptest! {
        #[test]
        fn records_come_back(epoch in 1u64.., ms in 1u64..1_000_000, bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let keep_for = Duration::from_millis(ms);
            let value = encode(&put(epoch, keep_for, &bytes));
            prop_assert!(value.len() <= bytes.len() + AROUND_BYTES);
            prop_assert_eq!(decode(value.into()), Some(Written { epoch, keep_for, bytes: bytes.into() }));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            decode(bytes.into());
        }
    }
}
