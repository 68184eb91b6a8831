//! What is done last with sessions in a store.

/// What becomes of the records of sessions when their application ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Those of sessions that are over are removed.
    Clear,
    /// All are written, for others to have.
    Park,
}
