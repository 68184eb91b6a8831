//! A system whose terminals are not known here: lines are read as they come.

/// There is none.
pub(crate) enum Terminal {}

impl Terminal {
    pub(crate) fn take() -> Option<Self> {
        None
    }
}

pub(crate) fn columns() -> usize {
    80
}

pub(crate) fn bytes() -> impl Iterator<Item = u8> {
    std::iter::empty()
}
