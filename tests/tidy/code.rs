//! Rust text taken apart into code and comments. Both halves are as long as the whole and keep its
//! lines; what belongs to the other half, and the inside of literals, is blank.

/// The two halves of a text.
pub(crate) struct Halves {
    pub(crate) code: String,
    pub(crate) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Halves {
    pub(crate) fn of(text: &str) -> Self {
        let mut halves = Self { code: String::new(), comments: String::new() };
        let mut rest = text;
        while !rest.is_empty() {
            let (kind, len) = next(rest);
            let (token, after) = rest.split_at(len);
            push(&mut halves.code, token, kind == Kind::Code);
            push(&mut halves.comments, token, kind == Kind::Comment);
            rest = after;
        }
        halves
    }
}

fn push(half: &mut String, token: &str, is_kept: bool) {
    if is_kept {
        half.push_str(token);
        return;
    }
    let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
    half.extend(token.bytes().map(blank));
}

/// What stands at the beginning of `rest`, and how long it is in bytes.
fn next(rest: &str) -> (Kind, usize) {
    let word = word_len(rest);
    if rest.starts_with("//") {
        (Kind::Comment, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Kind::Comment, block_comment_len(rest))
    } else if let Some(len) = raw_literal_len(rest) {
        (Kind::Literal, len)
    } else if word > 0 {
        (Kind::Code, word)
    } else if rest.starts_with('"') {
        (Kind::Literal, quoted_len(rest, b'"'))
    } else if is_character(rest) {
        (Kind::Literal, quoted_len(rest, b'\''))
    } else {
        (Kind::Code, rest.chars().next().map_or(1, char::len_utf8))
    }
}

/// The length of the word at the beginning, zero if there is none.
pub(crate) fn word_len(rest: &str) -> usize {
    let is_word = |character: char| character == '_' || character.is_alphanumeric();
    rest.find(|character| !is_word(character)).unwrap_or(rest.len())
}

fn block_comment_len(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let step = match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// `r"…"`, `br#"…"#` and the like; not `r#name`.
fn raw_literal_len(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|prefix| word_len(rest) == prefix.len() && rest.starts_with(prefix))?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = prefix.len() + hashes + 1;
    Some(body.find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

fn quoted_len(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        at += if *byte == b'\\' { 2 } else { 1 };
        if *byte == quote {
            break;
        }
    }
    at.min(rest.len())
}

/// `'x'` and `'\n'`; not the lifetime `'x`.
fn is_character(rest: &str) -> bool {
    let mut characters = rest.chars();
    characters.next() == Some('\'')
        && (characters.next() == Some('\\') || characters.next() == Some('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let code = Halves::of(text).code;
        assert_eq!(code.len(), text.len());
        code.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(code("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(Halves::of("a // b").comments.trim(), "// b");
    }

    #[test]
    fn literals_are_not_code() {
        assert_eq!(code(r#"a("b \" c", d)"#), "a( , d)");
        assert_eq!(code("a(r#\"b \" c\"#, d)"), "a( , d)");
        assert_eq!(code(r"a('\'', 'b', '∂', b'c')"), "a( , , , b )");
        assert_eq!(code(r#"a("// b") c"#), "a( ) c");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(code("&'a str, 'b: loop, r#type"), "&'a str, 'b: loop, r#type");
    }

    #[test]
    fn what_never_ends_is_taken_to_the_end() {
        for text in ["a /* b", "a \"b", "a r#\"b", "a '\\"] {
            assert_eq!(code(text), "a");
        }
    }
}
