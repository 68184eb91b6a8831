//! What waits to be written: bytes that were copied in and payloads that were not, in order, however little of it leaves.

use std::io::IoSlice;

use proptest::prelude::*;
use sockeye::Message;
use sockeye::protocol::Role;

use crate::support::pair::End;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A message of so many bytes; from 16 KiB on its payload is not copied.
    Send(usize),
    /// So many bytes leave.
    Advance(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0_usize..400).prop_map(Op::Send),
        2 => (16_000_usize..24_000).prop_map(Op::Send),
        4 => (1_usize..12_000).prop_map(Op::Advance),
        1 => (1_usize..80_000).prop_map(Op::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// MS-01: after each operation the buffer is what was encoded and has not left, as slices and as a first slice.
    #[test]
    fn what_waits_is_what_was_encoded(ops in prop::collection::vec(op(), 1..80)) {
        let (mut end, mut twin) = (End::new(Role::Server), End::new(Role::Server));
        let mut model: Vec<u8> = Vec::new();
        for (number, op) in ops.into_iter().enumerate() {
            match op {
                Op::Send(len) => {
                    let message = Message::binary(vec![number as u8; len]);
                    end.endpoint.send_owned(&message, &mut end.out).unwrap();
                    twin.endpoint.send_owned(&message, &mut twin.out).unwrap();
                    model.extend(twin.flush());
                }
                Op::Advance(len) => {
                    let len = len.min(model.len());
                    end.out.advance(len);
                    model.drain(..len);
                }
            }
            prop_assert_eq!((end.out.len(), end.out.is_empty()), (model.len(), model.is_empty()));
            let first = end.out.first();
            prop_assert_eq!(first.is_empty(), model.is_empty());
            prop_assert!(model.starts_with(first));
            let mut slices = [IoSlice::new(&[]); 256];
            let filled = end.out.fill_slices(&mut slices);
            let waiting: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            prop_assert!(waiting == model, "{} bytes in {filled} slices", waiting.len());
        }
    }
}
