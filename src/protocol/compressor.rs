//! The deflating half of a connection.

use crate::deflate::{ContextSlot, Deflate, DeflateParams, Deflater, SmallDeflater, deflate_alone};

/// Messages that a connection compresses with the thread's coder before it gets a deflater of its own:
/// most connections are never worth one.
const MESSAGES_BEFORE_CONTEXT: u8 = 4;

/// Whose compressed frames a peer can read: those of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeflateClass {
    pub(crate) level: u8,
    pub(crate) window_bits: u8,
}

/// How much of what is sent is compressed, and with which window.
///
/// A context is earned, and may be let go at any time: a peer that keeps its window reads a message
/// that refers to nothing before it just as well.
#[derive(Debug)]
pub(crate) struct Compressor {
    class: DeflateClass,
    threshold_bytes: usize,
    memory_level: u8,
    keeps_context: bool,
    messages: u8,
    /// Something was compressed since the last rest.
    is_used: bool,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    deflater: Box<Deflater>,
    window: Window,
    _slot: ContextSlot,
}

/// How the peer's window is to the deflater's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Same,
    /// It has moved on: another frame was compressed elsewhere.
    Ahead,
    /// The same, and the last message of our own was compressed by itself.
    AheadTwice,
}

impl Compressor {
    pub(crate) fn new(params: &DeflateParams, settings: &Deflate) -> Self {
        Self {
            class: DeflateClass {
                level: settings.compression_level(),
                window_bits: params.own_window_bits,
            },
            threshold_bytes: settings.threshold_bytes(),
            memory_level: settings.compression_memory_level(),
            keeps_context: !params.own_no_context,
            messages: 0,
            is_used: false,
            own: None,
        }
    }

    pub(crate) const fn class(&self) -> DeflateClass {
        self.class
    }

    pub(crate) const fn threshold_bytes(&self) -> usize {
        self.threshold_bytes
    }

    /// Whether the order of compressing must be the order on the wire.
    pub(crate) const fn keeps_context(&self) -> bool {
        self.keeps_context
    }

    /// Appends the compressed message to `out`. False, and what was appended is to be forgotten: it
    /// goes out as it is, because it does not become shorter.
    pub(crate) fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        self.is_used = true;
        if let Some(own) = self.own_context()
            && own.takes(payload.len())
        {
            own.deflater.finish(payload, out);
            return true;
        }
        let before = out.len();
        deflate_alone(self.class.level, self.class.window_bits, payload, out);
        self.messages = self.messages.saturating_add(1);
        out.len() - before < payload.len()
    }

    /// A frame that was compressed elsewhere goes to the peer.
    pub(crate) fn note_foreign_frame(&mut self) {
        if let Some(own) = &mut self.own {
            own.window = Window::Ahead;
        }
    }

    /// Called now and then: who has compressed nothing since the last time gives its deflater back, and
    /// has to earn another.
    pub(crate) fn rest(&mut self) {
        if !std::mem::take(&mut self.is_used) {
            (self.own, self.messages) = (None, 0);
        }
    }

    fn own_context(&mut self) -> Option<&mut Own> {
        if self.own.is_none() && self.keeps_context && self.messages >= MESSAGES_BEFORE_CONTEXT {
            let DeflateClass { level, window_bits } = self.class;
            self.own = ContextSlot::take().map(|slot| Own {
                deflater: Box::new(Deflater::with_memory_level(
                    level,
                    window_bits,
                    self.memory_level,
                )),
                window: Window::Same,
                _slot: slot,
            });
        }
        self.own.as_mut()
    }
}

impl Own {
    /// Whether a message of so many bytes goes through the deflater, which is reset for it where it has to be.
    /// Where own messages and shared ones take turns it would be for each, and that costs more than what is short:
    /// such a message goes by itself, and the deflater begins anew with the second in a row.
    fn takes(&mut self, len: usize) -> bool {
        if self.window == Window::Ahead && len <= SmallDeflater::INPUT_BYTES_MAX {
            self.window = Window::AheadTwice;
            return false;
        }
        if std::mem::replace(&mut self.window, Window::Same) != Window::Same {
            self.deflater.reset();
        }
        true
    }
}
