//! The store within this process.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::BoxFuture;
use crate::sync::{Arc, Mutex};

use super::error::{StoreError, StoreErrorKind};
use super::session_store::{Put, Record, SessionStore, Wrote};

/// What a record costs beside its bytes, in bytes.
const RECORD_BYTES: usize = 192;

/// The longest that a record is kept.
const KEEP_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A store in memory: all applications that are given clones of it share their sessions. It outlives the applications, not
/// the process: for nodes in one process, and for tests. A put for which there is no room is refused with
/// [`StoreErrorKind::Full`].
#[derive(Clone)]
pub struct MemoryStore {
    table: Arc<Mutex<Table>>,
    records_max: usize,
    bytes_max: usize,
}

/// Each record has one place in `ends`. `bytes` is what all of them cost.
#[derive(Default)]
struct Table {
    records: HashMap<Arc<str>, Kept>,
    ends: BTreeMap<(Instant, u64), Arc<str>>,
    next_place: u64,
    bytes: usize,
}

struct Kept {
    record: Record,
    place: (Instant, u64),
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// A store without records, for up to 65,536 of them and 256 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(65_536, 256 * 1024 * 1024)
    }

    /// One for so many records, and so many bytes: those of the records, and 192 for each.
    #[must_use]
    pub fn bounded(records_max: usize, bytes_max: usize) -> Self {
        Self { table: Arc::default(), records_max, bytes_max }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.now().records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they cost, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.now().bytes
    }

    /// Without what is over.
    fn now(&self) -> crate::sync::MutexGuard<'_, Table> {
        let mut table = self.table.lock();
        table.expire(Instant::now());
        table
    }

    fn write(&self, id: &str, put: Put) -> Result<Wrote, StoreError> {
        let mut table = self.now();
        let before = table.records.get(id);
        let epoch = before.map_or(0, |kept| kept.record.epoch);
        if epoch != put.expected {
            return Ok(if epoch == 0 { Wrote::Missing } else { Wrote::Taken });
        }
        let cost = cost(put.bytes.len());
        let freed = before.map_or(0, |kept| self::cost(kept.record.bytes.len()));
        let is_full = before.is_none() && table.records.len() >= self.records_max;
        if is_full || (table.bytes - freed).saturating_add(cost) > self.bytes_max {
            return Err(StoreError::new(StoreErrorKind::Full));
        }
        table.remove(id);
        table.add(id.into(), put);
        Ok(Wrote::Done)
    }
}

const fn cost(bytes: usize) -> usize {
    bytes + RECORD_BYTES
}

impl Table {
    fn expire(&mut self, now: Instant) {
        while let Some(first) = self.ends.first_entry()
            && first.key().0 <= now
        {
            let id = first.get().clone();
            self.remove(&id);
        }
    }

    fn add(&mut self, id: Arc<str>, put: Put) {
        let until = Instant::now() + put.keep_for.min(KEEP_MAX);
        let place = (until, self.next_place);
        self.next_place += 1;
        self.bytes += cost(put.bytes.len());
        self.ends.insert(place, id.clone());
        let record = Record { epoch: put.epoch, bytes: put.bytes };
        self.records.insert(id, Kept { record, place });
    }

    fn remove(&mut self, id: &str) {
        if let Some(kept) = self.records.remove(id) {
            self.ends.remove(&kept.place);
            self.bytes -= cost(kept.record.bytes.len());
        }
    }
}

impl SessionStore for MemoryStore {
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move { Ok(self.now().records.get(id).map(|kept| kept.record.clone())) })
    }

    fn put<'a>(&'a self, id: &'a str, put: Put) -> BoxFuture<'a, Result<Wrote, StoreError>> {
        Box::pin(async move { self.write(id, put) })
    }

    fn remove<'a>(&'a self, id: &'a str, epoch: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut table = self.now();
            if table.records.get(id).is_some_and(|kept| kept.record.epoch == epoch) {
                table.remove(id);
            }
            Ok(())
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("len", &self.len()).finish_non_exhaustive()
    }
}
