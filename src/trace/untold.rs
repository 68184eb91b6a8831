//! Without the feature `tracing`: nothing.

// Each is used where what it is about is built.
#![allow(dead_code, clippy::unused_self, reason = "the twin of what tells")]

use std::fmt;
use std::net::SocketAddr;

use crate::handshake::RequestHead;
use crate::protocol::{CloseOutcome, Overflow};

#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(());

impl Trace {
    pub(crate) const fn server(_: &RequestHead, _: Option<SocketAddr>) -> Self {
        Self(())
    }

    pub(crate) const fn client(_: &str, _: u16) -> Self {
        Self(())
    }

    pub(crate) const fn is_some(&self) -> bool {
        false
    }

    pub(crate) const fn refused(&self, _: u16, _: &'static str) {}

    pub(crate) const fn opened(&self, _: u64) {}

    pub(crate) const fn user(&self, _: Option<&str>) {}

    pub(crate) const fn session(&self, _: &'static str, _: &str) {}

    pub(crate) const fn dropped(&self, _: Overflow, _: usize) {}

    pub(crate) fn ended(&self, _: impl FnOnce() -> CloseOutcome, _: u64) {}

    pub(crate) fn unasked(_: Option<u16>, _: &dyn fmt::Display) {}
}
