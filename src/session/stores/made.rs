//! What is made by whoever needs it first, and again when it is of no use any more.

use tokio::sync::OnceCell;

use crate::sync::{Arc, Mutex};

pub(super) struct Made<T>(Mutex<Arc<OnceCell<T>>>);

/// A use of it. Where nothing good is said of it, another one takes its place for who comes next: also where this is dropped
/// because it took too long.
pub(super) struct Use<'a, T> {
    made: &'a Made<T>,
    current: Arc<OnceCell<T>>,
    is_good: bool,
}

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Made<T> {
    pub(super) fn begin(&self) -> Use<'_, T> {
        Use { made: self, current: self.0.lock().clone(), is_good: false }
    }
}

impl<T: Clone> Use<'_, T> {
    /// What is there, or is made now; others wait for it meanwhile.
    pub(super) async fn value<E>(&self, make: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.current.get_or_try_init(|| make).await.cloned()
    }

    pub(super) fn end(mut self, is_good: bool) {
        self.is_good = is_good;
    }
}

impl<T> Drop for Use<'_, T> {
    fn drop(&mut self) {
        let mut current = self.made.0.lock();
        if !self.is_good && Arc::ptr_eq(&current, &self.current) {
            // The other one is still held here: nothing is dropped under the lock.
            *current = Arc::default();
        }
    }
}
