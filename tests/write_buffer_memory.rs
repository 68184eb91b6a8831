//! One test alone in its binary: it counts the allocator's bytes.

use std::alloc::System;

use sockeye::protocol::WriteBuffer;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Row 27: a buffer that never quite empties holds what waits, not all it ever carried.
#[test]
fn write_buffer_that_never_drains_does_not_grow() {
    let mut out = WriteBuffer::new();
    out.extend_from_slice(&[0; 100]);
    let region = Region::new(ALLOCATOR);
    for _ in 0..1_000_000 {
        out.extend_from_slice(&[0; 100]);
        out.advance(100);
    }
    assert_eq!(out.len(), 100);
    let change = region.change();
    let held = change.bytes_allocated as i64 - change.bytes_deallocated as i64;
    assert!(held < 1 << 20, "{held} bytes for 100");
}
