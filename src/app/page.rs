//! A page of a room's history, as clients see it.

use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::hub::{Page, Said};

/// `{"events":[{"number":7,"ageMs":1500,"event":{...}}],"hasMore":true,"epoch":1}`: each event as it was sent, so a handler
/// may return a page, or put it into its answer. What is in it has to be JSON: what was kept by
/// [`Audience::keep`](super::Audience::keep) is.
impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut page = serializer.serialize_struct("Page", 3)?;
        page.serialize_field("events", &self.messages)?;
        page.serialize_field("hasMore", &self.has_more)?;
        page.serialize_field("epoch", &self.epoch)?;
        page.end()
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event: &RawValue =
            serde_json::from_slice(self.message.payload()).map_err(S::Error::custom)?;
        let age = Instant::now().saturating_duration_since(self.at);
        let mut said = serializer.serialize_struct("Said", 3)?;
        said.serialize_field("number", &self.number)?;
        said.serialize_field("ageMs", &crate::protocol::millis(age))?;
        said.serialize_field("event", event)?;
        said.end()
    }
}
