//! An independent look at HTTP heads.

/// RFC 9110 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte))
}

/// The bytes are one response with this status and nothing else: every CR and LF is one of ours,
/// and no header stands there that a peer could have put in.
pub(super) fn assert_answer(bytes: &[u8], status: u16) {
    const OURS: [&str; 12] = [
        "upgrade",
        "connection",
        "sec-websocket-accept",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "sec-websocket-version",
        "content-length",
        "content-type",
        "allow",
        "retry-after",
        "date",
        "cache-control",
    ];
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = response.parse(bytes).expect("a response").unwrap();
    assert_eq!(response.code, Some(status));
    assert_eq!(response.version, Some(1));
    for header in response.headers.iter() {
        assert!(OURS.iter().any(|name| header.name.eq_ignore_ascii_case(name)), "{}", header.name);
    }
    let text = std::str::from_utf8(&bytes[..head]).expect("ASCII");
    assert_eq!(text.matches('\n').count(), 2 + response.headers.len(), "one line a header");
    assert_eq!(
        text.matches("\r\n").count(),
        text.matches(['\r', '\n']).count() / 2,
        "no bare CR or LF"
    );
    if status == 101 {
        assert_eq!(head, bytes.len(), "a 101 has no body");
    }
}
