//! What a test expects of messages and of the end.

use std::panic::Location;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::net::ByteStream;
use crate::protocol::{CloseOutcome, Message, Utf8Bytes};

use super::client::TestClient;
use super::speech;

impl<S: ByteStream> TestClient<S> {
    /// The next message.
    ///
    /// # Panics
    /// When none comes within the deadline, or the connection ends first.
    #[track_caller]
    pub fn next_message(&mut self) -> impl Future<Output = Message> {
        let place = Location::caller();
        async move { self.wanted(place, "a message").await }
    }

    /// The next message, which is a text.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn next_text(&mut self) -> impl Future<Output = Utf8Bytes> {
        let place = Location::caller();
        async move { self.text(place, "a text").await }
    }

    /// The next message is this text.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn expect_text(&mut self, wanted: &str) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            let what = format!("the text {}", speech::excerpt(wanted));
            let text = self.text(place, &what).await;
            if text.as_str() != wanted {
                let came = speech::message(&Message::Text(text));
                self.fail(place, &format!("expected {what}, but {came} came"));
            }
        }
    }

    /// The next message is binary, and these bytes.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn expect_binary(&mut self, wanted: &[u8]) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            let expected = Message::Binary(Bytes::copy_from_slice(wanted));
            let what = speech::message(&expected);
            let message = self.wanted(place, &what).await;
            if message != expected {
                let came = speech::message(&message);
                self.fail(place, &format!("expected {what}, but {came} came"));
            }
        }
    }

    /// Nothing comes for so long, in tokio's time: neither a message nor the end. With the clock paused it costs no
    /// time.
    ///
    /// # Panics
    /// When something comes.
    #[track_caller]
    pub fn expect_nothing_for(&mut self, time: Duration) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            let what = format!("nothing for {time:?}");
            match timeout(time, self.receive()).await {
                Err(_) => {}
                Ok(Ok(Some(message))) => {
                    let came = speech::message(&message);
                    self.fail(place, &format!("expected {what}, but {came} came"));
                }
                Ok(Ok(None)) => self.fail_ended(place, &what, None),
                Ok(Err(error)) => self.fail_ended(place, &what, Some(&error)),
            }
        }
    }

    /// The connection ends with this code; what still comes before is passed over. 1006: it is lost.
    ///
    /// # Panics
    /// When it ends with another code, or not within the deadline.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> impl Future<Output = CloseOutcome> {
        let place = Location::caller();
        async move {
            let outcome = self.end_at(place, &format!("the end with {code}")).await;
            if u16::from(outcome.code) != code {
                self.fail_ended(place, &format!("the end with {code}"), None);
            }
            outcome
        }
    }

    /// Reads to the end, and passes over what comes before.
    ///
    /// # Panics
    /// When the connection does not end within the deadline.
    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = CloseOutcome> {
        let place = Location::caller();
        async move { self.end_at(place, "the end").await }
    }

    async fn end_at(&mut self, place: &Location<'_>, what: &str) -> CloseOutcome {
        self.kept.clear();
        let reading = async { while let Ok(Some(_)) = self.socket.recv().await {} };
        let is_late = timeout(self.deadline, reading).await.is_err();
        match self.socket.outcome() {
            Some(outcome) if !is_late => outcome.clone(),
            _ => self.fail(
                place,
                &format!("expected {what}, but the connection was open after {:?}", self.deadline),
            ),
        }
    }

    async fn text(&mut self, place: &Location<'_>, what: &str) -> Utf8Bytes {
        match self.wanted(place, what).await {
            Message::Text(text) => text,
            other => {
                let came = speech::message(&other);
                self.fail(place, &format!("expected {what}, but {came} came"))
            }
        }
    }
}
