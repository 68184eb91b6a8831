//! How much a peer may send in a time, and who counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sockeye::frame::{CloseCode, Frame, Opcode, Violation};
use sockeye::protocol::{Config, Observer, Rate, Role, SharedObserver};

use crate::support::pair::{End, assert_failed, fragment, last, quiet, text, to};

fn with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = quiet();
    change(&mut config);
    config
}

/// LM-05, BY-23, A45: as many messages as the rate allows and one more is 1008; time refills it rightly,
/// to the burst and not beyond.
#[test]
fn messages_have_a_rate() {
    let config = with(|config| config.message_rate = Some(Rate::per_second(10).burst(3)));
    let message = to(Role::Server, &[Frame::text("x")]);
    let mut end = End::with(Role::Server, config);
    for _ in 0..3 {
        assert_eq!(end.receive(&message), [text("x")]);
    }
    for _ in 0..20 {
        end.now_ms += 100;
        assert_eq!(end.receive(&message), [text("x")]);
    }
    end.now_ms += 60_000;
    for _ in 0..3 {
        assert_eq!(end.receive(&message), [text("x")]);
    }
    end.now_ms += 99;
    end.receive(&message);
    let violation = Violation::TooFast { retry_ms: 1 };
    assert_failed(&mut end, violation);
    assert_eq!(violation.close_code(), CloseCode::PolicyViolation);
}

/// LM-05, BY-23: bytes have a rate of their own, fragments count as they are, control frames do not; a
/// message over the burst never passes.
#[test]
fn bytes_have_a_rate() {
    let config = with(|config| config.byte_rate = Some(Rate::per_second(1000)));
    let mut end = End::with(Role::Server, config.clone());
    let parts = [fragment(Opcode::Binary, &[1; 400]), Frame::ping("p"), last(&[1; 400])];
    assert_eq!(end.receive(&to(Role::Server, &parts)).len(), 2);
    assert_eq!(end.receive(&to(Role::Server, &[Frame::binary(vec![1; 200])])).len(), 1);
    end.now_ms += 500;
    assert_eq!(end.receive(&to(Role::Server, &[Frame::binary(vec![1; 500])])).len(), 1);
    end.receive(&to(Role::Server, &[Frame::binary(vec![1; 20])]));
    assert_failed(&mut end, Violation::TooFast { retry_ms: 20 });

    let mut end = End::with(Role::Server, config);
    end.receive(&to(Role::Server, &[Frame::binary(vec![1; 1001])]));
    assert_failed(&mut end, Violation::TooFast { retry_ms: u64::MAX });
}

#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Observer for Counts {
    fn received(&self, messages: u64, bytes: u64) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// MT-01, MT-05: an observer is told of each message once, whole or in fragments, whatever the cuts; not
/// of control frames.
#[test]
fn an_observer_counts_messages() {
    for len in [1, 7, 1000] {
        let counts = Arc::new(Counts::default());
        let config = with(|config| config.observer = Some(SharedObserver::new(counts.clone())));
        let mut end = End::with(Role::Server, config);
        let frames = [
            Frame::text("four"),
            fragment(Opcode::Binary, &[1; 30]),
            Frame::ping("ping"),
            last(&[1; 20]),
            Frame::pong("pong"),
            Frame::binary(vec![]),
        ];
        let bytes = to(Role::Server, &frames);
        for piece in bytes.chunks(len) {
            end.receive(piece);
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!((read(&counts.messages), read(&counts.bytes)), (3, 54), "{len}");
    }
}
