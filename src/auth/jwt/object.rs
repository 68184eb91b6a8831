//! JSON objects as tokens carry them: shallow, and no member twice (RFC 7515 4, RFC 7519 4).

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The object is the first level.
const DEPTH_MAX: usize = 8;

/// The members of an object; `None` for what is no object, is too deep, or has a member twice in any
/// object.
///
/// Two passes: one refuses what the other would take quietly. Numbers stay the library's business,
/// for a feature of it (`arbitrary_precision`) that anybody in the tree may ask for changes their form.
pub(super) fn parse(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Check { levels_left: DEPTH_MAX }.deserialize(&mut json).ok()?;
    serde_json::from_slice(bytes).ok()
}

#[derive(Clone, Copy)]
struct Check {
    levels_left: usize,
}

impl Check {
    fn inside<E: Error>(self) -> Result<Self, E> {
        let levels_left = self.levels_left.checked_sub(1);
        levels_left.map(|levels_left| Self { levels_left }).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member twice"));
            }
            members.next_value_seed(inside)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while elements.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn takes_shallow_objects() {
        let json = r#" {"a": [1, -2, 3.5, true, null, "b"], "b": {"a": {"a": {}}}, "c": []} "#;
        assert_eq!(parse(json.as_bytes()).unwrap().len(), 3);
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_some());
    }

    /// A05, row 57.
    #[test]
    fn refuses_members_that_stand_there_twice() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[[{"a":1,"c":2,"a":3}]]}"#,
        ] {
            assert_eq!(parse(json.as_bytes()), None, "{json}");
        }
    }

    /// A05, row 57.
    #[test]
    fn refuses_depth() {
        for levels in [DEPTH_MAX + 1, 1_000, 100_000] {
            assert_eq!(parse(nested(levels).as_bytes()), None, "{levels}");
            assert_eq!(parse(format!(r#"{{"a":{}"#, "[".repeat(levels)).as_bytes()), None);
        }
    }

    #[test]
    fn refuses_what_is_no_object() {
        for json in [
            "",
            " ",
            "1",
            "null",
            "[]",
            "\"a\"",
            "{",
            "{}x",
            "{}{}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":1,}",
            "\u{feff}{}",
            r#"{"a":NaN}"#,
            r#"{"a":1e400}"#,
            r#"{"a":01}"#,
            r#"{"a":"\ud800"}"#,
        ] {
            assert_eq!(parse(json.as_bytes()), None, "{json}");
        }
        assert_eq!(parse(b"{\"a\":\"\xff\"}"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[{}\\[\\]\":,a1]{0,40}") {
            let _ = (parse(&bytes), parse(text.as_bytes()));
        }
    }
}
