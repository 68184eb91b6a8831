//! What nodes tell each other, as bytes.

use bytes::Bytes;

use crate::frame::CloseFrame;
use crate::protocol::Compress;
use crate::sync::Arc;

use super::name::NodeId;
use super::session::{Claim, Refusal, Waiting};
use super::wire::{Reader, Writer};

/// The version of the format. Nodes of another one are passed over.
const VERSION: u8 = 1;

/// Bytes before the body.
const HEAD_BYTES: usize = 34;

/// Where the stamp stands, which is written last.
const STAMP_AT: usize = 18;

/// The longest interval of heartbeats: an hour.
pub(super) const INTERVAL_MS_MAX: u32 = 60 * 60 * 1000;

/// Users in one list: one envelope of the longest kind has no more, and most of them are parts anyway.
const USERS_MAX: usize = 65_536;

/// One message between nodes: who says it, which number it has, and what it is.
///
/// ```text
///   0        1      2            18             26             34
///   +--------+------+------------+--------------+--------------+------
///   | 1      | kind | node       | stream       | number       | body
///   +--------+------+------------+--------------+--------------+------
///     version  1 byte  16 bytes     8 bytes        8 bytes
/// ```
///
/// All numbers are big-endian. `number` counts what a node says on a channel, from 1; a greater `stream` begins anew.
/// A text is 4 bytes of length and utf-8; a list of texts 4 bytes of how many, and those.
///
/// | kind | body |
/// |---|---|
/// | 1 message | flags, key (8, where there is one), users left out (list), payload |
/// | 2 joined, 3 left | user (text) |
/// | 4 who is there? | |
/// | 5 users | flags (1: the first part, 2: the last), users (list) |
/// | 6 digest | users (4), hash (8) |
/// | 7 heartbeat | its interval in ms (4), that of digests (4), messages lost so far (8) |
/// | 8 goodbye | |
/// | 9 question | its number (8), kind, what it is about |
/// | 10 answer | its question (8), flags (1: the last part), count (8), refused (8), users (list) |
/// | 11 claim | its number (8), that of the move (8), flags (1: the head only, 2: of a user), received (8), hash of the token (32), session, route, user (texts) |
/// | 12 settle | its number (8), that of the move (8), flags (1: taken), session (text) |
/// | 13 part | its claim or settlement (8), flags (1: the last), bytes of a [`SessionState`](super::SessionState) |
/// | 14 refused | its claim or settlement (8), why (1), the node where it is (16) if it is elsewhere |
/// | 15 onward | session (text), message as in a [`SessionState`](super::SessionState) |
///
/// Flags of a message: 1 text, 2 kept, 4 the latest of its key, 8 never compressed, 16 always compressed.
///
/// For tools: a hub reads and writes these itself.
///
/// Cost: decoding copies no payload; what it allocates is bounded by what came, not by what a length claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who says it.
    pub node: NodeId,
    /// Where the numbers began.
    pub stream: u64,
    /// Which one it is, from 1.
    pub number: u64,
    /// What it is.
    pub body: Body,
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// A message for a room, a user, or everybody, by its channel.
    Message(Carried),
    /// A user has the first connection in this room on this node.
    Joined(Arc<str>),
    /// A user has none any more.
    Left(Arc<str>),
    /// Who is in this room?
    Ask,
    /// Users in this room on this node, or some of them.
    Users {
        /// What was known before is over.
        is_first: bool,
        /// Now it is whole.
        is_last: bool,
        /// They.
        users: Vec<Arc<str>>,
    },
    /// How many users are in this room on this node, and the sum of the hashes of their names.
    Digest {
        /// How many.
        users: u32,
        /// The sum.
        hash: u64,
    },
    /// This node is there.
    Heartbeat {
        /// How often it says so, in milliseconds, up to an hour.
        interval_ms: u32,
        /// How often it tells how many users it has in a room, in milliseconds, up to an hour.
        digest_ms: u32,
        /// Messages of it so far that others may not have.
        lost: u64,
    },
    /// This node ends.
    Goodbye,
    /// Every node is asked.
    Question {
        /// What the answer names.
        id: u64,
        /// What.
        question: Question,
    },
    /// An answer, or a part of it.
    Answer {
        /// The question.
        id: u64,
        /// Whether it is whole.
        is_last: bool,
        /// What.
        answer: Answer,
    },
    /// A session is asked for, to go on on the node that asks.
    Claim(Claim),
    /// A session that was claimed and told of is had, or will not be.
    Settle {
        /// What the answer names.
        id: u64,
        /// The number of the move.
        number: u64,
        /// Whether it is had.
        is_taken: bool,
        /// Which.
        session: Arc<str>,
    },
    /// A part of what is told of a session.
    Part {
        /// The claim or the settlement.
        id: u64,
        /// Whether it is whole.
        is_last: bool,
        /// Bytes of it.
        bytes: Bytes,
    },
    /// A session is not given.
    Refused {
        /// The claim or the settlement.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
    /// What was sent on this node to a session that is on the other.
    Onward {
        /// The session.
        session: Arc<str>,
        /// The message.
        message: Waiting,
    },
}

/// A message on its way between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Whether it is text.
    pub is_text: bool,
    /// Whether it may be compressed.
    pub compress: Compress,
    /// Whether it is for those, too, who come later.
    pub kept: Kept,
    /// Users that do not get it.
    pub except: Vec<Arc<str>>,
    /// The message.
    pub payload: Bytes,
}

/// Whether a message is for those, too, who come later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kept {
    /// No.
    #[default]
    Not,
    /// Yes.
    All,
    /// Yes, in the place of the one with this key.
    Latest(u64),
}

impl Carried {
    /// A message that leaves out nobody.
    #[must_use]
    pub fn new(is_text: bool, payload: impl Into<Bytes>) -> Self {
        let (compress, kept) = (Compress::Auto, Kept::Not);
        Self { is_text, compress, kept, except: Vec::new(), payload: payload.into() }
    }
}

/// What all nodes are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// How many connections there are.
    Connections,
    /// How many members a room has.
    Members(Arc<str>),
    /// Which users are in a room.
    Users(Arc<str>),
    /// How many connections a user has.
    Online(Arc<str>),
    /// All connections of a user are to be closed with this code and reason.
    Disconnect {
        /// Whose.
        user: Arc<str>,
        /// With what.
        frame: CloseFrame,
    },
    /// All registered members of one room are to be in another instead.
    Move {
        /// The one.
        from: Arc<str>,
        /// The other.
        to: Arc<str>,
    },
}

/// What one node answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// How many: connections, members, those that were closed or moved.
    pub count: u64,
    /// How many could not be moved.
    pub refused: u64,
    /// Who, in no order.
    pub users: Vec<Arc<str>>,
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is shorter than it says, or has bytes behind its end.
    #[error("the length is wrong")]
    Length,
    /// Of another version, or none at all.
    #[error("version {0} is unknown")]
    Version(u8),
    /// A kind or a flag that this version does not know.
    #[error("kind or flag {0} is unknown")]
    Kind(u8),
    /// A text that is not utf-8.
    #[error("a text is not utf-8")]
    Utf8,
    /// A number, a close code or a list that cannot be.
    #[error("a value is out of its range")]
    Range,
}

impl Envelope {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = encode(self.node, &self.body);
        stamp(&mut bytes, self.stream, self.number);
        bytes
    }

    /// Reads one; payloads are slices of it.
    ///
    /// # Errors
    /// When it is none of this version.
    pub fn decode(bytes: &Bytes) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let kind = reader.u8()?;
        let node = NodeId::from_bytes(reader.array()?);
        let (stream, number) = (reader.u64()?, reader.u64()?);
        if number == 0 {
            return Err(EnvelopeError::Range);
        }
        let body = Body::read(kind, &mut reader)?;
        reader.end()?;
        Ok(Self { node, stream, number, body })
    }
}

/// The envelope but for its [stamp].
pub(super) fn encode(node: NodeId, body: &Body) -> Vec<u8> {
    let payload_bytes = match body {
        Body::Message(carried) => carried.payload.len(),
        Body::Part { bytes, .. } => bytes.len(),
        _ => 64,
    };
    let mut writer = Writer::with_capacity(HEAD_BYTES + 16 + payload_bytes);
    writer.u8(VERSION);
    writer.u8(body.kind());
    writer.bytes(node.as_bytes());
    writer.bytes(&[0; HEAD_BYTES - STAMP_AT]);
    body.write(&mut writer);
    writer.into_bytes()
}

/// Writes which one it is.
pub(super) fn stamp(envelope: &mut [u8], stream: u64, number: u64) {
    let stamps = [stream.to_be_bytes(), number.to_be_bytes()];
    envelope[STAMP_AT..HEAD_BYTES].copy_from_slice(stamps.as_flattened());
}

impl Body {
    const fn kind(&self) -> u8 {
        match self {
            Self::Message(_) => 1,
            Self::Joined(_) => 2,
            Self::Left(_) => 3,
            Self::Ask => 4,
            Self::Users { .. } => 5,
            Self::Digest { .. } => 6,
            Self::Heartbeat { .. } => 7,
            Self::Goodbye => 8,
            Self::Question { .. } => 9,
            Self::Answer { .. } => 10,
            Self::Claim(_) => 11,
            Self::Settle { .. } => 12,
            Self::Part { .. } => 13,
            Self::Refused { .. } => 14,
            Self::Onward { .. } => 15,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Message(carried) => carried.write(writer),
            Self::Joined(user) | Self::Left(user) => writer.text(user),
            Self::Ask | Self::Goodbye => {}
            Self::Users { is_first, is_last, users } => {
                writer.u8(u8::from(*is_first) | u8::from(*is_last) << 1);
                writer.texts(users);
            }
            Self::Digest { users, hash } => {
                writer.u32(*users);
                writer.u64(*hash);
            }
            Self::Heartbeat { interval_ms, digest_ms, lost } => {
                writer.u32(*interval_ms);
                writer.u32(*digest_ms);
                writer.u64(*lost);
            }
            Self::Question { id, question } => {
                writer.u64(*id);
                question.write(writer);
            }
            Self::Answer { id, is_last, answer } => {
                writer.u64(*id);
                writer.u8(u8::from(*is_last));
                writer.u64(answer.count);
                writer.u64(answer.refused);
                writer.texts(&answer.users);
            }
            Self::Claim(claim) => claim.write(writer),
            Self::Settle { id, number, is_taken, session } => {
                writer.u64(*id);
                writer.u64(*number);
                writer.u8(u8::from(*is_taken));
                writer.text(session);
            }
            Self::Part { id, is_last, bytes } => {
                writer.u64(*id);
                writer.u8(u8::from(*is_last));
                writer.bytes(bytes);
            }
            Self::Refused { id, refusal } => {
                writer.u64(*id);
                refusal.write(writer);
            }
            Self::Onward { session, message } => {
                writer.text(session);
                message.write(writer);
            }
        }
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        Ok(match kind {
            1 => Self::Message(Carried::read(reader)?),
            2 => Self::Joined(reader.text()?),
            3 => Self::Left(reader.text()?),
            4 => Self::Ask,
            5 => {
                let flags = reader.flags(0b11)?;
                let users = reader.texts(USERS_MAX)?;
                Self::Users { is_first: flags & 1 != 0, is_last: flags & 2 != 0, users }
            }
            6 => Self::Digest { users: reader.u32()?, hash: reader.u64()? },
            7 => {
                let (interval_ms, digest_ms) = (interval(reader)?, interval(reader)?);
                Self::Heartbeat { interval_ms, digest_ms, lost: reader.u64()? }
            }
            8 => Self::Goodbye,
            9 => Self::Question { id: reader.u64()?, question: Question::read(reader)? },
            10 => {
                let (id, is_last) = (reader.u64()?, reader.flags(1)? == 1);
                let (count, refused) = (reader.u64()?, reader.u64()?);
                let users = reader.texts(USERS_MAX)?;
                Self::Answer { id, is_last, answer: Answer { count, refused, users } }
            }
            11 => Self::Claim(Claim::read(reader)?),
            12 => {
                let (id, number) = (reader.u64()?, reader.u64()?);
                let is_taken = reader.flags(1)? == 1;
                Self::Settle { id, number, is_taken, session: reader.text()? }
            }
            13 => {
                let (id, is_last) = (reader.u64()?, reader.flags(1)? == 1);
                Self::Part { id, is_last, bytes: reader.rest() }
            }
            14 => Self::Refused { id: reader.u64()?, refusal: Refusal::read(reader)? },
            15 => Self::Onward { session: reader.text()?, message: Waiting::read(reader)? },
            kind => return Err(EnvelopeError::Kind(kind)),
        })
    }
}

/// An hour at the longest, and no empty one.
fn interval(reader: &mut Reader<'_>) -> Result<u32, EnvelopeError> {
    let interval_ms = reader.u32()?;
    let is_one = (1..=INTERVAL_MS_MAX).contains(&interval_ms);
    if is_one { Ok(interval_ms) } else { Err(EnvelopeError::Range) }
}

const TEXT: u8 = 1;
const KEPT: u8 = 2;
const LATEST: u8 = 4;
const NEVER: u8 = 8;
const ALWAYS: u8 = 16;

impl Carried {
    fn write(&self, writer: &mut Writer) {
        let kept = match self.kept {
            Kept::Not => 0,
            Kept::All => KEPT,
            Kept::Latest(_) => KEPT | LATEST,
        };
        let compress = match self.compress {
            Compress::Auto => 0,
            Compress::Never => NEVER,
            Compress::Always => ALWAYS,
        };
        writer.u8(if self.is_text { TEXT } else { 0 } | kept | compress);
        if let Kept::Latest(key) = self.kept {
            writer.u64(key);
        }
        writer.texts(&self.except);
        writer.bytes(&self.payload);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        let flags = reader.flags(TEXT | KEPT | LATEST | NEVER | ALWAYS)?;
        let kept = match flags & (KEPT | LATEST) {
            0 => Kept::Not,
            KEPT => Kept::All,
            LATEST => return Err(EnvelopeError::Kind(flags)),
            _ => Kept::Latest(reader.u64()?),
        };
        let compress = match flags & (NEVER | ALWAYS) {
            0 => Compress::Auto,
            NEVER => Compress::Never,
            ALWAYS => Compress::Always,
            _ => return Err(EnvelopeError::Kind(flags)),
        };
        let except = reader.texts(USERS_MAX)?;
        let (is_text, payload) = (flags & TEXT != 0, reader.rest());
        if is_text && simdutf8::basic::from_utf8(&payload).is_err() {
            return Err(EnvelopeError::Utf8);
        }
        Ok(Self { is_text, compress, kept, except, payload })
    }
}

impl Question {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Connections => writer.u8(1),
            Self::Members(room) => writer.kind_and_text(2, room),
            Self::Users(room) => writer.kind_and_text(3, room),
            Self::Online(user) => writer.kind_and_text(4, user),
            Self::Disconnect { user, frame } => {
                writer.kind_and_text(5, user);
                writer.u16(frame.code().into());
                writer.text(frame.reason());
            }
            Self::Move { from, to } => {
                writer.kind_and_text(6, from);
                writer.text(to);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, EnvelopeError> {
        Ok(match reader.u8()? {
            1 => Self::Connections,
            2 => Self::Members(reader.text()?),
            3 => Self::Users(reader.text()?),
            4 => Self::Online(reader.text()?),
            5 => {
                let (user, code, reason) = (reader.text()?, reader.u16()?, reader.text()?);
                let frame = CloseFrame::new(code, &reason).map_err(|_| EnvelopeError::Range)?;
                Self::Disconnect { user, frame }
            }
            6 => Self::Move { from: reader.text()?, to: reader.text()? },
            kind => return Err(EnvelopeError::Kind(kind)),
        })
    }
}
