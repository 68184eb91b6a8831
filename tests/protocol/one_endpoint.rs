//! The protocol of one endpoint: every violation, fragmentation, utf-8 and limits, for both roles
//! (RFC 6455 5, 7, 8, 10.4).

use sockeye::frame::{CloseCode, Frame, Opcode, Violation};
use sockeye::protocol::{CloseCause, MessageRef, Role, State};

use crate::support::pair::{
    End, ROLES, Seen, assert_failed, fails, fails_bytes, fragment, last, quiet, sees, text, to,
};

/// FR-03, row 21.
#[test]
fn s5_1_a_server_refuses_unmasked_frames() {
    for frame in [
        Frame::text("x"),
        Frame::binary(vec![0; 300]),
        Frame::ping(""),
        fragment(Opcode::Text, b"x"),
    ] {
        fails_bytes(Role::Server, &quiet(), &frame.encode(), Violation::Unmasked);
    }
}

/// FR-03, E17: a masking key of zeros is a mask too.
#[test]
fn s5_1_a_client_refuses_masked_frames() {
    for key in [[1, 2, 3, 4], [0; 4]] {
        for frame in [
            Frame::text("x"),
            Frame::binary(vec![0; 300]),
            Frame::ping(""),
            Frame::close(1000, "").unwrap(),
        ] {
            fails_bytes(Role::Client, &quiet(), &frame.masked(key).encode(), Violation::Masked);
        }
    }
}

/// FR-03, row 22: every frame of a client has a key of its own, control frames as well.
#[test]
fn s5_3_masks_differ_from_frame_to_frame() {
    let mut client = End::new(Role::Client);
    for _ in 0..200 {
        client.send(MessageRef::Text("same"));
        client.receive(&Frame::ping("same").encode());
    }
    client.close(1000, "");
    let mut keys: Vec<_> =
        client.flush_frames().iter().map(|frame| frame.mask_key.unwrap()).collect();
    assert_eq!(keys.len(), 401);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 401);
}

/// FR-05, row 23, row 36: on data, control and continuation frames alike.
#[test]
fn s5_2_reserved_bits_need_an_extension() {
    for bit in 0..3 {
        let with_bit = |mut frame: Frame| {
            *[&mut frame.rsv1, &mut frame.rsv2, &mut frame.rsv3][bit] = true;
            frame
        };
        fails(&[with_bit(Frame::text("x"))], Violation::ReservedBit);
        fails(&[with_bit(Frame::ping("x"))], Violation::ReservedBit);
        fails(&[with_bit(Frame::close(1000, "").unwrap())], Violation::ReservedBit);
        fails(&[fragment(Opcode::Text, b"x"), with_bit(last(b"y"))], Violation::ReservedBit);
    }
}

/// FR-02, row 23: one byte is enough to see it.
#[test]
fn s5_2_reserved_opcodes_are_refused_at_their_byte() {
    for nibble in (0x3..=0x7).chain(0xb..=0xf) {
        for role in ROLES {
            let mask = if role == Role::Server { 0x80 } else { 0 };
            let bytes = [0x80 | nibble, mask, 0, 0, 0, 0];
            fails_bytes(role, &quiet(), &bytes[..1], Violation::ReservedOpcode(nibble));
            fails_bytes(role, &quiet(), &bytes, Violation::ReservedOpcode(nibble));
        }
    }
}

/// Row 20: every length that fits fewer bytes.
#[test]
fn s5_2_lengths_are_minimal() {
    let short = |len: u16| [&[0x82, 126][..], &len.to_be_bytes()].concat();
    let long = |len: u64| [&[0x82, 127][..], &len.to_be_bytes()].concat();
    for mut bytes in [short(0), short(125), long(0), long(125), long(126), long(65_535)] {
        fails_bytes(Role::Client, &quiet(), &bytes, Violation::LengthNotMinimal);
        bytes[1] |= 0x80;
        bytes.extend([1, 2, 3, 4]);
        fails_bytes(Role::Server, &quiet(), &bytes, Violation::LengthNotMinimal);
    }
}

/// Row 17: the bytes that made other servers panic or loop.
#[test]
fn s5_2_length_with_the_highest_bit_is_refused() {
    let all = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    fails_bytes(Role::Server, &quiet(), &all, Violation::LengthOverflow);
    fails_bytes(
        Role::Client,
        &quiet(),
        &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        Violation::LengthOverflow,
    );
    let started = to(Role::Server, &[fragment(Opcode::Binary, b"x")]);
    let continued = [0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    fails_bytes(
        Role::Server,
        &quiet(),
        &[&started[..], &continued].concat(),
        Violation::LengthOverflow,
    );
}

/// Row 17: the longest length there is does not overflow what was gathered before it.
#[test]
fn s5_2_longest_length_does_not_overflow() {
    let bytes = [&[0x02, 1, b'x'][..], &[0x80, 127, 0x7f], &[0xff; 7]].concat();
    let bytes_max = 16 * 1024 * 1024;
    let violation = Violation::MessageTooBig { bytes: 1 << 63, bytes_max };
    fails_bytes(Role::Client, &quiet(), &bytes, violation);
}

/// Row 23.
#[test]
fn s5_5_control_frames_are_not_fragmented() {
    for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
        fails(&[fragment(opcode, b"")], Violation::FragmentedControl);
        fails(&[fragment(Opcode::Text, b"x"), fragment(opcode, b"")], Violation::FragmentedControl);
    }
}

/// Row 23: 125 bytes are taken, more are refused at the second byte of the header.
#[test]
fn s5_5_control_frames_have_at_most_125_bytes() {
    for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
        fails(&[Frame::new(opcode, vec![b'x'; 126])], Violation::LongControl);
        for role in ROLES {
            let mask = if role == Role::Server { 0x80 } else { 0 };
            fails_bytes(role, &quiet(), &[0x80 | opcode as u8, mask | 126], Violation::LongControl);
            fails_bytes(role, &quiet(), &[0x80 | opcode as u8, mask | 127], Violation::LongControl);
        }
    }
    for role in ROLES {
        let payload = vec![b'x'; 125];
        let bytes = to(role, &[Frame::ping(payload.clone()), Frame::pong(payload.clone())]);
        assert_eq!(
            sees(role, &quiet(), &bytes),
            [Seen::Ping(payload.clone()), Seen::Pong(payload)]
        );
    }
}

/// Row 23: at the start, after a message, after a control frame; last or not, empty or not.
#[test]
fn s5_4_continuation_needs_a_message() {
    let stray = Violation::StrayContinuation;
    fails(&[last(b"x")], stray);
    fails(&[last(b"")], stray);
    fails(&[fragment(Opcode::Continuation, b"x")], stray);
    fails(&[Frame::text("x"), last(b"y")], stray);
    fails(&[fragment(Opcode::Text, b"x"), last(b"y"), last(b"z")], stray);
    fails(&[Frame::ping("x"), last(b"y")], stray);
}

/// Row 23.
#[test]
fn s5_4_message_does_not_begin_inside_another() {
    let nested = Violation::NestedMessage;
    fails(&[fragment(Opcode::Text, b"x"), Frame::text("y")], nested);
    fails(&[fragment(Opcode::Text, b""), Frame::text("")], nested);
    fails(&[fragment(Opcode::Binary, b"x"), fragment(Opcode::Binary, b"y")], nested);
    fails(&[fragment(Opcode::Text, b"x"), Frame::ping("p"), Frame::binary("y")], nested);
}

/// CC-03, CC-07, row 40: every bad body of a close frame has its violation and code.
#[test]
fn s5_5_1_bad_close_bodies_are_refused() {
    let close = |body: &[u8]| [Frame::new(Opcode::Close, body.to_vec())];
    fails(&close(&[3]), Violation::CloseTooShort);
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
        fails(&close(&code.to_be_bytes()), Violation::CloseCode(code));
    }
    for reason in [&b"\xff"[..], b"ok\xc3", b"\xed\xa0\x80"] {
        fails(&close(&[&[3, 232], reason].concat()), Violation::CloseReason);
    }
    assert_eq!(Violation::CloseReason.close_code(), CloseCode::InvalidPayload);
}

/// CN-12, row 26: what lawfully came before a violation is delivered and answered first.
#[test]
fn s7_1_7_what_came_before_a_violation_is_delivered() {
    for role in ROLES {
        let bytes = to(role, &[Frame::text("a"), Frame::ping("p"), Frame::binary("b"), last(b"")]);
        let seen = fails_bytes(role, &quiet(), &bytes, Violation::StrayContinuation);
        assert_eq!(seen, [text("a"), Seen::Ping(b"p".to_vec()), Seen::Binary(b"b".to_vec())]);
        let mut end = End::new(role);
        end.receive(&bytes);
        let opcodes: Vec<_> = end.flush_frames().iter().map(|frame| frame.opcode).collect();
        assert_eq!(opcodes, [Opcode::Pong, Opcode::Close]);
    }
}

/// BY-08: a second violation behind the first is not even looked at.
#[test]
fn s7_1_7_first_violation_is_the_reason() {
    fails(&[last(b""), Frame::new(Opcode::Close, vec![3])], Violation::StrayContinuation);
    fails(&[Frame::new(Opcode::Close, vec![3]), last(b"")], Violation::CloseTooShort);
}

/// Row 23, MS-05: pings are answered at once, the message goes on.
#[test]
fn s5_4_control_frame_may_interrupt_fragments() {
    for role in ROLES {
        let bytes = to(
            role,
            &[
                fragment(Opcode::Text, "κό".as_bytes()),
                Frame::ping("one"),
                fragment(Opcode::Continuation, b""),
                Frame::pong("two"),
                fragment(Opcode::Continuation, &"σμε".as_bytes()[..3]),
                Frame::ping(""),
                last(&"σμε".as_bytes()[3..]),
                Frame::text("next"),
            ],
        );
        let control =
            [Seen::Ping(b"one".to_vec()), Seen::Pong(b"two".to_vec()), Seen::Ping(vec![])];
        let expected: Vec<_> = control.into_iter().chain([text("κόσμε"), text("next")]).collect();
        assert_eq!(sees(role, &quiet(), &bytes), expected);
        let mut end = End::new(role);
        end.receive(&bytes);
        let pongs: Vec<_> =
            end.flush_frames().into_iter().map(|frame| (frame.opcode, frame.payload)).collect();
        assert_eq!(pongs, [(Opcode::Pong, "one".into()), (Opcode::Pong, "".into())]);
    }
}

/// Row 23: lengths on both sides of each form of the length, one frame or fragments, in any cut.
#[test]
fn s5_2_every_form_of_length_is_read() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        for role in ROLES {
            let whole = to(role, &[Frame::binary(payload.clone())]);
            let halves = payload.split_at(len / 2);
            let parts = to(role, &[fragment(Opcode::Binary, halves.0), last(halves.1)]);
            for bytes in [whole, parts] {
                let near_ends = (0..20.min(bytes.len())).flat_map(|at| [at, bytes.len() - at]);
                for cut in near_ends.chain([bytes.len() / 2]) {
                    let mut end = End::new(role);
                    assert_eq!(end.receive_cut(&bytes, &[cut]), [Seen::Binary(payload.clone())]);
                }
            }
        }
    }
}

/// MS-05: hundreds of small frames of one read come one by one, in order.
#[test]
fn s5_4_many_frames_in_one_block() {
    for role in ROLES {
        let texts: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        let sent: Vec<Frame> = texts.iter().map(|text| Frame::text(text)).collect();
        let mut end = End::new(role);
        let expected: Vec<Seen> = texts.into_iter().map(Seen::Text).collect();
        assert_eq!(end.receive(&to(role, &sent)), expected);
    }
}

/// CN-12, row 26: every ping of a read is answered with its own payload, in order.
#[test]
fn s5_5_3_pong_repeats_the_ping() {
    for role in ROLES {
        let mut end = End::new(role);
        let pings: Vec<Frame> =
            (0..126).map(|len| Frame::ping(vec![len; usize::from(len)])).collect();
        end.receive(&to(role, &pings));
        let written = end.flush_frames();
        assert!(written.iter().all(|frame| frame.opcode == Opcode::Pong));
        let payloads =
            |frames: &[Frame]| frames.iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>();
        assert_eq!(payloads(&written), payloads(&pings));
    }
}

/// CN-12: pongs nobody asked for are lawful.
#[test]
fn s5_5_3_unsolicited_pong_is_taken() {
    for role in ROLES {
        let mut end = End::new(role);
        let pong = to(role, &[Frame::pong("why not")]);
        assert_eq!(end.receive(&pong), [Seen::Pong(b"why not".to_vec())]);
        assert!(end.out.is_empty());
        assert_eq!(end.state(), State::Open);
    }
}

/// MS-01: empty messages of both types, whole and in fragments.
#[test]
fn s5_6_empty_messages_are_messages() {
    for role in ROLES {
        let bytes = to(
            role,
            &[
                Frame::text(""),
                Frame::binary(""),
                fragment(Opcode::Text, b""),
                last(b""),
                fragment(Opcode::Binary, b""),
                fragment(Opcode::Continuation, b""),
                last(b""),
            ],
        );
        let expected = [text(""), Seen::Binary(vec![]), text(""), Seen::Binary(vec![])];
        assert_eq!(sees(role, &quiet(), &bytes), expected);
    }
}

/// Row 29: found at the first byte that no text has there, though the frame and the message are far
/// from whole.
#[test]
fn s8_1_bad_utf8_shows_at_its_byte() {
    for role in ROLES {
        let start = to(role, &[fragment(Opcode::Text, "κόσμε".as_bytes())]);
        let rest = to(role, &[last(&[&b"\xed\xa0\x80edited"[..], &[b'x'; 500]].concat())]);
        let header = rest.len() - 509;
        let bytes = [&start[..], &rest].concat();
        let bad = start.len() + header + 1;
        let mut end = End::new(role);
        assert_eq!(end.receive(&bytes[..bad]), [], "0xed alone may begin a character");
        assert_eq!(end.state(), State::Open);
        assert_eq!(end.receive(&bytes[bad..=bad]), [Seen::Closed]);
        assert_eq!(end.violation(), Some(Violation::InvalidUtf8));
        assert_failed(&mut end, Violation::InvalidUtf8);
        fails_bytes(role, &quiet(), &bytes[..bad + 9], Violation::InvalidUtf8);
    }
}

/// Row 29: whole in a block, in fragments, at the end of the message, inside an unfinished one.
#[test]
fn s8_1_bad_utf8_is_refused_everywhere() {
    for bad in
        [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80", b"\xe1\xbd"]
    {
        let whole = Frame::new(Opcode::Text, bad.to_vec());
        fails(&[whole], Violation::InvalidUtf8);
        fails(&[fragment(Opcode::Text, b"ok"), last(bad)], Violation::InvalidUtf8);
        for split in 1..bad.len() {
            let parts =
                [fragment(Opcode::Text, &bad[..split]), Frame::ping(""), last(&bad[split..])];
            fails(&parts, Violation::InvalidUtf8);
        }
    }
}

/// MS-01: bytes are not text.
#[test]
fn s8_1_binary_is_not_checked() {
    for role in ROLES {
        let bytes = to(
            role,
            &[Frame::binary(vec![0xff; 9]), fragment(Opcode::Binary, b"\xff"), last(b"\xc0")],
        );
        assert_eq!(
            sees(role, &quiet(), &bytes),
            [Seen::Binary(vec![0xff; 9]), Seen::Binary(vec![0xff, 0xc0])]
        );
    }
}

/// ER-05, CC-03..CC-09: every violation names its section and a code that may be sent.
#[test]
fn s7_4_1_violations_have_codes_and_sections() {
    let big = Violation::FrameTooBig { bytes: 2, bytes_max: 1 };
    let slow = Violation::SlowMessage { message_timeout_ms: 1 };
    for (violation, code, section) in [
        (Violation::Unmasked, 1002, "RFC 6455 5.1"),
        (Violation::ReservedBit, 1002, "RFC 6455 5.2"),
        (Violation::NestedMessage, 1002, "RFC 6455 5.4"),
        (Violation::LongControl, 1002, "RFC 6455 5.5"),
        (Violation::CloseTooShort, 1002, "RFC 6455 5.5.1"),
        (Violation::CloseReason, 1007, "RFC 6455 5.5.1"),
        (Violation::CloseCode(1005), 1002, "RFC 6455 7.4"),
        (Violation::InvalidUtf8, 1007, "RFC 6455 8.1"),
        (Violation::InvalidDeflate, 1007, "RFC 7692 7.2.2"),
        (big, 1009, "RFC 6455 10.4"),
        (slow, 1008, "RFC 6455 10.4"),
    ] {
        assert_eq!(violation.close_code().as_u16(), code);
        assert_eq!(violation.section(), section);
        assert!(!CloseCause::Violation(violation).eq(&CloseCause::Handshake));
    }
}
