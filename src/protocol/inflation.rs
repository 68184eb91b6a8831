//! The inflating half of a connection.

use crate::deflate::{ContextSlot, DeflateParams, Inflater, put_inflater, take_inflater};

/// Whose inflater a message goes through: the connection's own where the peer keeps its window from
/// message to message, else one that the thread lends for the time of a message.
#[derive(Debug)]
pub(super) struct Inflation {
    /// `None` before the first message, and while one is in progress.
    own: Option<Box<Inflater>>,
    window_bits: u8,
    /// The peer keeps its context, so we do.
    context: Option<ContextSlot>,
}

impl Inflation {
    pub(super) fn new(params: &DeflateParams) -> Self {
        Self {
            own: None,
            window_bits: params.peer_window_bits,
            context: (!params.peer_no_context).then(ContextSlot::promised),
        }
    }

    pub(super) fn take(&mut self) -> Box<Inflater> {
        if self.context.is_none() {
            return take_inflater();
        }
        self.own.take().unwrap_or_else(|| Box::new(Inflater::new(self.window_bits)))
    }

    pub(super) fn put(&mut self, inflater: Box<Inflater>) {
        if self.context.is_some() {
            self.own = Some(inflater);
        } else {
            put_inflater(inflater);
        }
    }
}
