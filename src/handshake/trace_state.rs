//! `tracestate`: what vendors say about a trace (W3C Trace Context 3.3).

use http::HeaderValue;

/// The longest that is passed on, in bytes: as much as everybody has to take. Source: W3C Trace Context 3.3.1.5.
const BYTES_MAX: usize = 512;

/// Most members. Source: W3C Trace Context 3.3.1.1.
const MEMBERS_MAX: usize = 32;

/// The longest key and value, in bytes.
const PART_BYTES_MAX: usize = 256;

/// The members of all headers, without what is between them. `None`: there are none, or something is wrong.
pub(super) fn joined<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<String> {
    let (mut state, mut keys) = (String::new(), Vec::new());
    for value in values {
        let text = value.to_str().ok()?;
        if text.len() > BYTES_MAX {
            return None;
        }
        // Members may be empty, with white space around them.
        let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        for member in members.filter(|member| !member.is_empty()) {
            let (key, value) = member.split_once('=')?;
            let is_member = is_key(key) && is_value(value) && !keys.contains(&key);
            if !is_member || keys.len() == MEMBERS_MAX {
                return None;
            }
            keys.push(key);
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(member);
            if state.len() > BYTES_MAX {
                return None;
            }
        }
    }
    (!state.is_empty()).then_some(state)
}

/// `name`, or `tenant@system`.
fn is_key(key: &str) -> bool {
    let is_rest =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte);
    let is_name = |name: &str, len_max: usize, may_begin_with_digit: bool| {
        let begins = name.bytes().next().is_some_and(|first| {
            first.is_ascii_lowercase() || (may_begin_with_digit && first.is_ascii_digit())
        });
        begins && name.len() <= len_max && name.bytes().all(is_rest)
    };
    match key.split_once('@') {
        None => is_name(key, PART_BYTES_MAX, false),
        Some((tenant, system)) => is_name(tenant, 241, true) && is_name(system, 14, false),
    }
}

/// Visible ASCII and spaces, without a comma or an equals sign; it ends with no space, for those were cut off.
fn is_value(value: &str) -> bool {
    let is_one = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    (1..=PART_BYTES_MAX).contains(&value.len()) && value.bytes().all(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<String> {
        joined(std::iter::once(&HeaderValue::from_str(text).ok()?))
    }

    /// TC-04: members as the grammar has them, in their order.
    #[test]
    fn members_are_those_of_the_grammar() {
        for (text, state) in [
            ("a=1", "a=1"),
            ("a=1, b=2 ,\tc=3", "a=1,b=2,c=3"),
            (",a=1,,b=2,", "a=1,b=2"),
            ("1t@v=x y", "1t@v=x y"),
            ("a_-*/9=!~", "a_-*/9=!~"),
        ] {
            assert_eq!(read(text).as_deref(), Some(state), "{text}");
        }
        let refused = [
            "",
            ",",
            "a",
            "=1",
            "a=",
            "A=1",
            "1=1",
            "a b=1",
            "a=b=c",
            "@v=1",
            "a@=1",
            "a@1=1",
            "a@b@c=1",
            "a=1,a=2",
            "a=x\ty",
            "a@abcdefghijklmno=1",
        ];
        for text in refused {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// TC-04: bounded in members and bytes.
    #[test]
    fn it_is_bounded() {
        let members = |count| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert!(read(&members(32)).is_some());
        assert_eq!(read(&members(33)), None);
        let long = |bytes| format!("a={},b={}", "x".repeat(250), "y".repeat(bytes));
        assert_eq!(read(&long(257)), None);
        assert_eq!(read(&long(256)).unwrap().len(), 511);
        let whole = format!("{},c=", long(250));
        assert_eq!(read(&format!("{whole}{}", "z".repeat(512 - whole.len()))).unwrap().len(), 512);
        let spaces = |bytes: usize| format!("a=1{}", " ".repeat(bytes - 3));
        assert_eq!(read(&spaces(512)).as_deref(), Some("a=1"));
        assert_eq!(read(&spaces(513)), None);
        let two = [
            HeaderValue::from_str(&long(200)).unwrap(),
            HeaderValue::from_str(&format!("c={}", "z".repeat(60))).unwrap(),
        ];
        assert_eq!(joined(two.iter()), None);
    }

    proptest! {
        /// TC-04: what is read is read again as it is; anything else never panics.
        #[test]
        fn what_is_read_is_read_again(text in "[a-z0-9@=,_ \t*/-]{0,60}") {
            if let Some(state) = read(&text) {
                prop_assert!(state.len() <= BYTES_MAX);
                prop_assert_eq!(read(&state), Some(state));
            }
        }
    }
}
