//! Words, brackets, attributes and functions in blanked code.

use super::code::word_len;

/// All words and their places.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = code.get(at..).filter(|rest| !rest.is_empty())?;
            let len = word_len(rest);
            if len > 0 {
                at += len;
                return Some((at - len, &rest[..len]));
            }
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    })
}

/// The word at the beginning.
pub(crate) fn first_word(code: &str) -> &str {
    &code[..word_len(code)]
}

/// The place behind the bracket that closes the one at the beginning; the end if none does.
pub(crate) fn bracketed_len(code: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The length of the attribute at the beginning, `#[…]` or `#![…]`.
pub(crate) fn attribute_len(code: &str) -> Option<usize> {
    let skip = if code.starts_with("#![") { 2 } else { 1 };
    let is_attribute = code.starts_with("#[") || skip == 2;
    is_attribute.then(|| skip + bracketed_len(&code[skip..]))
}

/// What follows the attributes at the beginning.
pub(crate) fn after_attributes(mut code: &str) -> &str {
    while let Some(len) = attribute_len(code) {
        code = code[len..].trim_start();
    }
    code
}

/// What follows `pub`, `pub(crate)` and the like.
pub(crate) fn after_visibility(code: &str) -> &str {
    if first_word(code) != "pub" {
        return code;
    }
    let rest = code["pub".len()..].trim_start();
    let skip = if rest.starts_with('(') { bracketed_len(rest) } else { 0 };
    rest[skip..].trim_start()
}

/// A function that has a body, as places in its code.
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// Where its attributes begin, or whatever stands before it.
    pub(crate) start: usize,
    /// Its `fn`.
    pub(crate) at: usize,
    pub(crate) end: usize,
}

/// All functions, those within others after them.
pub(crate) fn functions(code: &str) -> Vec<Function<'_>> {
    let places = words(code).filter(|(_, word)| *word == "fn");
    places.filter_map(|(at, _)| function_at(code, at)).collect()
}

fn function_at(code: &str, at: usize) -> Option<Function<'_>> {
    let after = code[at + "fn".len()..].trim_start();
    let name = first_word(after);
    if name.is_empty() {
        return None;
    }
    let body = body_start(code, at)?;
    let start = code[..at].rfind([';', '}', '{']).map_or(0, |place| place + 1);
    Some(Function { name, start, at, end: body + bracketed_len(&code[body..]) })
}

/// The brace of the body; `None` for a signature alone.
fn body_start(code: &str, mut at: usize) -> Option<usize> {
    loop {
        let rest = &code[at..];
        at += rest.find(['(', '[', '{', ';'])?;
        match code.as_bytes()[at] {
            b'{' => return Some(at),
            b';' => return None,
            _ => at += bracketed_len(&code[at..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_words() {
        let found: Vec<_> = words("use a::b_1; é").collect();
        assert_eq!(found, [(0, "use"), (4, "a"), (7, "b_1"), (12, "é")]);
    }

    #[test]
    fn passes_over_attributes_and_visibility() {
        assert_eq!(after_attributes("#[a(b[0])] #[c] mod d;"), "mod d;");
        assert_eq!(after_visibility("pub(in crate::a) use b;"), "use b;");
        assert_eq!(after_visibility("public!()"), "public!()");
    }

    #[test]
    fn finds_functions_with_their_bodies() {
        let code = "struct A; #[test] fn a(x: [u8; 2], f: fn(u8)) -> B { if x { y } } fn c();";
        let found = functions(code);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "a");
        assert!(code[found[0].start..found[0].at].contains("#[test]"));
        assert!(code[..found[0].end].ends_with("{ y } }"));
    }
}
