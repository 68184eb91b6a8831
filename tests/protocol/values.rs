//! What messages, errors and settings say of themselves.

use std::time::Duration;

use sockeye::SendError;
use sockeye::protocol::{
    Compress, GapNotice, Message, MessageRef, PreparedMessage, Rate, Utf8Bytes,
};

use crate::support::pair::{End, ROLES};

/// MS-08: a text is what its characters are.
#[test]
fn texts_are_equal_to_themselves_alone() {
    let text = Utf8Bytes::from("salmon");
    assert!(text == *"salmon" && text == "salmon");
    assert!(text != *"trout" && text != "trout");
}

/// BC-01: two prepared messages are the same when the same goes to everybody.
#[test]
fn prepared_messages_are_compared_by_what_is_sent() {
    let message = PreparedMessage::new("salmon");
    assert_eq!(message, PreparedMessage::new("salmon"));
    assert_ne!(message, PreparedMessage::new("trout"));
    assert_ne!(message, PreparedMessage::new(&b"salmon"[..]));
    for compress in [Compress::Never, Compress::Always] {
        let other = message.clone().compress(compress);
        assert_ne!(other, message);
        assert_eq!(other.compression(), compress);
        assert_eq!(other, PreparedMessage::new("salmon").compress(compress));
    }
    assert_eq!(message.compression(), Compress::Auto);
}

/// CE-08, CN-05: a full outbox may have room later, a closed connection never.
#[test]
fn a_send_is_tried_again_while_the_connection_lives() {
    assert!(!SendError::Closed.retryable());
    assert!(SendError::Full { messages: 1, bytes: 1 }.retryable());
    assert!(SendError::Timeout { timeout_ms: 1 }.retryable());
}

/// LM-05: what a rate is made of can be read.
#[test]
fn rates_have_a_period() {
    let (second, minute) = (Rate::per_second(3), Rate::per_minute(4).burst(9));
    assert_eq!((second.tokens(), second.burst_tokens()), (3, 3));
    assert_eq!((minute.tokens(), minute.burst_tokens()), (4, 9));
    assert_eq!(second.period(), Duration::from_secs(1));
    assert_eq!(minute.period(), Duration::from_secs(60));
}

/// A07: what is written to logs shows no payload.
#[test]
fn debug_shows_no_payload() {
    for role in ROLES {
        let mut end = End::new(role);
        end.send(MessageRef::Text("secret"));
        let (endpoint, out) = (format!("{:?}", end.endpoint), format!("{:?}", end.out));
        assert!(endpoint.contains("Open") && out.contains("len"), "{endpoint} {out}");
        assert!(!endpoint.contains("secret") && !out.contains("secret"), "{endpoint} {out}");
    }
    let notice = GapNotice::new(|_| Message::from("secret"));
    assert!(format!("{notice:?}").starts_with("GapNotice"));
}
