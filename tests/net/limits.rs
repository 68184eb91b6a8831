//! What a peer may not exceed: lengths, counts, times and rates, at each limit and one over (RFC
//! 6455 10.4).

use sockeye::frame::{CloseCode, Frame, FrameHeader, Opcode, Violation};
use sockeye::protocol::{Config, Role, State};

use crate::support::pair::{
    End, ROLES, Seen, assert_failed, fails_bytes, fails_with, fragment, last, millis, quiet, sees,
    text, to,
};

const PIECES: [usize; 4] = [1, 100, 126, 70_000];

fn empty() -> Frame {
    fragment(Opcode::Continuation, b"")
}

/// MS-04, the table of limits.
#[test]
fn s10_4_defaults() {
    let config = Config::default();
    assert_eq!(config.message_bytes_max, 16 * 1024 * 1024);
    assert_eq!((config.fragments_max, config.empty_fragments_max), (131_072, 64));
    assert_eq!(config.message_timeout, millis(60_000));
    assert_eq!(config.pings_per_second_max, 100);
    assert_eq!((config.ping_interval, config.pong_timeout), (Some(millis(30_000)), millis(10_000)));
    assert_eq!((config.close_timeout, config.write_timeout), (millis(5_000), millis(10_000)));
}

/// ER-04, FR-06, CC-09, row 19: a message of the limit is taken; one byte more is refused on the
/// header alone.
#[test]
fn s10_4_message_limit_on_one_frame() {
    for bytes_max in PIECES {
        let mut config = quiet();
        config.message_bytes_max = bytes_max;
        for (role, opcode) in
            ROLES.into_iter().flat_map(|role| [(role, Opcode::Text), (role, Opcode::Binary)])
        {
            let fits = to(role, &[Frame::new(opcode, vec![b'x'; bytes_max])]);
            assert_eq!(End::with(role, config.clone()).receive(&fits).len(), 1);
            let bytes = bytes_max as u64 + 1;
            let mut header = FrameHeader::new(opcode, bytes);
            header.mask_key = (role == Role::Server).then_some([1, 2, 3, 4]);
            let mut encoded = [0; FrameHeader::BYTES_MAX];
            let len = header.encode(&mut encoded);
            let violation = Violation::MessageTooBig { bytes, bytes_max: bytes_max as u64 };
            assert_eq!(fails_bytes(role, &config, &encoded[..len], violation), []);
            let whole = to(role, &[Frame::new(opcode, vec![b'x'; bytes_max + 1])]);
            let mut end = End::with(role, config.clone());
            assert_eq!(end.receive(&whole), [Seen::Closed]);
            assert_failed(&mut end, violation);
            assert_eq!(end.outcome().code, CloseCode::MessageTooBig);
        }
    }
}

/// Row 19, row 24: fragments count together, on the header of the one that is too much; control
/// frames do not count.
#[test]
fn s10_4_message_limit_on_fragments() {
    let mut config = quiet();
    config.message_bytes_max = 10;
    let start = [
        fragment(Opcode::Binary, b"1234"),
        Frame::ping("123456789012"),
        fragment(Opcode::Continuation, b"56789"),
    ];
    for role in ROLES {
        let fits = [&start[..], &[last(b"0"), Frame::binary("1234567890")]].concat();
        assert_eq!(sees(role, &config, &to(role, &fits)).len(), 3);
    }
    for over in [last(b"01"), fragment(Opcode::Continuation, b"01")] {
        let violation = Violation::MessageTooBig { bytes: 11, bytes_max: 10 };
        fails_with(&config, &[&start[..], &[over]].concat(), violation);
    }
}

/// A limit of nothing takes empty messages only.
#[test]
fn s10_4_message_limit_of_zero() {
    let mut config = quiet();
    config.message_bytes_max = 0;
    for role in ROLES {
        assert_eq!(sees(role, &config, &to(role, &[Frame::text("")])), [text("")]);
    }
    fails_with(&config, &[Frame::text("x")], Violation::MessageTooBig { bytes: 1, bytes_max: 0 });
}

/// FR-06: the frame limit holds for each fragment, not for the message; control frames are not
/// meant.
#[test]
fn s10_4_frame_limit() {
    let mut config = quiet();
    config.frame_bytes_max = Some(200);
    let long = vec![b'x'; 201];
    for role in ROLES {
        let whole = to(role, &[Frame::binary(long[1..].to_vec())]);
        assert_eq!(sees(role, &config, &whole).len(), 1);
        let parts = to(role, &[fragment(Opcode::Binary, &long[1..]), last(&long[1..])]);
        assert_eq!(sees(role, &config, &parts), [Seen::Binary(vec![b'x'; 400])]);
    }
    let violation = Violation::FrameTooBig { bytes: 201, bytes_max: 200 };
    fails_with(&config, &[Frame::binary(long.clone())], violation);
    fails_with(&config, &[fragment(Opcode::Text, b""), last(&long)], violation);
    assert_eq!(violation.close_code(), CloseCode::MessageTooBig);
}

/// BY-10, row 24: as many fragments as allowed, the last included; each message has its own count.
#[test]
fn s10_4_fragments_are_counted() {
    let mut config = quiet();
    config.fragments_max = 5;
    let mut fits = vec![fragment(Opcode::Text, b"1")];
    fits.extend(["2", "3", "4"].map(|piece| fragment(Opcode::Continuation, piece.as_bytes())));
    fits.push(last(b"5"));
    for role in ROLES {
        let twice = to(role, &[&fits[..], &[Frame::text("6")], &fits[..]].concat());
        assert_eq!(sees(role, &config, &twice), [text("12345"), text("6"), text("12345")]);
    }
    fits[4].fin = false;
    let violation = Violation::TooManyFragments { fragments_max: 5 };
    fails_with(&config, &[&fits[..], &[last(b"6")]].concat(), violation);
    fails_with(&config, &[&fits[..], &[Frame::ping("p"), empty()]].concat(), violation);
    assert_eq!(violation.close_code(), CloseCode::PolicyViolation);
}

/// BY-10, row 24: the default lets 131,072 one-byte fragments through and not one more.
#[test]
fn s10_4_default_fragments_are_let_through() {
    let mut end = End::new(Role::Client);
    assert_eq!(end.receive(b"\x02\x01x"), []);
    assert_eq!(end.receive(&b"\x00\x01x".repeat(131_071)), []);
    assert_eq!(end.state(), State::Open);
    end.receive(b"\x00\x01x");
    assert_failed(&mut end, Violation::TooManyFragments { fragments_max: 131_072 });
}

/// BY-10, row 24: empty fragments in a row, the first and the last included; one byte begins a new
/// row.
#[test]
fn s10_4_empty_fragments_are_counted_in_a_row() {
    let mut config = quiet();
    config.empty_fragments_max = 3;
    for role in ROLES {
        let bytes = to(
            role,
            &[
                fragment(Opcode::Text, b""),
                empty(),
                empty(),
                fragment(Opcode::Continuation, b"x"),
                empty(),
                Frame::ping(""),
                empty(),
                last(b""),
                Frame::text(""),
                Frame::text(""),
            ],
        );
        let expected = [Seen::Ping(vec![]), text("x"), text(""), text("")];
        assert_eq!(sees(role, &config, &bytes), expected);
    }
    let violation = Violation::EmptyFragments { empty_fragments_max: 3 };
    fails_with(&config, &[fragment(Opcode::Text, b""), empty(), empty(), empty()], violation);
    let at_the_end =
        [fragment(Opcode::Text, b"x"), empty(), Frame::ping(""), empty(), empty(), last(b"")];
    fails_with(&config, &at_the_end, violation);
    assert_eq!(violation.close_code(), CloseCode::PolicyViolation);
}

/// BY-10, row 28: the time of a message runs from its first byte, however it trickles, and bytes do
/// not renew it.
#[test]
fn s10_4_message_time_runs_from_its_first_byte() {
    for role in ROLES {
        let bytes = to(
            role,
            &[fragment(Opcode::Text, &[b'x'; 40]), fragment(Opcode::Continuation, &[b'y'; 80])],
        );
        let mut end = End::new(role);
        end.run_until(5_000);
        for byte in &bytes[..60] {
            end.receive(&[*byte]);
            end.run_until(end.now_ms + 1_000);
            end.receive(&[]);
        }
        assert_eq!(end.violation(), Some(Violation::SlowMessage { message_timeout_ms: 60_000 }));
        assert_eq!(end.now_ms, 65_000);
        assert_failed(&mut end, Violation::SlowMessage { message_timeout_ms: 60_000 });
        assert_eq!(end.outcome().code, CloseCode::PolicyViolation);
    }
}

/// BY-10: one millisecond before is in time; between messages no clock runs; each message has its
/// own.
#[test]
fn s10_4_message_time_ends_with_the_message() {
    for role in ROLES {
        let mut end = End::new(role);
        let (first, rest) = (to(role, &[fragment(Opcode::Text, b"a")]), to(role, &[last(b"b")]));
        for start_ms in [0, 100_000] {
            end.run_until(start_ms);
            assert_eq!(end.receive(&first), []);
            assert_eq!(end.due_ms(), Some(start_ms + 60_000));
            end.run_until(start_ms + 59_999);
            assert_eq!(end.receive(&rest), [text("ab")]);
            assert_eq!(end.due_ms(), None);
        }
        assert_eq!(end.state(), State::Open);
    }
}

/// BY-10, row 28: half a header and half a control frame have the same clock.
#[test]
fn s10_4_unfinished_frames_have_the_same_time() {
    for role in ROLES {
        let ping = to(role, &[Frame::ping("question")]);
        for cut in 1..ping.len() {
            let mut end = End::new(role);
            end.receive(&ping[..cut]);
            assert_eq!(end.due_ms(), Some(60_000), "cut {cut}");
            assert_eq!(end.receive(&ping[cut..]), [Seen::Ping(b"question".to_vec())]);
            assert_eq!(end.due_ms(), None);
        }
    }
}

/// CN-12, row 26, row 25: a server lets a burst of twice the rate through, then the rate, and
/// closes with 1008.
#[test]
fn s10_4_pings_have_a_rate_and_a_burst() {
    let ping = to(Role::Server, &[Frame::ping("")]);
    let mut server = End::new(Role::Server);
    server.run_until(1_000_000);
    assert_eq!(
        server.receive(&ping.repeat(200)).len(),
        200,
        "no more credit gathers than the burst"
    );
    for _ in 0..50 {
        server.run_until(server.now_ms + 100);
        assert_eq!(server.receive(&ping.repeat(10)).len(), 10);
    }
    assert_eq!(server.state(), State::Open);
    server.run_until(server.now_ms + 9);
    let mut seen = server.receive(&ping);
    assert_eq!(seen.pop(), Some(Seen::Closed));
    assert_eq!(server.flush_frames().len(), 701, "every ping before it was answered");
    assert_eq!(server.violation(), Some(Violation::PingFlood { pings_per_second_max: 100 }));
    assert_eq!(server.outcome().code, CloseCode::PolicyViolation);
}

/// Row 25: other rates, one ping at a time as fast as credit comes, never earn more than rate x
/// time + burst.
#[test]
fn s10_4_ping_credit_is_never_more_than_the_rate() {
    let ping = to(Role::Server, &[Frame::ping("")]);
    for rate in [1, 2, 4, 10, 100, 250, 500, 1000, 2000] {
        let mut config = quiet();
        config.pings_per_second_max = rate;
        for step_ms in [1, 3, 10, 250] {
            let mut server = End::with(Role::Server, config.clone());
            let mut taken = 0;
            while server.state() == State::Open && server.now_ms < 3_000 {
                taken += server.receive(&ping.repeat(1 + rate as usize / 100)).len();
                server.run_until(server.now_ms + step_ms);
            }
            let earned = u64::from(rate) * server.now_ms / 1000 + 2 * u64::from(rate);
            assert!(
                taken as u64 <= earned + 1,
                "{rate} a second, every {step_ms} ms: {taken} of {earned}"
            );
        }
    }
}

/// E30: a client has no limit on pings; each read is answered and forgotten.
#[test]
fn s10_4_a_client_takes_any_number_of_pings() {
    let mut client = End::new(Role::Client);
    let block = Frame::ping("x").encode().repeat(1_000);
    for _ in 0..10 {
        assert_eq!(client.receive(&block).len(), 1_000);
        assert_eq!(client.flush_frames().len(), 1_000);
    }
    assert_eq!(client.state(), State::Open);
}
