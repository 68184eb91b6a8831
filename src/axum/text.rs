//! Text in shared memory, as axum has it.

use std::fmt;
use std::ops::Deref;
use std::str::Utf8Error;

use bytes::Bytes;

use crate::protocol;

/// Utf-8 text in shared, immutable memory: [`crate::Utf8Bytes`] with the conversions of axum's. Cloning counts a reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utf8Bytes(protocol::Utf8Bytes);

impl Utf8Bytes {
    /// Text that lives as long as the program. No copy.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(protocol::Utf8Bytes::from_static(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = Utf8Error;

    /// Checks the bytes; no copy.
    fn try_from(bytes: Bytes) -> Result<Self, Utf8Error> {
        protocol::Utf8Bytes::try_from(bytes).map(Self)
    }
}

impl TryFrom<Vec<u8>> for Utf8Bytes {
    type Error = Utf8Error;

    /// Checks the bytes; no copy.
    fn try_from(bytes: Vec<u8>) -> Result<Self, Utf8Error> {
        Self::try_from(Bytes::from(bytes))
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Utf8Bytes {
    fn from(text: &String) -> Self {
        Self(text.as_str().into())
    }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0.into_bytes()
    }
}

impl From<protocol::Utf8Bytes> for Utf8Bytes {
    fn from(text: protocol::Utf8Bytes) -> Self {
        Self(text)
    }
}

impl From<Utf8Bytes> for protocol::Utf8Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0
    }
}

impl<T> PartialEq<T> for Utf8Bytes
where
    for<'a> &'a str: PartialEq<T>,
{
    fn eq(&self, other: &T) -> bool {
        self.as_str() == *other
    }
}
