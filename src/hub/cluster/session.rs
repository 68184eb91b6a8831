//! What nodes tell each other of a session that goes from one to the other.

use bytes::Bytes;

use crate::protocol::Compress;
use crate::sync::Arc;

use super::envelope::EnvelopeError;
use super::name::NodeId;
use super::wire::{Reader, Writer};

/// Rooms of one session, and channels with them, at the most.
const ROOMS_MAX: usize = 65_536;

/// Messages and pairs of metadata of one session at the most.
const MESSAGES_MAX: usize = 65_536;

/// Nodes that were heard on one channel at the most.
const NODES_MAX: usize = 65_536;

const HEAD_ONLY: u8 = 1;
const HAS_USER: u8 = 2;

const HAS_GAP: u8 = 1;

/// A client has come to another node than the one that has its session, and that node asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What the answer names.
    pub id: u64,
    /// The number of the move: the last one that is asked for counts.
    pub number: u64,
    /// Only which rooms it is in: nothing happens to it.
    pub is_head_only: bool,
    /// How many messages of the session the client has had.
    pub received: u64,
    /// SHA-256 of the token that the client has shown: the token itself is told to nobody.
    pub token: [u8; 32],
    /// The session's public name.
    pub session: Arc<str>,
    /// The route it is on.
    pub route: Arc<str>,
    /// Who has come.
    pub user: Option<Arc<str>>,
}

/// Why a session is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is none for this token, user and route.
    Unknown,
    /// It has waited for too long.
    Expired,
    /// What the client has not had is not kept any more.
    HistoryLost,
    /// It cannot be told at this moment.
    Again,
    /// Somebody else has asked for it since.
    TakenOver,
    /// It is on this node.
    Moved(NodeId),
}

/// A session as one node tells another of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionState {
    /// Whether its client has still to be told that something may be missing.
    pub has_gap: bool,
    /// Messages of the client so far.
    pub received: u64,
    /// Messages of the session so far.
    pub sent: u64,
    /// How many of the last of them have never been on a wire.
    pub unsent: u64,
    /// How many questions the client was asked: the numbers of the next come after them.
    pub questions: u64,
    /// The rooms it is in.
    pub rooms: Vec<Arc<str>>,
    /// What is noted about it, key and value in turn.
    pub metadata: Vec<Arc<str>>,
    /// What is in it by the numbers of all nodes, on each channel it hears.
    pub heard: Vec<ChannelState>,
    /// The messages that the client has not had, and last those that were sent to it alone since it was told.
    pub messages: Vec<Waiting>,
}

/// How far each node was heard on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// The channel.
    pub channel: Arc<str>,
    /// Each node with its stream and number.
    pub nodes: Vec<(NodeId, u64, u64)>,
}

/// A message that waits for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Of those with one key only the latest is wanted.
    pub key: Option<u64>,
    /// Whether it is text.
    pub is_text: bool,
    /// Whether it may be compressed.
    pub compress: Compress,
    /// The message.
    pub payload: Bytes,
}

impl Claim {
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u64(self.id);
        writer.u64(self.number);
        let user = if self.user.is_some() { HAS_USER } else { 0 };
        writer.u8(if self.is_head_only { HEAD_ONLY } else { 0 } | user);
        writer.u64(self.received);
        writer.bytes(&self.token);
        writer.text(&self.session);
        writer.text(&self.route);
        if let Some(user) = &self.user {
            writer.text(user);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        let (id, number) = (reader.u64()?, reader.u64()?);
        let flags = reader.flags(HEAD_ONLY | HAS_USER)?;
        let (received, token) = (reader.u64()?, reader.array()?);
        let (session, route) = (reader.text()?, reader.text()?);
        let user = if flags & HAS_USER != 0 { Some(reader.text()?) } else { None };
        let is_head_only = flags & HEAD_ONLY != 0;
        Ok(Self { id, number, is_head_only, received, token, session, route, user })
    }
}

impl Refusal {
    pub(super) fn write(self, writer: &mut Writer) {
        let kind = match self {
            Self::Unknown => 1,
            Self::Expired => 2,
            Self::HistoryLost => 3,
            Self::Again => 4,
            Self::TakenOver => 5,
            Self::Moved(_) => 6,
        };
        writer.u8(kind);
        if let Self::Moved(node) = self {
            writer.bytes(node.as_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        Ok(match reader.u8()? {
            1 => Self::Unknown,
            2 => Self::Expired,
            3 => Self::HistoryLost,
            4 => Self::Again,
            5 => Self::TakenOver,
            6 => Self::Moved(NodeId::from_bytes(reader.array()?)),
            kind => return Err(EnvelopeError::Kind(kind)),
        })
    }
}

const TEXT: u8 = 1;
const KEY: u8 = 2;
const NEVER: u8 = 4;
const ALWAYS: u8 = 8;

impl Waiting {
    pub(super) fn write(&self, writer: &mut Writer) {
        let compress = match self.compress {
            Compress::Auto => 0,
            Compress::Never => NEVER,
            Compress::Always => ALWAYS,
        };
        let key = if self.key.is_some() { KEY } else { 0 };
        writer.u8(if self.is_text { TEXT } else { 0 } | key | compress);
        if let Some(key) = self.key {
            writer.u64(key);
        }
        writer.sized(&self.payload);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        let flags = reader.flags(TEXT | KEY | NEVER | ALWAYS)?;
        let compress = match flags & (NEVER | ALWAYS) {
            0 => Compress::Auto,
            NEVER => Compress::Never,
            ALWAYS => Compress::Always,
            _ => return Err(EnvelopeError::Kind(flags)),
        };
        let key = if flags & KEY != 0 { Some(reader.u64()?) } else { None };
        let (is_text, payload) = (flags & TEXT != 0, reader.sized()?);
        if is_text && simdutf8::basic::from_utf8(&payload).is_err() {
            return Err(EnvelopeError::Utf8);
        }
        Ok(Self { key, is_text, compress, payload })
    }
}

impl SessionState {
    /// As bytes, which go in parts.
    ///
    /// ```text
    ///   flags 1 ┊ received 8 ┊ sent 8 ┊ unsent 8 ┊ questions 8 ┊ rooms (list) ┊ metadata (list)
    ///   how many channels 4 ┊ each: channel (text), how many nodes 4, each: node 16, stream 8, number 8
    ///   how many messages 4 ┊ each: flags 1, key 8 where there is one, payload (4 of length, and it)
    /// ```
    ///
    /// Flags: 1 a gap. Of a message: 1 text, 2 a key, 4 never compressed, 8 always compressed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let payloads: usize = self.messages.iter().map(|message| message.payload.len() + 16).sum();
        let mut writer = Writer::with_capacity(256 + payloads);
        writer.u8(if self.has_gap { HAS_GAP } else { 0 });
        for number in [self.received, self.sent, self.unsent, self.questions] {
            writer.u64(number);
        }
        writer.texts(&self.rooms);
        writer.texts(&self.metadata);
        writer.count(self.heard.len());
        for ChannelState { channel, nodes } in &self.heard {
            writer.text(channel);
            writer.count(nodes.len());
            for (node, stream, number) in nodes {
                writer.bytes(node.as_bytes());
                writer.u64(*stream);
                writer.u64(*number);
            }
        }
        writer.count(self.messages.len());
        self.messages.iter().for_each(|message| message.write(&mut writer));
        writer.into_bytes()
    }

    /// Reads one; payloads are slices of it. What it allocates is bounded by what came, not by what a length claims.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &Bytes) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        let has_gap = reader.flags(HAS_GAP)? != 0;
        let (received, sent) = (reader.u64()?, reader.u64()?);
        let (unsent, questions) = (reader.u64()?, reader.u64()?);
        let (rooms, metadata) = (reader.texts(ROOMS_MAX)?, reader.texts(2 * MESSAGES_MAX)?);
        let heard = reader.list(ROOMS_MAX, |reader| {
            let channel = reader.text()?;
            let nodes = reader.list(NODES_MAX, |reader| {
                let node = NodeId::from_bytes(reader.array()?);
                Ok((node, reader.u64()?, reader.u64()?))
            })?;
            Ok(ChannelState { channel, nodes })
        })?;
        let messages = reader.list(MESSAGES_MAX, Waiting::read)?;
        reader.end()?;
        if !metadata.len().is_multiple_of(2) || unsent > sent {
            return Err(EnvelopeError::Range);
        }
        Ok(Self { has_gap, received, sent, unsent, questions, rooms, metadata, heard, messages })
    }
}
