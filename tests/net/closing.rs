//! The closing handshake in every order, the end of the stream in every state, and the reason that
//! stays (RFC 6455 5.5.1, 7).

use sockeye::frame::{CloseCode, CloseFrame, Frame, Opcode};
use sockeye::protocol::{CloseCause, Initiator, Message, MessageRef, Role, State, TimeoutKind};

use crate::support::pair::{End, Pair, ROLES, Seen, assert_failed, fragment, quiet, text, to};

fn close(code: u16, reason: &str) -> Frame {
    Frame::close(code, reason).expect("a code that may be sent")
}

/// The payload of the only frame that was written, a close frame.
fn only_close(end: &mut End) -> Vec<u8> {
    let written = end.flush_frames();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].opcode, Opcode::Close);
    written[0].payload.to_vec()
}

/// CC-15, BY-08: ours goes out with code and reason; the peer's ends it, and is not answered.
#[test]
fn s7_1_2_we_close_first() {
    for role in ROLES {
        let mut end = End::new(role);
        end.close(4001, "taken over");
        assert_eq!(end.state(), State::Closing);
        assert_eq!(only_close(&mut end), b"\x0f\xa1taken over");
        assert!(!end.outcome().clean);

        assert_eq!(end.receive(&to(role, &[close(4001, "")])), [Seen::Closed]);
        assert_eq!(end.state(), State::Closed);
        let outcome = end.outcome();
        assert_eq!((outcome.code, outcome.reason.as_str()), (CloseCode::Other(4001), "taken over"));
        assert_eq!((outcome.initiator, outcome.clean), (Initiator::Local, true));
        assert_eq!(outcome.cause, CloseCause::Handshake);
        assert!(end.out.is_empty(), "a close frame is answered once");
        assert_eq!(end.due_ms(), None);
    }
}

/// CC-01, BY-08, row 41: the answer repeats the peer's code, whatever code may be sent.
#[test]
fn s5_5_1_peer_closes_first() {
    let codes = (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]);
    for (code, role) in codes.flat_map(|code| ROLES.map(|role| (code, role))) {
        let mut end = End::new(role);
        assert_eq!(end.receive(&to(role, &[close(code, "wiedersehen")])), [Seen::Closed]);
        assert_eq!(end.state(), State::Closed);
        assert_eq!(only_close(&mut end)[..2], code.to_be_bytes());
        let outcome = end.outcome();
        assert_eq!((outcome.code.as_u16(), outcome.reason.as_str()), (code, "wiedersehen"));
        assert_eq!((outcome.initiator, outcome.clean), (Initiator::Peer, true));
        assert_eq!(outcome.cause, CloseCause::Handshake);
    }
}

/// CC-05: no body is answered by no body, and means 1005 here, which is never sent.
#[test]
fn s7_1_5_close_without_body() {
    for role in ROLES {
        let mut end = End::new(role);
        assert_eq!(end.receive(&to(role, &[Frame::new(Opcode::Close, "")])), [Seen::Closed]);
        assert_eq!(only_close(&mut end), b"");
        assert_eq!(end.outcome().code, CloseCode::NoStatus);
        assert!(end.outcome().clean);

        let mut end = End::new(role);
        end.endpoint.close(None, &mut end.out, 0);
        assert_eq!(only_close(&mut end), b"");
        assert_eq!(end.outcome().code, CloseCode::NoStatus);
    }
}

/// CC-15: the longest reason goes both ways.
#[test]
fn s5_5_1_longest_reason_is_taken() {
    let reason = "x".repeat(123);
    for role in ROLES {
        let mut end = End::new(role);
        end.receive(&to(role, &[close(1000, &reason)]));
        assert_eq!(end.outcome().reason, reason.as_str());
        let mut end = End::new(role);
        end.close(1000, &reason);
        assert_eq!(only_close(&mut end).len(), 125);
    }
}

/// Row 41: two close frames cross; each end has its own reason, both are clean, nobody answers.
#[test]
fn s7_1_2_both_close_at_once() {
    let mut pair = Pair::new(&quiet());
    pair.client.close(1000, "done");
    pair.server.close(1001, "going");
    let (up, down) = (pair.client.flush(), pair.server.flush());
    assert_eq!(pair.server.receive(&up), [Seen::Closed]);
    assert_eq!(pair.client.receive(&down), [Seen::Closed]);
    for (end, code) in [(&pair.client, 1000), (&pair.server, 1001)] {
        assert_eq!(end.state(), State::Closed);
        assert_eq!(end.outcome().code.as_u16(), code);
        assert_eq!((end.outcome().initiator, end.outcome().clean), (Initiator::Local, true));
        assert!(end.out.is_empty());
    }
}

/// Row 41: whoever begins, both ends see the same code and are clean.
#[test]
fn s7_1_4_one_close_ends_both() {
    for first in ROLES {
        let mut pair = Pair::new(&quiet());
        let (from, to) = match first {
            Role::Client => (&mut pair.client, &mut pair.server),
            Role::Server => (&mut pair.server, &mut pair.client),
        };
        from.send(MessageRef::Text("last words"));
        to.send(MessageRef::Text("on the way"));
        from.close(3000, "why");
        pair.deliver();
        let (from, to) = match first {
            Role::Client => (&pair.client, &pair.server),
            Role::Server => (&pair.server, &pair.client),
        };
        for (end, initiator) in [(from, Initiator::Local), (to, Initiator::Peer)] {
            assert_eq!(end.state(), State::Closed);
            assert_eq!((end.outcome().code.as_u16(), end.outcome().reason.as_str()), (3000, "why"));
            assert_eq!((end.outcome().initiator, end.outcome().clean), (initiator, true));
        }
        let seen = if first == Role::Client { &pair.server_seen } else { &pair.client_seen };
        assert_eq!(
            seen,
            &[text("last words"), Seen::Closed],
            "queued data goes before the close frame"
        );
    }
}

/// Row 41: a close frame between fragments is answered with its code; the message is forgotten.
#[test]
fn s5_5_1_close_inside_a_fragmented_message() {
    for role in ROLES {
        let bytes = to(role, &[fragment(Opcode::Text, b"half"), close(1001, "bye")]);
        for cut in 1..bytes.len() {
            let mut end = End::new(role);
            assert_eq!(end.receive_cut(&bytes, &[cut]), [Seen::Closed]);
            assert_eq!(only_close(&mut end), 1001_u16.to_be_bytes());
            assert!(end.outcome().clean);
        }
    }
}

/// Row 41: data, pings and bad bytes behind the peer's close frame, in its block or later.
#[test]
fn s5_5_1_nothing_is_read_after_a_close_frame() {
    for role in ROLES {
        let after =
            to(role, &[Frame::text("x"), Frame::ping("?"), close(1002, "again"), Frame::text("y")]);
        let after = [&after[..], &[0xff; 20]].concat();
        let bytes = [to(role, &[close(1000, "")]), after].concat();
        for cut in 0..bytes.len() {
            let mut end = End::new(role);
            assert_eq!(end.receive_cut(&bytes, &[cut]), [Seen::Closed], "cut {cut}");
            assert_eq!(only_close(&mut end), 1000_u16.to_be_bytes());
            assert_eq!(end.outcome().code, CloseCode::Normal);
        }
    }
}

/// Row 41: what the peer had sent before it saw our close frame is delivered, until its own comes; no
/// ping is answered any more.
#[test]
fn s5_5_1_data_on_the_way_when_we_close_is_delivered() {
    for role in ROLES {
        let bytes = to(
            role,
            &[
                Frame::text("x"),
                Frame::ping("?"),
                fragment(Opcode::Binary, &[0; 300]),
                Frame::pong("!"),
                Frame::new(Opcode::Continuation, vec![1; 300]),
                close(1000, "peer"),
            ],
        );
        for cut in 0..bytes.len() {
            let mut end = End::new(role);
            end.close(1000, "ours");
            end.flush();
            let binary = [vec![0; 300], vec![1; 300]].concat();
            let seen = end.receive_cut(&bytes, &[cut]);
            assert_eq!(seen.first(), Some(&text("x")), "cut {cut}");
            assert!(seen.contains(&Seen::Binary(binary)), "cut {cut}");
            assert_eq!(seen.last(), Some(&Seen::Closed), "cut {cut}");
            assert!(end.out.is_empty());
            assert!(end.outcome().clean);
            assert_eq!(end.outcome().reason, "ours");
        }
    }
}

/// Row 41: a message that was half here when we closed does not confuse what follows.
#[test]
fn s1_4_we_close_inside_the_peers_message() {
    for role in ROLES {
        let bytes = to(
            role,
            &[
                fragment(Opcode::Text, b"ab"),
                Frame::new(Opcode::Continuation, "cd"),
                close(1000, ""),
            ],
        );
        for cut in 0..bytes.len() - 1 {
            let mut end = End::new(role);
            let before = end.receive(&bytes[..cut]);
            assert!(before.iter().all(|seen| *seen == text("abcd")), "{before:?}");
            if end.state() == State::Open {
                end.close(1001, "");
                let seen = end.receive(&bytes[cut..]);
                assert_eq!(seen.last(), Some(&Seen::Closed));
                assert_eq!(before.len() + seen.len(), 2, "the message is delivered once");
            }
            only_close(&mut end);
            assert!(end.outcome().clean);
        }
    }
}

/// BY-08: later calls change nothing and write nothing.
#[test]
fn s7_1_5_first_close_is_the_reason() {
    for role in ROLES {
        let mut end = End::new(role);
        end.close(1000, "first");
        end.close(1001, "second");
        assert!(end.endpoint.send(MessageRef::Text("x"), &mut end.out).is_err());
        assert!(end.endpoint.send_owned(&Message::Close(None), &mut end.out).is_err());
        assert!(end.endpoint.send_owned(&Message::Ping("x".into()), &mut end.out).is_err());
        end.endpoint.ping(&mut end.out, 0);
        assert_eq!(only_close(&mut end), b"\x03\xe8first");
        assert_eq!(end.outcome().reason, "first");
    }
}

/// CC-15: a close message begins the same handshake.
#[test]
fn s7_1_2_close_message_begins_the_handshake() {
    for role in ROLES {
        let mut end = End::new(role);
        let frame = CloseFrame::new(1001, "bye").unwrap();
        end.endpoint.send_owned(&Message::Close(Some(frame)), &mut end.out).unwrap();
        assert_eq!(end.state(), State::Closing);
        assert_eq!(only_close(&mut end), b"\x03\xe9bye");
        assert_eq!(end.receive(&to(role, &[close(1001, "")])), [Seen::Closed]);
        assert!(end.outcome().clean);
    }
}

/// Row 40: a bad answer to our close ends the connection, is not answered, and is no clean end.
#[test]
fn s7_1_7_violation_while_closing_is_not_answered() {
    for role in ROLES {
        let bad_code = Frame::new(Opcode::Close, vec![0, 1]);
        let bad_body = Frame::new(Opcode::Close, vec![3]);
        let stray = Frame::new(Opcode::Continuation, "x");
        for bad in [bad_code, bad_body, stray] {
            let mut end = End::new(role);
            end.close(1000, "ours");
            end.flush();
            end.receive(&to(role, &[bad, close(1000, "")]));
            assert_eq!(end.state(), State::Closed);
            assert!(end.out.is_empty());
            assert_eq!((end.outcome().code, end.outcome().clean), (CloseCode::Normal, false));
            assert_eq!(end.outcome().cause, CloseCause::Handshake);
        }
    }
}

/// CC-06, ER-01, row 43: the stream ends while open: 1006, by the peer, at rest and in every part
/// of a frame.
#[test]
fn s7_1_5_eof_while_open_is_1006() {
    for role in ROLES {
        let bytes = to(
            role,
            &[
                fragment(Opcode::Text, b"ab"),
                Frame::ping("pp"),
                Frame::new(Opcode::Continuation, "cd"),
            ],
        );
        for cut in 0..bytes.len() {
            let mut end = End::new(role);
            end.receive(&bytes[..cut]);
            end.flush();
            end.endpoint.receive_eof();
            assert_eq!(end.state(), State::Closed);
            assert_eq!(end.outcome().code, CloseCode::Abnormal);
            assert_eq!((end.outcome().initiator, end.outcome().clean), (Initiator::Peer, false));
            assert_eq!(end.outcome().cause, CloseCause::Eof);
            assert!(end.out.is_empty(), "1006 is never sent");
            assert_eq!(end.receive(&bytes[cut..]), []);
            end.close(1000, "");
            assert!(end.out.is_empty());
            assert_eq!(end.due_ms(), None);
        }
    }
}

/// BY-08, row 43: the stream ends before the peer's close frame: our reason, not clean.
#[test]
fn s7_1_4_eof_while_closing_is_not_clean() {
    for role in ROLES {
        let mut end = End::new(role);
        end.close(4000, "ours");
        end.flush();
        end.endpoint.receive_eof();
        assert_eq!(end.state(), State::Closed);
        assert_eq!((end.outcome().code, end.outcome().clean), (CloseCode::Other(4000), false));
        assert_eq!(end.due_ms(), None);
    }
}

/// BY-08: after a clean end and after a violation the end of the stream changes nothing.
#[test]
fn s7_1_4_eof_when_closed_changes_nothing() {
    for role in ROLES {
        let mut end = End::new(role);
        end.receive(&to(role, &[close(1000, "bye")]));
        let outcome = end.outcome().clone();
        end.endpoint.receive_eof();
        assert_eq!(end.outcome(), &outcome);

        let mut end = End::new(role);
        end.receive(&to(role, &[Frame::new(Opcode::Continuation, "")]));
        let violation = end.violation().expect("a stray continuation");
        end.endpoint.receive_eof();
        assert_failed(&mut end, violation);
    }
}

/// Row 42, E29: 5 s after our close, whatever else the peer sends, byte by byte or whole.
#[test]
fn s7_1_1_silent_peer_has_the_close_timeout() {
    for role in ROLES {
        let mut end = End::new(role);
        end.run_until(1_000);
        end.close(1000, "ours");
        assert_eq!(end.due_ms(), Some(6_000));
        for second in 2..6 {
            end.run_until(second * 1_000 - 1);
            end.flush();
            end.receive(&to(role, &[Frame::text("still talking")]));
        }
        end.run_until(5_999);
        end.endpoint.handle_timeout(&mut end.out, 5_999);
        assert_eq!(end.state(), State::Closing, "who asks too early loses nothing");
        end.run_until(6_000);
        assert_eq!(end.state(), State::Closed);
        assert_eq!(end.outcome().cause, CloseCause::Timeout(TimeoutKind::Close));
        assert_eq!((end.outcome().code, end.outcome().clean), (CloseCode::Normal, false));
        assert_eq!(end.receive(&to(role, &[close(1000, "")])), [], "too late");
        assert!(!end.outcome().clean);
    }
}

/// Row 42: a close message has no time of its own: its wait runs from the flush.
#[test]
fn s7_1_1_close_message_waits_from_its_flush() {
    for role in ROLES {
        let mut end = End::new(role);
        end.endpoint.send_owned(&Message::Close(None), &mut end.out).unwrap();
        assert_eq!(end.due_ms(), None);
        end.run_until(3_000);
        end.flush();
        end.run_until(4_000);
        end.flush();
        assert_eq!(end.due_ms(), Some(8_000), "a second flush does not move it");
        end.run_until(8_000);
        assert_eq!(end.outcome().cause, CloseCause::Timeout(TimeoutKind::Close));
    }
}

/// Row 42: an answer at the last millisecond is in time, though the clock is read late.
#[test]
fn s7_1_1_late_reader_finds_the_answer_first() {
    for role in ROLES {
        let mut end = End::new(role);
        end.close(1000, "");
        end.now_ms = 60_000;
        assert_eq!(end.receive(&to(role, &[close(1000, "")])), [Seen::Closed]);
        end.run_until(60_000);
        assert!(end.outcome().clean);
        assert_eq!(end.outcome().cause, CloseCause::Handshake);
    }
}
