//! A session as it is written down, for whichever node goes on with it.

use bytes::Bytes;

use crate::sync::Arc;

use super::envelope::EnvelopeError;
use super::name::NodeId;
use super::session::SessionState;
use super::wire::{Reader, Writer};

/// The version of records that this one writes, and the only one that it reads.
const VERSION: u8 = 1;

const HAS_USER: u8 = 1;
const HAS_TOKEN_BEFORE: u8 = 2;

/// What a store has of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    /// Which node wrote it.
    pub(crate) owner: NodeId,
    /// SHA-256 of its token.
    pub(crate) token: [u8; 32],
    /// The same of the one before, as long as that is good.
    pub(crate) token_before: Option<[u8; 32]>,
    /// The route it is on.
    pub(crate) route: Arc<str>,
    /// Whose it is.
    pub(crate) user: Option<Arc<str>>,
    /// The rest; nothing is told of what was heard.
    pub(crate) state: SessionState,
}

impl SessionRecord {
    /// As bytes.
    ///
    /// ```text
    ///   version 1 ┊ flags 1 ┊ owner 16 ┊ token 32 ┊ token before 32 ┊ route (text) ┊ user (text) ┊ state
    /// ```
    ///
    /// Flags: 1 a user, 2 a token before.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let state = self.state.encode();
        let mut writer = Writer::with_capacity(256 + state.len());
        let user = if self.user.is_some() { HAS_USER } else { 0 };
        let before = if self.token_before.is_some() { HAS_TOKEN_BEFORE } else { 0 };
        writer.u8(VERSION);
        writer.u8(user | before);
        writer.bytes(self.owner.as_bytes());
        writer.bytes(&self.token);
        self.token_before.iter().for_each(|token| writer.bytes(token));
        writer.text(&self.route);
        self.user.iter().for_each(|user| writer.text(user));
        writer.bytes(&state);
        writer.into_bytes()
    }

    /// Reads one; payloads are slices of it. What it allocates is bounded by what came.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let flags = reader.flags(HAS_USER | HAS_TOKEN_BEFORE)?;
        let (owner, token) = (NodeId::from_bytes(reader.array()?), reader.array()?);
        let has_before = flags & HAS_TOKEN_BEFORE != 0;
        let token_before = if has_before { Some(reader.array()?) } else { None };
        let route = reader.text()?;
        let user = if flags & HAS_USER != 0 { Some(reader.text()?) } else { None };
        let state = SessionState::decode(&reader.rest())?;
        // Numbers begin at 1, so there are never more messages than were sent.
        if state.messages.len() as u64 > state.sent {
            return Err(EnvelopeError::Range);
        }
        Ok(Self { owner, token, token_before, route, user, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::cluster::Waiting;
    use crate::protocol::Compress;
    use proptest::prelude::*;

    fn record(user: Option<&str>, token_before: Option<[u8; 32]>, messages: u64) -> SessionRecord {
        let payload = Bytes::from_static(b"hello");
        let waiting = Waiting { key: Some(7), is_text: true, compress: Compress::Auto, payload };
        SessionRecord {
            owner: NodeId::from_bytes([3; 16]),
            token: [4; 32],
            token_before,
            route: "Envelope /ws".into(),
            user: user.map(Arc::from),
            state: SessionState {
                received: 5,
                sent: 9,
                unsent: 1,
                questions: 2,
                rooms: vec!["lobby".into()],
                metadata: vec!["key".into(), "value".into()],
                messages: vec![waiting; messages as usize],
                ..SessionState::default()
            },
        }
    }

    /// BY-42: what is written is read, and no part of it is one.
    #[test]
    fn by_42_a_record_is_read_as_it_was_written() {
        for (user, before) in [(None, None), (Some("ann"), Some([5; 32]))] {
            let (record, bytes) = (record(user, before, 2), record(user, before, 2).encode());
            assert_eq!(SessionRecord::decode(&bytes.clone().into()), Ok(record));
            for len in 0..bytes.len() {
                let cut = Bytes::copy_from_slice(&bytes[..len]);
                assert!(SessionRecord::decode(&cut).is_err(), "{len} bytes");
            }
        }
    }

    /// Another version, a flag that is unknown, and more messages than were sent.
    #[test]
    fn what_is_none_is_none() {
        let bytes = record(None, None, 2).encode();
        for (at, value, error) in [
            (0, 2, EnvelopeError::Version(2)),
            (0, 0, EnvelopeError::Version(0)),
            (1, 4, EnvelopeError::Kind(4)),
        ] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert_eq!(SessionRecord::decode(&bytes.into()), Err(error));
        }
        let bytes = Bytes::from(record(None, None, 10).encode());
        assert_eq!(SessionRecord::decode(&bytes), Err(EnvelopeError::Range));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = SessionRecord::decode(&bytes.into());
        }
    }
}
