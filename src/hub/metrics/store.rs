//! What an application counts that keeps its sessions in a store.

use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::sync::Ordering;

/// The store of an application's sessions at a moment, as one node sees it. Counters begin at zero with the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreSnapshot {
    /// Whether the last that was asked of the store was answered.
    pub is_up: bool,
    /// Records that were written.
    pub written: u64,
    /// Sessions that came here from their records.
    pub restored: u64,
    /// Sessions of this node that ended here because another node has them.
    pub taken_over: u64,
    /// Calls that the store did not answer, in time or at all, or had no room for.
    pub failed: u64,
    /// Records that are none, are too long, or are of another version.
    pub poisoned: u64,
    /// Messages that are not in a record, for it would be too long with them.
    pub left_out: u64,
}

/// The same, counted.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "for applications with a store")]
pub(crate) struct StoreCounters {
    pub(crate) is_up: AtomicBool,
    pub(crate) written: AtomicU64,
    pub(crate) restored: AtomicU64,
    pub(crate) taken_over: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) poisoned: AtomicU64,
    pub(crate) left_out: AtomicU64,
}

impl StoreCounters {
    pub(crate) fn snapshot(&self) -> StoreSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreSnapshot {
            is_up: self.is_up.load(Ordering::Relaxed),
            written: read(&self.written),
            restored: read(&self.restored),
            taken_over: read(&self.taken_over),
            failed: read(&self.failed),
            poisoned: read(&self.poisoned),
            left_out: read(&self.left_out),
        }
    }
}

impl StoreSnapshot {
    /// The counters as differences.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            is_up: self.is_up,
            written: self.written.saturating_sub(earlier.written),
            restored: self.restored.saturating_sub(earlier.restored),
            taken_over: self.taken_over.saturating_sub(earlier.taken_over),
            failed: self.failed.saturating_sub(earlier.failed),
            poisoned: self.poisoned.saturating_sub(earlier.poisoned),
            left_out: self.left_out.saturating_sub(earlier.left_out),
        }
    }

    /// Names, what they are, and values of those that only go up.
    pub(super) fn counters(&self) -> [(&'static str, &'static str, u64); 6] {
        [
            ("store_written_total", "Records of sessions that were written.", self.written),
            ("store_restored_total", "Sessions that came from their records.", self.restored),
            ("store_taken_over_total", "Sessions that another node has now.", self.taken_over),
            ("store_failed_total", "Calls that the store did not do.", self.failed),
            ("store_poisoned_total", "Records that make no sense.", self.poisoned),
            ("store_left_out_total", "Messages that a record had no room for.", self.left_out),
        ]
    }
}
