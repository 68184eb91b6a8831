//! Which trace a request belongs to: `traceparent` and `tracestate` (W3C Trace Context).
//!
//! ```text
//!  traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!               |  trace id                         parent id        flags: 1 is sampled
//!               version
//! ```

use std::fmt;

use http::{HeaderMap, HeaderValue};

use crate::sync::Arc;

use super::trace_state;

/// The length of version 0, in bytes. Later versions may only be longer, behind a dash.
const LEN: usize = 55;

/// Flag 1 of 8: the caller records this trace. The others mean nothing here and are not passed on.
const SAMPLED: u8 = 1;

/// The names of the two headers.
pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// The place of a request in a distributed trace, as its two headers say it. What is malformed is as if it were not there: a
/// trace is never a reason to refuse a request.
///
/// ```
/// use sockeye::handshake::TraceContext;
///
/// let came = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
/// assert!(came.is_sampled());
/// // What this end asks of others belongs to the same trace.
/// let ours = came.child();
/// assert_eq!(ours.trace_id(), came.trace_id());
/// assert_ne!(ours.parent_id(), came.parent_id());
/// assert_eq!(ours.to_string().len(), 55);
/// ```
///
/// Source: W3C Trace Context, 3.2 and 3.3.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Not zero.
    trace_id: u128,
    /// Not zero.
    parent_id: u64,
    flags: u8,
    /// At most 512 bytes, well formed.
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// A trace that begins here.
    ///
    /// # Panics
    /// When the operating system has no random numbers.
    #[must_use]
    pub fn root(is_sampled: bool) -> Self {
        let trace_id = (u128::from(random()) << 64) | u128::from(random());
        let flags = if is_sampled { SAMPLED } else { 0 };
        Self { trace_id, parent_id: random(), flags, state: None }
    }

    /// The value of a `traceparent`. Of a version later than 0 what is behind the flags is passed over; what is written is
    /// version 0.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let (known, rest) = bytes.split_at_checked(LEN)?;
        let version = hex(&known[..2])?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let has_dashes = [known[2], known[35], known[52]] == [b'-'; 3];
        let (trace_id, parent_id) = (hex(&known[3..35])?, hex(&known[36..52])?);
        let flags = hex(&known[53..])? as u8 & SAMPLED;
        let is_valid = is_whole && has_dashes && trace_id != 0 && parent_id != 0;
        is_valid.then_some(Self { trace_id, parent_id: parent_id as u64, flags, state: None })
    }

    /// That of a request. Several `traceparent` are none; several `tracestate` are one, and one that is malformed, or
    /// longer than 512 bytes or 32 members, is left out.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let (parent, None) = (parents.next()?, parents.next()) else { return None };
        let context = Self::parse(parent.to_str().ok()?)?;
        let state = trace_state::joined(headers.get_all(TRACESTATE).iter());
        Some(Self { state: state.map(Into::into), ..context })
    }

    /// The same place with what vendors say about it, the value of a `tracestate`. `None`: it is malformed or too long.
    #[must_use]
    pub fn with_state(self, state: &str) -> Option<Self> {
        let value = HeaderValue::from_str(state).ok()?;
        let state = trace_state::joined(std::iter::once(&value))?;
        Some(Self { state: Some(state.into()), ..self })
    }

    /// A new place in the same trace: the parent of what this end asks of others.
    ///
    /// # Panics
    /// When the operating system has no random numbers.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { parent_id: random(), ..self.clone() }
    }

    /// Of the whole trace.
    #[must_use]
    pub const fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Of the place that asks.
    #[must_use]
    pub const fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// Whether the caller records this trace.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// What vendors say about it, for the header `tracestate`.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// The value of `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// Without what vendors say: it may be anything.
impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

/// Lower-case digits only.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u128::from(digit))
    })
}

/// Not zero.
fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    u64::from_le_bytes(bytes).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAWFUL: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// TC-01: the vectors of the grammar.
    #[test]
    fn the_grammar_is_kept() {
        let context = TraceContext::parse(LAWFUL).unwrap();
        assert_eq!(context.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.parent_id(), context.is_sampled()), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(context.to_string(), LAWFUL);
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let (zeros, parent) = ("0".repeat(32), "00f067aa0ba902b7");
        for refused in [
            format!("ff-{id}-{parent}-01"),
            format!("00-{zeros}-{parent}-01"),
            format!("00-{id}-0000000000000000-01"),
            format!("00-{}-{parent}-01", id.to_uppercase()),
            format!("00-{id}-{parent}-0A"),
            format!("00-{id}-{parent}-1"),
            format!("0-{id}-{parent}-01"),
            format!("00-{id}-{parent}-01-"),
            format!("00-{id}-{parent}-01-more"),
            format!("cc-{id}-{parent}-01more"),
            format!("00_{id}-{parent}-01"),
            format!("00-{id}_{parent}-01"),
            format!("00-{id}-{parent}_01"),
            format!(" 00-{id}-{parent}-01"),
            format!("0g-{id}-{parent}-01"),
            String::new(),
            "é".repeat(40),
        ] {
            assert_eq!(TraceContext::parse(&refused), None, "{refused}");
        }
        for (taken, is_sampled) in [
            (format!("00-{id}-{parent}-00"), false),
            (format!("00-{id}-{parent}-ff"), true),
            (format!("00-{id}-{parent}-02"), false),
            (format!("cc-{id}-{parent}-01"), true),
            (format!("cc-{id}-{parent}-01-what-the-future-brings"), true),
            (format!("01-{id}-{parent}-00-"), false),
        ] {
            let context = TraceContext::parse(&taken).unwrap();
            assert_eq!(context.is_sampled(), is_sampled, "{taken}");
            let flags = u8::from(is_sampled);
            assert_eq!(context.to_string(), format!("00-{id}-{parent}-{flags:02x}"), "{taken}");
        }
    }

    /// TC-02: the two headers together: one parent, and the state with it or not at all.
    #[test]
    fn headers_are_read_together() {
        let read = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            TraceContext::from_headers(&headers)
        };
        let (parent, state) = (("traceparent", LAWFUL), ("tracestate", "a=1"));
        assert_eq!(read(&[state]), None);
        assert_eq!(read(&[parent, parent]), None);
        assert_eq!(read(&[("traceparent", "00-1"), state]), None);
        assert_eq!(read(&[parent]).unwrap().state(), None);
        assert_eq!(read(&[parent, state]).unwrap().state(), Some("a=1"));
        let two = read(&[parent, state, ("tracestate", "b@c=2 3")]).unwrap();
        assert_eq!(two.state(), Some("a=1,b@c=2 3"));
        assert_eq!(read(&[parent, ("tracestate", "=1")]).unwrap().state(), None);
        assert!(!format!("{two:?}").contains("2 3"), "state may be anything");
    }

    /// TC-03: a child is in the same trace, and a root in one of its own.
    #[test]
    fn children_stay_in_their_trace() {
        let came = TraceContext::parse(LAWFUL).unwrap().with_state("a=1").unwrap();
        let child = came.child();
        assert_eq!((child.trace_id(), child.state()), (came.trace_id(), Some("a=1")));
        assert_ne!(child.parent_id(), came.parent_id());
        let root = TraceContext::root(true);
        assert!(root.is_sampled() && root.trace_id() != TraceContext::root(true).trace_id());
        assert!(root.trace_id() >> 64 != 0 && root.trace_id() as u64 != 0, "128 random bits");
        assert_eq!(TraceContext::parse(&root.to_string()), Some(root));
    }

    proptest! {
        /// TC-01: what is written is read again.
        #[test]
        fn what_is_written_is_read(trace_id in 1..=u128::MAX, parent_id in 1..=u64::MAX, flags in 0..=1_u8) {
            let context = TraceContext { trace_id, parent_id, flags, state: None };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        /// TC-01: one changed byte of a lawful value is refused or is lawful itself; any text never panics.
        #[test]
        fn anything_is_read_without_a_panic(at in 0..LEN, byte: u8, text: String) {
            let mut bytes = LAWFUL.as_bytes().to_vec();
            bytes[at] = byte;
            for text in [String::from_utf8_lossy(&bytes).into_owned(), text] {
                if let Some(context) = TraceContext::parse(&text) {
                    prop_assert!(context.trace_id() != 0 && context.parent_id() != 0);
                    prop_assert_eq!(&context.to_string()[3..52], &text[3..52]);
                }
            }
        }
    }
}
