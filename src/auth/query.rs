//! One parameter of a query.

use std::borrow::Cow;

use crate::handshake::decode_query;

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A `%` without two hexadecimal digits behind it, or what is not utf-8 when decoded.
    #[error("malformed query")]
    Malformed,
    /// The parameter is there twice: two programs that read it may disagree about which one counts.
    #[error("a query parameter twice")]
    Twice,
}

/// The value of a query parameter, decoded (`%XX` and `+`). `None` when it is absent. The query has no
/// `?` in front.
///
/// Stricter than [`Request::query`](crate::Request::query): for names and values that decide who gets
/// in.
///
/// # Errors
/// [`QueryError`], also when the name of another parameter cannot be decoded.
pub fn query_value<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, QueryError> {
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(key)? == name && found.replace(decode(value)?).is_some() {
            return Err(QueryError::Twice);
        }
    }
    Ok(found)
}

fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    decode_query(text).ok_or(QueryError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn room(query: &str) -> Result<Option<String>, QueryError> {
        query_value(query, "room").map(|value| value.map(Cow::into_owned))
    }

    /// A43, HS-10.
    #[test]
    fn a_parameter_is_there_once() {
        for (query, value) in [
            ("room=a", Some("a")),
            ("b=1&b=2&room=a+b%20c&c", Some("a b c")),
            ("%72oom=a", Some("a")),
            ("room=a=b", Some("a=b")),
            ("room=", Some("")),
            ("room", Some("")),
            ("Room=a", None),
            ("rooms=a", None),
            ("b=%zz", None),
            ("&&", None),
            ("", None),
        ] {
            assert_eq!(room(query), Ok(value.map(str::to_owned)), "{query}");
        }
        for query in ["room=a&room=a", "room=a&b&%72oom=b", "room&room"] {
            assert_eq!(room(query), Err(QueryError::Twice), "{query}");
        }
        for query in ["room=%", "room=%4", "room=%zz", "room=%ff", "%zz=1&room=a"] {
            assert_eq!(room(query), Err(QueryError::Malformed), "{query}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(query: String, name: String) {
            let _ = query_value(&query, &name);
        }
    }
}
