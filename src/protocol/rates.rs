//! How much a peer may send in a time.

use crate::frame::Violation;

use super::endpoint::Endpoint;
use super::rate::{Rate, RetryAfter, TokenBucket};
use super::{Config, Token, WriteBuffer};

/// What a peer may send.
#[derive(Debug)]
pub(super) struct Rates {
    messages: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
}

impl Rates {
    pub(super) fn new(config: &Config, now_ms: u64) -> Self {
        let full = |rate: &Rate| TokenBucket::new(rate, now_ms);
        let (messages, bytes) = (&config.message_rate, &config.byte_rate);
        Self { messages: messages.as_ref().map(full), bytes: bytes.as_ref().map(full) }
    }

    pub(super) fn take(
        &mut self,
        config: &Config,
        messages: u64,
        bytes: u64,
        now_ms: u64,
    ) -> Result<(), RetryAfter> {
        if let (Some(bucket), Some(rate)) = (&mut self.messages, &config.message_rate) {
            bucket.try_take(rate, messages, now_ms)?;
        }
        if let (Some(bucket), Some(rate)) = (&mut self.bytes, &config.byte_rate) {
            bucket.try_take(rate, bytes, now_ms)?;
        }
        Ok(())
    }
}

impl Endpoint {
    /// Counts a message, or some of one, and fails the connection of a peer that sends too much.
    #[inline(never)]
    pub(super) fn note_message(
        &mut self,
        token: Token,
        messages: u64,
        block: &[u8],
        out: &mut WriteBuffer,
        now_ms: u64,
    ) -> Token {
        let bytes = self.payload(block, token).len() as u64;
        if let Some(observer) = &self.config.observer {
            observer.received(messages, bytes);
        }
        if self.config.message_rate.is_none() && self.config.byte_rate.is_none() {
            return token;
        }
        let rates = self.rates.get_or_insert_with(|| Box::new(Rates::new(&self.config, now_ms)));
        match rates.take(&self.config, messages, bytes, now_ms) {
            Ok(()) => token,
            Err(RetryAfter { ms }) => self.fail(Violation::TooFast { retry_ms: ms }, out),
        }
    }
}
