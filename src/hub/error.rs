//! Why a broadcast was not taken.

/// The hub's job queue is full: the broadcast was not taken, by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job queue full: {jobs} jobs, {bytes} bytes")]
pub struct BroadcastError {
    /// Broadcasts that wait.
    pub jobs: usize,
    /// Their bytes.
    pub bytes: usize,
}
