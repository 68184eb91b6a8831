//! What a peer can make an endpoint hold: memory follows what came, never what a header claims (RFC
//! 6455 10.4).
//!
//! One test, for the counters are those of the whole process.

mod support;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use sockeye::frame::{Frame, FrameHeader, Opcode};
use sockeye::protocol::{Role, State};

use support::pair::{End, ROLES, fragment, to};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const KIB: usize = 1024;

/// What is allocated now and was not when the region began.
fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

fn announce(role: Role, opcode: Opcode, payload_len: u64) -> Vec<u8> {
    let mut header = FrameHeader::new(opcode, payload_len);
    header.mask_key = (role == Role::Server).then_some([0; 4]);
    let mut bytes = [0; FrameHeader::BYTES_MAX];
    let len = header.encode(&mut bytes);
    bytes[..len].to_vec()
}

/// A header that announces the limit, and then one byte, reserve 64 KiB at most.
fn announced_length_is_not_reserved(role: Role) {
    for opcode in [Opcode::Text, Opcode::Binary] {
        let bytes = announce(role, opcode, 16 * 1024 * 1024);
        let mut end = End::new(role);
        let region = Region::new(ALLOCATOR);
        end.receive(&bytes);
        assert!(held(&region) <= 65 * KIB, "{} bytes for a header", held(&region));
        end.receive(b"x");
        assert!(held(&region) <= 65 * KIB, "{} bytes for one byte", held(&region));
        assert_eq!(end.state(), State::Open);
    }
}

/// While a message comes, at most four times what came is held, or 64 KiB; when it is gone,
/// nothing.
fn memory_follows_what_came(role: Role) {
    let mut end = End::new(role);
    let region = Region::new(ALLOCATOR);
    end.receive(&announce(role, Opcode::Binary, 8 * 1024 * 1024));
    let piece = vec![0; 8 * KIB];
    for pieces in 1..=1024 {
        end.receive(&piece);
        let came = pieces * piece.len();
        let allowed = (4 * came).max(64 * KIB) + 2 * KIB + piece.len();
        assert!(held(&region) <= allowed, "{} bytes held after {came}", held(&region));
    }
    end.receive(&to(role, &[Frame::ping("")]));
    end.flush();
    assert!(held(&region) <= piece.len() + KIB, "{} bytes held after the message", held(&region));
}

/// Row 24: floods of empty and of one-byte fragments cost what they carry.
fn fragments_cost_what_they_carry(role: Role) {
    let mut config = support::pair::quiet();
    config.empty_fragments_max = u32::MAX;
    config.fragments_max = u32::MAX;
    for payload in [&b""[..], b"x"] {
        let mut end = End::with(role, config.clone());
        end.receive(&to(role, &[fragment(Opcode::Binary, payload)]));
        let block = to(role, &vec![fragment(Opcode::Continuation, payload); 1_000]);
        let region = Region::new(ALLOCATOR);
        for _ in 0..500 {
            end.receive(&block);
        }
        let allowed = 4 * 500_000 * payload.len() + 2 * KIB;
        assert!(held(&region) <= allowed, "{} bytes held", held(&region));
        assert_eq!(end.state(), State::Open);
    }
}

/// Row 18: whatever was gathered is given back with the endpoint, at any point.
fn nothing_is_leaked(role: Role) {
    let bytes = to(
        role,
        &[
            fragment(Opcode::Text, &[b'x'; 300]),
            Frame::ping("p"),
            Frame::close(1000, "bye").expect("a code that may be sent"),
        ],
    );
    for cut in 0..bytes.len() {
        let region = Region::new(ALLOCATOR);
        let mut end = End::new(role);
        end.receive(&bytes[..cut]);
        drop(end);
        assert_eq!(held(&region), 0, "cut {cut}");
    }
}

/// Messages that lie whole in the block are borrowed: no allocation for any of them.
fn whole_messages_are_not_copied(role: Role) {
    let mut end = End::new(role);
    let messages =
        [Frame::text("x"), Frame::binary(vec![0; 60_000]), Frame::text(&"y".repeat(126))];
    let mut block = to(role, &messages).repeat(10);
    let region = Region::new(ALLOCATOR);
    let mut at = 0;
    while end.endpoint.receive(&mut block, &mut at, &mut end.out, 0).is_some() {}
    assert_eq!(region.change().allocations, 0);
    assert_eq!(at, block.len());
}

/// Row 18, row 24.
#[test]
fn s10_4_memory_follows_what_came() {
    for role in ROLES {
        announced_length_is_not_reserved(role);
        memory_follows_what_came(role);
        fragments_cost_what_they_carry(role);
        nothing_is_leaked(role);
        whole_messages_are_not_copied(role);
    }
}
