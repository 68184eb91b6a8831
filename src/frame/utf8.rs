//! Utf-8 that may be cut anywhere, checked as it comes.

/// The text is not utf-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("text is not utf-8")]
pub struct InvalidUtf8;

/// Checks utf-8 piece by piece and fails at the first byte that no text can have there.
///
/// `held <= 3`: only the bytes of a character that is not whole yet are kept.
///
/// Cost: one pass by SIMD; no allocation. Source: RFC 6455 8.1, RFC 3629.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Validator {
    cut: [u8; 3],
    held: u8,
}

impl Utf8Validator {
    /// A validator at the beginning of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self { cut: [0; 3], held: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`InvalidUtf8`] as soon as what came cannot be the beginning of any text.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        while self.held > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            self.push_cut(byte)?;
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(InvalidUtf8),
            Err(error) => {
                let tail = piece.get(error.valid_up_to()..).unwrap_or_default();
                for (slot, byte) in self.cut.iter_mut().zip(tail) {
                    *slot = *byte;
                    self.held += 1;
                }
                Ok(())
            }
        }
    }

    /// Whether a text may end here: no character is cut.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.held == 0
    }

    fn push_cut(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        let held = usize::from(self.held);
        let mut character = [0; 4];
        character[..held].copy_from_slice(&self.cut[..held]);
        character[held] = byte;
        match std::str::from_utf8(&character[..=held]) {
            Ok(_) => self.held = 0,
            Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
            Err(_) => {
                // An unfinished character has at most three bytes, so the slot exists.
                self.cut[held] = byte;
                self.held += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first_error(bytes: &[u8]) -> Option<usize> {
        let mut validator = Utf8Validator::new();
        bytes.iter().position(|byte| validator.push(&[*byte]).is_err())
    }

    /// MS-08, fuzz oracle 10: fails at the first impossible byte, as std sees it.
    fn std_first_error(bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).find(|end| {
            std::str::from_utf8(&bytes[..=*end]).is_err_and(|error| error.error_len().is_some())
        })
    }

    #[test]
    fn s8_1_fails_at_the_first_impossible_byte() {
        for (bytes, at) in [
            (&b"\xc0\xaf"[..], Some(0)),
            (b"\xed\xa0\x80", Some(1)),
            (b"\xf4\x90\x80\x80", Some(1)),
            (b"\xf0\x80\x80\x80", Some(1)),
            (b"ok \xce\xba\xe1\xbd\xb9", None),
            (b"\xf4\x8f\xbf\xbf", None),
            (b"a\x80", Some(1)),
            (b"\xff", Some(0)),
        ] {
            assert_eq!(first_error(bytes), at, "{bytes:?}");
            assert_eq!(std_first_error(bytes), at, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn s8_1_any_cut_gives_the_verdict_of_std(
            text in "\\PC{0,40}", noise in prop::collection::vec(any::<u8>(), 0..6),
            at: prop::sample::Index, cut: prop::sample::Index,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, noise);
            let cut = cut.index(bytes.len() + 1);
            let mut validator = Utf8Validator::new();
            let verdict = validator.push(&bytes[..cut]).and_then(|()| validator.push(&bytes[cut..]));
            let whole = verdict.is_ok() && validator.is_complete();
            prop_assert_eq!(whole, std::str::from_utf8(&bytes).is_ok());
            prop_assert_eq!(verdict.is_err(), std_first_error(&bytes).is_some());
            prop_assert_eq!(first_error(&bytes), std_first_error(&bytes));
        }
    }
}
