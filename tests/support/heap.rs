//! Counts the bytes of the heap: for tests that bound what an attack may cost.
//!
//! The counters are those of the whole process, server, attackers and all. So the tests of a binary
//! that has this module take turns.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static TURN: Mutex<()> = Mutex::const_new(());

/// The heap of a test that has its turn.
pub(crate) struct Heap {
    region: Region<'static, System>,
    _turn: MutexGuard<'static, ()>,
}

impl Heap {
    /// Waits for its turn.
    pub(crate) async fn turn() -> Self {
        let turn = TURN.lock().await;
        Self { region: Region::new(ALLOCATOR), _turn: turn }
    }

    /// What is held from now on is counted.
    pub(crate) fn begin(&mut self) {
        self.region.reset();
    }

    /// What is allocated now and was not when it began.
    pub(crate) fn held(&self) -> usize {
        let change = self.region.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated)
    }

    /// Allocations since it began, and their bytes.
    pub(crate) fn allocated(&self) -> (usize, usize) {
        let change = self.region.change();
        (change.allocations + change.reallocations, change.bytes_allocated)
    }

    #[track_caller]
    pub(crate) fn assert_held(&self, bytes_max: usize, what: &str) {
        let held = self.held();
        println!("{what}: {held} bytes");
        assert!(held <= bytes_max, "{what}: {held} bytes are held, {bytes_max} may be");
    }
}
