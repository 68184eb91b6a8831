//! Which trace a request belongs to: what is read is what another reader of the grammar finds, and is written as it was read.

use http::{HeaderMap, HeaderValue};

use sockeye::handshake::TraceContext;

/// Lines, each a header: those that begin with `s` a `tracestate`, others a `traceparent`, without that byte.
pub fn run(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Some((kind, value)) = line.split_first() else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(if *kind == b's' { "tracestate" } else { "traceparent" }, value);
    }
    let parents: Vec<_> = headers.get_all("traceparent").iter().collect();
    let expected = match parents[..] {
        [parent] => parent.to_str().ok().and_then(parent_of),
        _ => None,
    };
    let found = TraceContext::from_headers(&headers);
    let of_found =
        found.as_ref().map(|found| (found.trace_id(), found.parent_id(), found.is_sampled()));
    assert_eq!(of_found, expected, "{headers:?}");
    let Some(found) = found else { return };
    let state = state_of(&headers);
    assert_eq!(found.state().map(str::to_owned), state, "{headers:?}");

    let written = found.to_string();
    assert_eq!(format!("{found:?}"), format!("TraceContext({written})"), "no vendor's words");
    let mut again = TraceContext::parse(&written).expect("our own");
    if let Some(state) = state {
        again = again.with_state(&state).expect("it was read");
    }
    assert_eq!(again, found);
    let child = found.child();
    assert_eq!((child.trace_id(), child.state()), (found.trace_id(), found.state()));
}

/// W3C Trace Context 3.2, by its parts.
fn parent_of(text: &str) -> Option<(u128, u64, bool)> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, rest @ ..] = &parts[..] else { return None };
    let is_hex = |part: &str, len| {
        part.len() == len && part.chars().all(|digit| "0123456789abcdef".contains(digit))
    };
    let all = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    if !all || *version == "ff" || (*version == "00" && !rest.is_empty()) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).expect("hex");
    let parent = u64::from_str_radix(parent, 16).expect("hex");
    let is_sampled = u8::from_str_radix(flags, 16).expect("hex") % 2 == 1;
    (trace > 0 && parent > 0).then_some((trace, parent, is_sampled))
}

/// W3C Trace Context 3.3, member by member.
fn state_of(headers: &HeaderMap) -> Option<String> {
    let mut members: Vec<String> = Vec::new();
    for value in headers.get_all("tracestate") {
        let text = value.to_str().ok().filter(|text| text.len() <= 512)?;
        let trimmed = text.split(',').map(|member| member.trim_matches(|c| c == ' ' || c == '\t'));
        members.extend(trimmed.filter(|member| !member.is_empty()).map(str::to_owned));
    }
    let mut keys = std::collections::HashSet::new();
    for member in &members {
        let at = member.find('=')?;
        let (key, value) = (&member[..at], &member[at + 1..]);
        let is_value = !value.is_empty()
            && value.len() <= 256
            && value.chars().all(|c| matches!(c, ' '..='~') && c != ',' && c != '=');
        if !is_value || !is_key(key) || !keys.insert(key.to_owned()) {
            return None;
        }
    }
    let state = members.join(",");
    (!members.is_empty() && members.len() <= 32 && state.len() <= 512).then_some(state)
}

fn is_key(key: &str) -> bool {
    let is_rest = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '*' | '/');
    let parts: Vec<&str> = key.split('@').collect();
    let name = |name: &str, len_max: usize, digit: bool| {
        let mut chars = name.chars();
        let begins =
            chars.next().is_some_and(|c| c.is_ascii_lowercase() || (digit && c.is_ascii_digit()));
        begins && name.len() <= len_max && chars.all(is_rest)
    };
    match parts[..] {
        [simple] => name(simple, 256, false),
        [tenant, system] => name(tenant, 241, true) && name(system, 14, false),
        _ => false,
    }
}
