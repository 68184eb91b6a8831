//! Counts the bytes of the heap: for tests that bound what an attack may cost.
//!
//! The counters are those of the whole process, server, attackers and all. So the tests of a binary
//! that has this module take turns.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::alloc::System;
use std::thread;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::{Mutex, MutexGuard};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static TURN: Mutex<()> = Mutex::const_new(());

/// So long nothing is allocated before exact counts begin, and so long that is waited for.
const QUIET_FOR: Duration = Duration::from_millis(50);
const QUIET_WITHIN: Duration = Duration::from_secs(10);

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

    /// The same, once nothing else allocates: for exact counts in a program of one test. The thread that started
    /// the test still notes that it did.
    pub(crate) async fn alone() -> Self {
        let mut heap = Self::turn().await;
        let end = Instant::now() + QUIET_WITHIN;
        loop {
            heap.begin();
            thread::sleep(QUIET_FOR);
            let (allocations, _) = heap.allocated();
            if allocations == 0 {
                return heap;
            }
            assert!(Instant::now() < end, "something allocates: {allocations} in {QUIET_FOR:?}");
        }
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
