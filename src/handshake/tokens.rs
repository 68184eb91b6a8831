//! Tokens and comma-separated lists of RFC 9110 5.6, in one pass and without regular expressions.

use std::iter::once;

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether the text is one RFC 9110 5.6.2 token: at least one byte, and none that delimits.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    const IS_TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
    IS_TOKEN[usize::from(byte)]
}

/// Letters, digits and some more bytes, to be looked up: one load in place of a search.
pub(super) const fn table(more: &[u8]) -> [bool; 256] {
    let mut is_member = [false; 256];
    let mut byte = 0;
    while byte < 128u8 {
        is_member[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < more.len() {
        is_member[more[index] as usize] = true;
        index += 1;
    }
    is_member
}

/// Optional white space of RFC 9110 5.6.3.
pub(super) fn is_white(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// How many bytes there are before the first that may not stand in a line.
///
/// Eight at a time. In each of the sums a byte has its highest bit if it is one that is looked for; a borrow makes mistakes only
/// behind the first.
pub(super) fn text_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = 0x80 * ONES;
    let mut len = 0;
    while let Some(eight) = bytes.get(len..).and_then(<[u8]>::first_chunk::<8>) {
        let eight = u64::from_le_bytes(*eight);
        let deletes = eight ^ (0x7f * ONES);
        let is_control = eight.wrapping_sub(0x20 * ONES) & !eight;
        let is_delete = deletes.wrapping_sub(ONES) & !deletes;
        let found = (is_control | is_delete) & HIGHEST;
        if found == 0 {
            len += 8;
            continue;
        }
        len += found.trailing_zeros() as usize / 8;
        if bytes[len] != b'\t' {
            return len;
        }
        len += 1;
    }
    let rest = &bytes[len..];
    len + rest.iter().position(|&byte| !is_text(byte)).unwrap_or(rest.len())
}

/// How many bytes there are before the first CR, of lines that were looked at before. Eight at a time, as above.
pub(super) fn line_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut len = 0;
    while let Some(eight) = bytes.get(len..).and_then(<[u8]>::first_chunk::<8>) {
        let returns = u64::from_le_bytes(*eight) ^ (b'\r' as u64 * ONES);
        let found = returns.wrapping_sub(ONES) & !returns & (0x80 * ONES);
        if found != 0 {
            return len + found.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let rest = &bytes[len..];
    len + rest.iter().position(|&byte| byte == b'\r').unwrap_or(rest.len())
}

/// What may stand in a line: no control but the tab (RFC 9110 5.5).
pub(super) const fn is_text(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_white(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_white(*last)
    {
        text = rest;
    }
    text
}

/// The elements of every line of a list header, in order, trimmed, empty ones left out (RFC 9110
/// 5.3, 5.6.1.2).
///
/// Only for lists of tokens: a quoted string could hold a comma, and its halves are no tokens,
/// which the caller checks.
pub(crate) fn elements<K: AsHeaderName>(
    headers: &HeaderMap,
    name: K,
) -> impl Iterator<Item = &[u8]> {
    elements_of(headers.get_all(name).into_iter().map(HeaderValue::as_bytes))
}

/// The same of the lines themselves.
pub(super) fn elements_of<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    lines
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Whether a list header names `token`, whole and in any case. False too when any element is no
/// token or `token/token` (`protocol-name "/" protocol-version`, RFC 9110 7.8), for such a list
/// cannot be trusted to be cut where its sender meant.
pub(super) fn list_names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line_names(line.as_bytes(), token),
        _ => names(elements(headers, name), token),
    }
}

/// The same of the only line.
pub(super) fn line_names(line: &[u8], token: &str) -> bool {
    line.eq_ignore_ascii_case(token.as_bytes()) || names(elements_of(once(line)), token)
}

fn names<'a>(elements: impl Iterator<Item = &'a [u8]>, token: &str) -> bool {
    let mut found = false;
    for element in elements {
        if !element.splitn(2, |&byte| byte == b'/').all(is_token) {
            return false;
        }
        found |= element.eq_ignore_ascii_case(token.as_bytes());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::CONNECTION;
    use proptest::prelude::*;

    fn connection(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONNECTION, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn a_token_has_no_delimiter() {
        assert!(is_token(b"graphql-ws"));
        assert!(is_token(b"!#$%&'*+-.^_`|~09azAZ"));
        assert!(!is_token(b""));
        for byte in (0..=b' ').chain(*b"\"(),/:;<=>?@[\\]{}").chain(0x7f..=0xff) {
            assert!(!is_token(&[b'a', byte]), "{byte:#x} is a delimiter");
        }
    }

    #[test]
    fn trim_takes_spaces_and_tabs_only() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b"\x0ba"), b"\x0ba");
    }

    #[test]
    fn a_list_names_whole_tokens_in_any_case() {
        for lines in [
            &["upgrade"][..],
            &["keep-alive, Upgrade"],
            &["keep-alive", "UPGRADE"],
            &[",, ,\tupGrade\t,,"],
            &["", "h2c/1 , upgrade"],
        ] {
            assert!(list_names(&connection(lines), &CONNECTION, "upgrade"), "{lines:?}");
        }
        for lines in [
            &[][..],
            &[""],
            &["not-Upgrade"],
            &["upgrade-insecure-requests"],
            &["up grade"],
            &["\"a, upgrade, b\""],
            &["upgrade, @"],
            &["upgrade, a/b/c"],
            &["upgrade/1"],
            &["keep-alive; upgrade"],
        ] {
            assert!(!list_names(&connection(lines), &CONNECTION, "upgrade"), "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn text_ends_with_the_first_control(
            bytes in prop::collection::vec(
                prop_oneof![8 => 0x20..=0xffu8, 1 => any::<u8>(), 1 => prop::sample::select(b"\t\r\n\x1f\x7f\x80\x9f".to_vec())],
                0..40,
            ),
        ) {
            let len = bytes.iter().take_while(|byte| is_text(**byte)).count();
            prop_assert_eq!(text_bytes(&bytes), len);
            let len = bytes.iter().take_while(|byte| **byte != b'\r').count();
            prop_assert_eq!(line_bytes(&bytes), len);
        }
    }
}
