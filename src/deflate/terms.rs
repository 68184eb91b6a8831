//! The four parameters as a list of names and values.

use super::DeflateAnswerError;

pub(super) const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
pub(super) const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
pub(super) const SERVER_WINDOW: &str = "server_max_window_bits";
pub(super) const CLIENT_WINDOW: &str = "client_max_window_bits";

/// The parameters of one offer or answer.
pub(super) type List = Vec<(String, Option<String>)>;

/// The four parameters of RFC 7692 7.1, as they stand in an offer or an answer.
#[derive(Default)]
pub(super) struct Terms {
    pub(super) server_no_context: bool,
    pub(super) client_no_context: bool,
    pub(super) server_window: Option<u8>,
    pub(super) client_window: Option<u8>,
}

impl Terms {
    /// `bare_window` is what `client_max_window_bits` means without a value; `None` forbids that.
    pub(super) fn read(
        params: &[(String, Option<String>)],
        bare_window: Option<u8>,
    ) -> Result<Self, DeflateAnswerError> {
        let mut terms = Self::default();
        for (name, value) in params {
            let value = value.as_deref();
            match name.as_str() {
                SERVER_NO_CONTEXT => flag(&mut terms.server_no_context, SERVER_NO_CONTEXT, value)?,
                CLIENT_NO_CONTEXT => flag(&mut terms.client_no_context, CLIENT_NO_CONTEXT, value)?,
                SERVER_WINDOW => window(&mut terms.server_window, SERVER_WINDOW, value, None)?,
                CLIENT_WINDOW => {
                    window(&mut terms.client_window, CLIENT_WINDOW, value, bare_window)?;
                }
                _ => return Err(DeflateAnswerError::Unknown),
            }
        }
        Ok(terms)
    }

    pub(super) fn write(&self) -> List {
        let flag = |is_there: bool, name: &str| is_there.then(|| (name.to_owned(), None));
        let window = |bits: Option<u8>, name: &str| {
            bits.map(|bits| (name.to_owned(), Some(bits.to_string())))
        };
        let params = [
            flag(self.server_no_context, SERVER_NO_CONTEXT),
            flag(self.client_no_context, CLIENT_NO_CONTEXT),
            window(self.server_window, SERVER_WINDOW),
            window(self.client_window, CLIENT_WINDOW),
        ];
        params.into_iter().flatten().collect()
    }
}

/// Source: RFC 7692 7.1.1: "This parameter has no value".
fn flag(
    slot: &mut bool,
    name: &'static str,
    value: Option<&str>,
) -> Result<(), DeflateAnswerError> {
    if value.is_some() {
        return Err(DeflateAnswerError::Value { name });
    }
    if std::mem::replace(slot, true) {
        return Err(DeflateAnswerError::Repeated { name });
    }
    Ok(())
}

fn window(
    slot: &mut Option<u8>,
    name: &'static str,
    value: Option<&str>,
    bare: Option<u8>,
) -> Result<(), DeflateAnswerError> {
    let Some(bits) = value.map_or(bare, bits_of) else {
        return Err(DeflateAnswerError::Value { name });
    };
    if slot.replace(bits).is_some() {
        return Err(DeflateAnswerError::Repeated { name });
    }
    Ok(())
}

/// A decimal integer between 8 and 15 without leading zeros, and nothing besides. Source: RFC 7692
/// 7.1.2.
fn bits_of(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BY-01: exactly eight texts are a window.
    #[test]
    fn s7_1_2_values() {
        for bits in 0..=u8::MAX {
            let expected = (8..=15).contains(&bits).then_some(bits);
            assert_eq!(bits_of(&bits.to_string()), expected);
        }
    }
}
