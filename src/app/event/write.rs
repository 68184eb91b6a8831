//! Events are written straight into the buffer they leave in.

use std::io::Write as _;

use serde::Serialize;
use serde::de::IgnoredAny;

use super::codec::{Codec, VERSION};
use super::members::is_name;
use super::rest;
use super::text;
use super::unwritable::UnwritableEvent;

/// An event that is about to be written.
pub(crate) struct Outgoing<'a, P: ?Sized> {
    pub(crate) name: &'a str,
    /// An object, or nothing: what is written as `null`.
    pub(crate) payload: &'a P,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) timestamp: Option<i64>,
}

/// What the payload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    Object,
    Nothing,
}

impl<P: Serialize + ?Sized> Outgoing<'_, P> {
    /// Writes it behind what is in the buffer, serialising the payload once.
    pub(crate) fn write(
        &self,
        codec: Codec,
        out: &mut Vec<u8>,
    ) -> Result<PayloadKind, UnwritableEvent> {
        if !is_name(self.name) {
            return Err(UnwritableEvent::Name);
        }
        match codec {
            Codec::Envelope => self.write_envelope(out),
            Codec::Tagged => self.write_tagged(out),
        }
    }

    /// Writes it into a text of its own.
    pub(crate) fn to_json(&self, codec: Codec) -> Result<String, UnwritableEvent> {
        let mut out = Vec::with_capacity(128);
        self.write(codec, &mut out)?;
        Ok(text::of(out))
    }

    fn write_envelope(&self, out: &mut Vec<u8>) -> Result<PayloadKind, UnwritableEvent> {
        out.extend_from_slice(b"{\"v\":\"");
        out.extend_from_slice(VERSION.as_bytes());
        out.extend_from_slice(b"\",\"e\":");
        serde_json::to_writer(&mut *out, self.name)?;
        let before = out.len();
        out.extend_from_slice(b",\"p\":");
        let kind = self.write_payload(out)?;
        if kind == PayloadKind::Nothing {
            out.truncate(before);
        }
        if let Some(id) = self.correlation_id {
            out.extend_from_slice(b",\"c\":");
            serde_json::to_writer(&mut *out, id)?;
        }
        if let Some(timestamp) = self.timestamp {
            // A Vec takes whatever is written.
            let _ = write!(out, ",\"t\":{timestamp}");
        }
        out.push(b'}');
        Ok(kind)
    }

    fn write_tagged(&self, out: &mut Vec<u8>) -> Result<PayloadKind, UnwritableEvent> {
        out.extend_from_slice(b"{\"type\":");
        serde_json::to_writer(&mut *out, self.name)?;
        if let Some(id) = self.correlation_id {
            out.extend_from_slice(b",\"requestId\":");
            serde_json::to_writer(&mut *out, id)?;
        }
        let start = out.len();
        let kind = self.write_payload(out)?;
        let members = out.get(start + 1..).unwrap_or_default().trim_ascii_start();
        if kind == PayloadKind::Nothing || members.starts_with(b"}") {
            out.truncate(start);
            out.push(b'}');
            return Ok(kind);
        }
        check_reserved(&out[start..])?;
        // The payload's own brace ends the whole.
        out[start] = b',';
        Ok(kind)
    }

    fn write_payload(&self, out: &mut Vec<u8>) -> Result<PayloadKind, UnwritableEvent> {
        let start = out.len();
        serde_json::to_writer(&mut *out, self.payload)?;
        match &out[start..] {
            b"null" => {
                out.truncate(start);
                Ok(PayloadKind::Nothing)
            }
            [b'{', ..] => Ok(PayloadKind::Object),
            _ => Err(UnwritableEvent::NotAnObject),
        }
    }
}

/// That the payload has no member of the codec's. It is only read where it may have one.
fn check_reserved(payload: &[u8]) -> Result<(), UnwritableEvent> {
    let has = |word: &[u8]| payload.windows(word.len()).any(|window| window == word);
    // A name with escapes may be any.
    if !has(b"\"type\"") && !has(b"\"requestId\"") && !payload.contains(&b'\\') {
        return Ok(());
    }
    let names: std::collections::BTreeMap<String, IgnoredAny> = serde_json::from_slice(payload)?;
    match names.keys().any(|name| rest::is_of_codec(name)) {
        true => Err(UnwritableEvent::Reserved),
        false => Ok(()),
    }
}
