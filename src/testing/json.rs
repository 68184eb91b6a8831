//! What a test says and expects in JSON.

use std::panic::Location;

use serde::Serialize;
use serde_json::Value;

use crate::net::ByteStream;
use crate::protocol::Message;

use super::client::TestClient;
use super::speech;

impl<S: ByteStream> TestClient<S> {
    /// Sends a value as JSON.
    ///
    /// # Panics
    /// When it cannot be written as JSON, and as [`send_text`](Self::send_text).
    #[track_caller]
    pub fn send_json<T: Serialize + ?Sized>(&mut self, value: &T) -> impl Future<Output = ()> {
        let (place, text) = (Location::caller(), serde_json::to_string(value));
        async move {
            match text {
                Ok(text) => self.send_at(place, Message::text(text)).await,
                Err(error) => self.fail(place, &format!("no JSON: {error}")),
            }
        }
    }

    /// The next message, which is JSON.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn next_json(&mut self) -> impl Future<Output = Value> {
        let place = Location::caller();
        async move { self.json_at(place, "JSON").await }
    }

    /// The next message is this value, whatever the order of its members.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn expect_json(&mut self, wanted: &Value) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            let what = wanted.to_string();
            let value = self.json_at(place, &what).await;
            if value != *wanted {
                self.fail(place, &format!("expected {what}, but {value} came"));
            }
        }
    }

    pub(super) async fn json_at(&mut self, place: &Location<'_>, what: &str) -> Value {
        let message = self.wanted(place, what).await;
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(value) => value,
            None => {
                let came = speech::message(&message);
                self.fail(place, &format!("expected {what}, but {came} came"))
            }
        }
    }
}
