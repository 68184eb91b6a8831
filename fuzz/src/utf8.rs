//! Incremental utf-8 against the whole text and std: the same verdict, at the first byte that no
//! text has there.

use sockeye::frame::Utf8Validator;

use super::source::pieces;

/// One byte of cuts, then the text.
pub fn run(data: &[u8]) {
    let Some((&seed, text)) = data.split_first() else {
        return;
    };
    let expected = first_bad(text);

    let mut validator = Utf8Validator::new();
    let found = text.iter().position(|byte| validator.push(&[*byte]).is_err());
    assert_eq!(found, expected, "byte by byte");
    if found.is_none() {
        assert_eq!(validator.is_complete(), std::str::from_utf8(text).is_ok());
    }

    let mut validator = Utf8Validator::new();
    let mut taken = 0;
    for piece in pieces(text, seed) {
        let verdict = validator.push(piece);
        taken += piece.len();
        assert_eq!(
            verdict.is_err(),
            expected.is_some_and(|bad| bad < taken),
            "in pieces, after {taken}"
        );
        if verdict.is_err() {
            return;
        }
    }
    assert_eq!(validator.is_complete(), std::str::from_utf8(text).is_ok());
}

/// The first byte after which no continuation makes a text, by std.
fn first_bad(text: &[u8]) -> Option<usize> {
    let error = std::str::from_utf8(text).err()?;
    error.error_len()?;
    let start = error.valid_up_to();
    (start..text.len()).find(|end| {
        std::str::from_utf8(&text[start..=*end]).is_err_and(|error| error.error_len().is_some())
    })
}
