//! What a test says and expects in events.

use std::panic::Location;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::event::{Codec, Event};
use crate::net::ByteStream;
use crate::protocol::Message;

use super::client::TestClient;
use super::speech;

/// Most messages that a request passes by and keeps.
const KEPT_MAX: usize = 10_000;

/// An event that came.
struct Came {
    name: String,
    payload: Value,
    correlation_id: Option<String>,
}

impl Came {
    /// Of either shape: they differ in the member that is the name.
    fn read(message: &Message) -> Option<Self> {
        let value: Value = serde_json::from_str(message.as_text()?).ok()?;
        let text = |member: &str| value[member].as_str().map(str::to_owned);
        if let Some(name) = text("e") {
            return Some(Self { name, payload: value["p"].clone(), correlation_id: text("c") });
        }
        let (name, correlation_id) = (text("type")?, text("requestId"));
        let Value::Object(mut members) = value else { return None };
        members.retain(|name, _| name != "type" && name != "requestId");
        Some(Self { name, payload: Value::Object(members), correlation_id })
    }
}

/// What an application says by itself about every session: that messages have come.
fn is_acknowledgement(message: &Message) -> bool {
    Came::read(message).is_some_and(|came| came.name == "sys.ack")
}

/// For clients of an application. From [`expect_session`](Self::expect_session) on acknowledgements (`sys.ack`) are passed
/// over, by everything that waits for a message. The client acknowledges nothing itself, which no server asks of it.
impl<S: ByteStream> TestClient<S> {
    /// It speaks the tagged form of events (`Codec::Tagged`), as its route does. What comes is understood in both.
    #[must_use]
    pub fn tagged(mut self) -> Self {
        self.events.is_tagged = true;
        self
    }

    /// The next message tells of a new session. Gives its payload: `sessionId`, `userId`, `token` and the rest.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn expect_session(&mut self) -> impl Future<Output = Value> {
        self.is_passed_over = is_acknowledgement;
        self.expect_event("sys.session.created")
    }

    /// Sends an event.
    ///
    /// # Panics
    /// When it cannot be written, and as [`send_text`](Self::send_text).
    #[track_caller]
    pub fn send_event<P: Serialize + ?Sized>(
        &mut self,
        name: &str,
        payload: &P,
    ) -> impl Future<Output = ()> {
        let (place, text) = (Location::caller(), self.written(name, payload, None));
        async move {
            match text {
                Ok(text) => self.send_at(place, Message::text(text)).await,
                Err(error) => self.fail(place, &error),
            }
        }
    }

    /// The next message is an event of this name. Gives its payload.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn expect_event(&mut self, name: &str) -> impl Future<Output = Value> {
        let place = Location::caller();
        async move {
            let what = format!("the event {name:?}");
            let message = self.wanted(place, &what).await;
            match Came::read(&message) {
                Some(came) if came.name == name => came.payload,
                _ => {
                    let came = speech::message(&message);
                    self.fail(place, &format!("expected {what}, but {came} came"))
                }
            }
        }
    }

    /// Sends an event and waits for its answer; gives its payload. What comes before it is kept for whoever expects it
    /// next, up to 10,000 messages.
    ///
    /// # Panics
    /// When the answer is an error, or does not come within the deadline.
    #[track_caller]
    pub fn request<P: Serialize + ?Sized>(
        &mut self,
        name: &str,
        payload: &P,
    ) -> impl Future<Output = Value> {
        let asked = self.asked(Location::caller(), name, payload);
        async move {
            let (place, answer, client) = asked.await;
            match answer.name.as_str() {
                "sys.error" | "error" => client
                    .fail(place, &format!("expected an answer, but an error: {}", answer.payload)),
                _ => answer.payload,
            }
        }
    }

    /// The same, and the answer is an error with this code. Gives its payload: `code`, `message`, `errors`.
    ///
    /// # Panics
    /// When the answer is none, or another, or does not come within the deadline.
    #[track_caller]
    pub fn expect_error<P: Serialize + ?Sized>(
        &mut self,
        name: &str,
        payload: &P,
        code: i32,
    ) -> impl Future<Output = Value> {
        let asked = self.asked(Location::caller(), name, payload);
        async move {
            let (place, answer, client) = asked.await;
            let is_error = matches!(answer.name.as_str(), "sys.error" | "error");
            if !is_error || answer.payload["code"] != json!(code) {
                let Came { name, payload, .. } = answer;
                client
                    .fail(place, &format!("expected the error {code}, but {name} {payload} came"));
            }
            answer.payload
        }
    }

    fn asked<'a, P: Serialize + ?Sized>(
        &'a mut self,
        place: &'static Location<'static>,
        name: &str,
        payload: &P,
    ) -> impl Future<Output = (&'static Location<'static>, Came, &'a Self)> + use<'a, S, P> {
        self.events.requests += 1;
        let id = format!("test-{}", self.events.requests);
        let what = format!("an answer to {name:?}");
        let text = self.written(name, payload, Some(&id));
        async move {
            match text {
                Ok(text) => self.send_at(place, Message::text(text)).await,
                Err(error) => self.fail(place, &error),
            }
            let answer = match timeout(self.deadline, self.answer_to(&id)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => self.fail_ended(place, &what, error.as_ref()),
                Err(_) => {
                    let what = format!("expected {what}, but none came in {:?}", self.deadline);
                    self.fail(place, &what)
                }
            };
            (place, answer, &*self)
        }
    }

    /// Keeps what is no answer.
    async fn answer_to(&mut self, id: &str) -> Result<Came, Option<crate::error::Error>> {
        loop {
            let message = self.receive_new().await.map_err(Some)?.ok_or(None)?;
            match Came::read(&message) {
                Some(came) if came.correlation_id.as_deref() == Some(id) => return Ok(came),
                _ if self.kept.len() < KEPT_MAX => self.kept.push_back(message),
                _ => panic!("{}: more than {KEPT_MAX} messages before an answer", self.name),
            }
        }
    }

    fn written<P: Serialize + ?Sized>(
        &self,
        name: &str,
        payload: &P,
        correlation_id: Option<&str>,
    ) -> Result<String, String> {
        let codec = if self.events.is_tagged { Codec::Tagged } else { Codec::Envelope };
        let event = Event::new(name, payload).map_err(|error| error.to_string())?;
        let event = match correlation_id {
            Some(id) => event.with_correlation_id(id).map_err(|error| error.to_string())?,
            None => event,
        };
        codec.encode(&event).map_err(|error| error.to_string())
    }
}
