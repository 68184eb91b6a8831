//! Faults that were there once: each test failed before its fix.

use crate::support::pair::{End, ROLES, Seen, fails_with, fragment, last, millis, quiet, to};
use sockeye::frame::*;
use sockeye::protocol::*;
use std::sync::Arc;
/// BY-10: a frame limit of a few bytes holds for a frame that lies whole in the block too.
#[test]
fn frame_limit_holds_for_short_frames() {
    let mut config = quiet();
    config.frame_bytes_max = Some(10);
    fails_with(
        &config,
        &[Frame::binary(vec![0; 11])],
        Violation::FrameTooBig { bytes: 11, bytes_max: 10 },
    );
}

/// BY-10: a message that is not fragmented has one fragment, whatever the limit and the cut.
#[test]
fn an_unfragmented_message_is_one_fragment() {
    let mut config = quiet();
    config.fragments_max = 0;
    let frames = [fragment(Opcode::Binary, b"a"), last(b"b")];
    fails_with(&config, &frames, Violation::TooManyFragments { fragments_max: 1 });
}

/// Row 26: the allowance is earned by the millisecond at any rate.
#[test]
fn ping_allowance_is_earned_exactly() {
    for rate in [300, 501, 600, 999, 1500] {
        let mut config = quiet();
        config.pings_per_second_max = rate;
        let ping = to(Role::Server, &[Frame::ping("")]);
        let mut server = End::with(Role::Server, config);
        let mut taken = 0;
        while server.state() == State::Open && server.now_ms < 10_000 {
            taken += server.receive(&ping.repeat(1 + rate as usize / 600)).len();
            server.run_until(server.now_ms + 1);
        }
        let earned = rate as usize * server.now_ms as usize / 1000 + 2 * rate as usize;
        assert!(taken <= earned + 1, "{rate}: {taken} of {earned}");
        assert!(taken + 1 >= earned.min(10_000), "{rate}: {taken} of {earned}");
    }
    let mut config = quiet();
    config.pings_per_second_max = 1_500;
    let mut server = End::with(Role::Server, config);
    server.run_until(1);
    server.receive(&to(Role::Server, &vec![Frame::ping(""); 100_000]));
    assert_eq!(server.violation(), Some(Violation::PingFlood { pings_per_second_max: 1_500 }));
}

/// CN-11: without pings and deadlines nothing is ever due.
#[test]
fn never_is_never() {
    let endpoint = Endpoint::new(Role::Server, Arc::new(quiet()), 0);
    assert_eq!(endpoint.poll_timeout(), None);
}

/// CN-11: a peer whose pongs take longer than the ping interval is alive.
#[test]
fn round_trip_longer_than_the_interval() {
    let mut config = quiet();
    config.ping_interval = Some(millis(1_000));
    let mut end = End::with(Role::Client, config);
    let mut flying: std::collections::VecDeque<(u64, Vec<u8>)> = Default::default();
    while end.now_ms < 60_000 && end.state() == State::Open {
        end.run_until(end.now_ms + 100);
        for frame in end.flush_frames() {
            flying.push_back((end.now_ms + 1_500, frame.payload.to_vec()));
        }
        while flying.front().is_some_and(|(at, _)| *at <= end.now_ms) {
            let (_, payload) = flying.pop_front().unwrap();
            end.receive(&Frame::pong(payload).encode());
        }
    }
    assert_eq!(
        end.state(),
        State::Open,
        "answers every ping in 1.5 s of 10: {:?} at {}",
        end.endpoint.outcome(),
        end.now_ms
    );
}

/// BY-08: the first true reason is not overwritten by the close timeout.
#[test]
fn idle_cause_is_kept() {
    let mut config = quiet();
    config.idle_timeout = Some(millis(1_000));
    let mut end = End::with(Role::Client, config);
    end.run_until(1_000);
    end.flush();
    assert_eq!(end.outcome().cause, CloseCause::Timeout(TimeoutKind::Idle));
    end.run_until(10_000);
    assert_eq!(end.outcome().cause, CloseCause::Timeout(TimeoutKind::Idle));
}

/// BY-08: a peer that breaks the protocol during the closing handshake ends it.
#[test]
fn violation_while_closing_is_told() {
    for bad in [Frame::new(Opcode::Close, vec![3]), last(b"x")] {
        let mut end = End::new(Role::Client);
        end.close(1000, "");
        let mut block = [bad.encode(), vec![0; 10]].concat();
        let (mut at, mut out) = (0, WriteBuffer::new());
        let event = end.endpoint.receive(&mut block, &mut at, &mut out, 0).map(Seen::from);
        assert!(event == Some(Seen::Closed) || at == block.len());
        assert_eq!(event, Some(Seen::Closed));
    }
}

/// Row 28: reads that end inside pings are no unfinished message.
#[test]
fn cut_control_frames_are_no_slow_message() {
    for role in ROLES {
        let ping = to(role, &[Frame::ping("12345678")]);
        let mut end = End::new(role);
        end.receive(&ping[..5]);
        for _ in 0..100 {
            end.run_until(end.now_ms + 1_000);
            end.receive(&[&ping[5..], &ping[..5]].concat());
            end.flush();
        }
        assert_eq!(end.state(), State::Open, "{:?}", end.violation());
    }
}

/// Row 28: pauses do not add up to an endless message.
#[test]
fn resume_does_not_restart_the_message_time() {
    let mut end = End::new(Role::Server);
    end.receive(&to(Role::Server, &[fragment(Opcode::Text, b"x")]));
    for _ in 0..1_000 {
        end.run_until(end.now_ms + 50_000);
        end.endpoint.pause(end.now_ms);
        end.endpoint.resume(end.now_ms);
    }
    assert_eq!(end.state(), State::Closed, "unfinished for {} s", end.now_ms / 1000);
}

/// CN-11: an interval of zero does not spin.
#[test]
fn ping_interval_of_nothing_comes_to_rest() {
    let mut config = quiet();
    config.ping_interval = Some(millis(0));
    let mut end = End::with(Role::Client, config);
    end.run_until(1000);
}
