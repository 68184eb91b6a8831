//! What a process holds, before and after whole lives of all that is in it. It has the allocator of its test binary.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How long tasks that were told to end may take.
const ENDING: Duration = Duration::from_secs(30);

/// What may be left of a whole life: storage that grew with a burst and is kept, within its bounds.
const KEPT_BYTES_MAX: usize = 512 * 1024;

/// The same for the memory of the process, which the allocator holds back as it likes.
const KEPT_RSS_MAX: usize = 64 * 1024 * 1024;

/// What the process holds.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    rss: usize,
    descriptors: usize,
    tasks: usize,
}

impl Held {
    pub(crate) async fn now() -> Self {
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let ended = async {
            while tasks() > 0 {
                tokio::task::yield_now().await;
            }
        };
        // Who has been told to end does so; who has not is seen below.
        let _ = tokio::time::timeout(ENDING, ended).await;
        let stats = ALLOCATOR.stats();
        let pages = std::fs::read_to_string("/proc/self/statm").ok();
        let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            bytes: stats.bytes_allocated - stats.bytes_deallocated,
            rss: pages.unwrap_or(0) * 4096,
            descriptors,
            tasks: tasks(),
        }
    }

    /// As flat as it has to be.
    pub(crate) fn assert_as(&self, before: &Self) {
        assert!(self.bytes <= before.bytes + KEPT_BYTES_MAX, "{before:?} {self:?}");
        assert!(self.rss <= before.rss + KEPT_RSS_MAX, "{before:?} {self:?}");
        assert_eq!((self.descriptors, self.tasks), (before.descriptors, before.tasks));
    }
}
