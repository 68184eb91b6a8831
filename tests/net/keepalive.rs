//! Keepalive against a virtual clock: pings, pongs, silence, and who is to blame for it (RFC 6455
//! 5.5.2, 5.5.3).

use sockeye::frame::{CloseCode, Frame, Opcode, Violation};
use sockeye::protocol::{CloseCause, Config, Initiator, MessageRef, Role, State, TimeoutKind};

use crate::support::pair::{End, Pair, ROLES, Seen, fragment, last, millis, quiet, text, to};

const PING: u64 = 30_000;
const PONG: u64 = 10_000;

/// Pings every 30 s, waits 10 s for the pong, does not mind silence otherwise.
fn pinging() -> Config {
    let mut config = quiet();
    config.ping_interval = Some(millis(PING));
    config
}

/// Runs to the next ping, writes it, and returns its payload.
fn next_ping(end: &mut End) -> Vec<u8> {
    let due_ms = end.due_ms().expect("a ping is due");
    end.run_until(due_ms);
    let written = end.flush_frames();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].opcode, Opcode::Ping);
    written[0].payload.to_vec()
}

fn pong(role: Role, payload: Vec<u8>) -> Vec<u8> {
    to(role, &[Frame::pong(payload)])
}

fn assert_lost(end: &mut End, kind: TimeoutKind) {
    assert_eq!(end.state(), State::Closed);
    assert_eq!(end.outcome().code, CloseCode::Abnormal);
    assert_eq!(end.outcome().cause, CloseCause::Timeout(kind));
    assert_eq!((end.outcome().initiator, end.outcome().clean), (Initiator::Local, false));
    assert!(end.out.is_empty(), "nobody is there to read a close frame");
    assert_eq!(end.due_ms(), None);
}

/// CN-11, row 47: the first ping comes between half an interval and a whole one, and not always at
/// the same time.
#[test]
fn first_ping_is_jittered() {
    let due = |_| {
        let config = std::sync::Arc::new(pinging());
        sockeye::protocol::Endpoint::new(Role::Server, config, 1_000).poll_timeout()
    };
    let mut times: Vec<u64> = (0..200).filter_map(due).collect();
    assert!(times.iter().all(|ms| (1_000 + PING / 2..=1_000 + PING).contains(ms)), "{times:?}");
    assert_eq!(times.len(), 200);
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 50, "{times:?}");
}

/// CN-11: answered pings go on, one an interval, each with another payload.
#[test]
fn s5_5_2_pings_go_on_while_pongs_come() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        let (mut before_ms, mut payloads) = (None, Vec::new());
        for _ in 0..20 {
            let payload = next_ping(&mut end);
            assert_eq!(before_ms.replace(end.now_ms).map_or(PING, |ms| end.now_ms - ms), PING);
            assert!(!payloads.contains(&payload), "an old pong must not pass for a new one");
            end.now_ms += PONG - 1;
            end.receive(&pong(role, payload.clone()));
            payloads.push(payload);
        }
        assert_eq!(end.state(), State::Open);
    }
}

/// CN-11: no pong within 10 s of the flush, and the connection is lost, 1006 here.
#[test]
fn s5_5_2_no_pong_and_the_peer_is_lost() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        next_ping(&mut end);
        let lost_ms = end.now_ms + PONG;
        assert_eq!(end.due_ms(), Some(lost_ms));
        end.run_until(lost_ms - 1);
        assert_eq!(end.state(), State::Open);
        end.run_until(lost_ms);
        assert_lost(&mut end, TimeoutKind::Pong);
    }
}

/// CN-11: while our own output is stuck the peer cannot have seen the ping: its time runs from the
/// flush.
#[test]
fn s5_5_2_pong_time_runs_from_the_flush() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        let pinged_ms = end.due_ms().expect("a ping is due");
        end.run_until(pinged_ms + 25_000);
        assert_eq!(end.state(), State::Open);
        assert_eq!(end.flush_frames().len(), 1);
        end.run_until(pinged_ms + 25_000 + PONG - 1);
        assert_eq!(end.state(), State::Open);
        assert_eq!(end.flush_frames().len(), 0, "no ping while one is out");
        end.run_until(pinged_ms + 25_000 + PONG);
        assert_lost(&mut end, TimeoutKind::Pong);
    }
}

/// CN-11: a reader that comes late reads first, finds the pong and blames nobody.
#[test]
fn s5_5_3_late_reader_finds_the_pong_first() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        let payload = next_ping(&mut end);
        end.now_ms += 3_600_000;
        end.receive(&pong(role, payload));
        end.endpoint.handle_timeout(&mut end.out, end.now_ms);
        assert_eq!(end.state(), State::Open);
        assert_eq!(end.flush_frames().len(), 1, "one ping for the hour that was missed");
    }
}

/// CN-11: a pong with another payload, an old one, or any other frame is no answer.
#[test]
fn s5_5_3_only_the_pong_of_the_last_ping_counts() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        let old = next_ping(&mut end);
        end.receive(&pong(role, old.clone()));
        next_ping(&mut end);
        let lost_ms = end.now_ms + PONG;
        end.run_until(lost_ms - 1);
        for payload in [old, b"".to_vec(), b"other".to_vec()] {
            assert_eq!(end.receive(&pong(role, payload.clone())), [Seen::Pong(payload)]);
        }
        end.receive(&to(role, &[Frame::text("x"), Frame::ping("x")]));
        end.flush();
        assert_eq!(end.due_ms(), Some(lost_ms));
        end.run_until(lost_ms);
        assert_lost(&mut end, TimeoutKind::Pong);
    }
}

/// CN-11: the application's own ping is waited for in the same way, and moves the next one.
#[test]
fn s5_5_2_ping_by_hand() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        end.run_until(1_000);
        end.endpoint.ping(&mut end.out, 1_000);
        let payload = end.flush_frames()[0].payload.to_vec();
        assert_eq!(end.due_ms(), Some(1_000 + PONG));
        end.receive(&pong(role, payload));
        assert_eq!(end.due_ms(), Some(1_000 + PING));

        let mut end = End::new(role);
        end.endpoint.ping(&mut end.out, 0);
        end.flush();
        end.run_until(PONG);
        assert_lost(&mut end, TimeoutKind::Pong);
    }
}

/// CN-11: the pong of an earlier ping proves that the peer is there: the wait for that of the last begins again, if it
/// has begun.
#[test]
fn s5_5_3_an_earlier_pong_renews_the_wait() {
    for role in ROLES {
        let mut end = End::new(role);
        end.endpoint.ping(&mut end.out, 0);
        let first = end.flush_frames()[0].payload.to_vec();
        end.run_until(5_000);
        end.endpoint.ping(&mut end.out, 5_000);
        end.flush();
        assert_eq!(end.due_ms(), Some(PONG));
        end.run_until(9_000);
        end.receive(&pong(role, first));
        assert_eq!(end.due_ms(), Some(9_000 + PONG));

        let mut end = End::new(role);
        end.endpoint.ping(&mut end.out, 0);
        end.endpoint.ping(&mut end.out, 0);
        let bytes = std::mem::take(&mut end.out).into_vec();
        let first = crate::support::pair::frames(&bytes, role)[0].payload.to_vec();
        end.now_ms = 1_000;
        end.receive(&pong(role, first));
        assert_eq!(end.due_ms(), None, "nobody said that the second has left");
        end.endpoint.pause(1_500);
        end.endpoint.resume(2_000);
        assert_eq!(end.due_ms(), None, "nor is it said by a pause");
        end.now_ms = 3_000;
        end.flush();
        assert_eq!(end.due_ms(), Some(3_000 + PONG));
    }
}

/// CN-11: who waits for pongs for ever is answered and goes on with pings.
#[test]
fn a_wait_without_end_is_a_wait() {
    for role in ROLES {
        let mut config = pinging();
        config.pong_timeout = std::time::Duration::MAX;
        let mut end = End::with(role, config);
        for _ in 0..3 {
            let payload = next_ping(&mut end);
            end.receive(&pong(role, payload));
        }
    }
}

/// CN-11: the pong may be stuck behind a long frame: its time then runs from the last byte that
/// came.
#[test]
fn s5_5_3_unfinished_frame_that_keeps_coming_delays_the_pong() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        let frame = to(role, &[Frame::binary(vec![0; 100])]);
        let payload = next_ping(&mut end);
        let mut sent = 0;
        for _ in 0..5 {
            end.receive(&frame[sent..sent + 10]);
            sent += 10;
            end.run_until(end.now_ms + PONG - 1);
            end.flush();
            assert_eq!(end.state(), State::Open);
        }
        let rest = [&frame[sent..], &pong(role, payload)].concat();
        assert_eq!(end.receive(&rest).len(), 2);
        assert_eq!(end.state(), State::Open);
    }
}

/// CN-11, row 28: it delays it while it comes, not when it stops.
#[test]
fn s5_5_3_unfinished_frame_that_stops_does_not_delay_the_pong() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        next_ping(&mut end);
        end.now_ms += 4_000;
        end.receive(&to(role, &[Frame::binary(vec![0; 100])])[..10]);
        let stopped_ms = end.now_ms;
        end.run_until(stopped_ms + PONG - 1);
        assert_eq!(end.state(), State::Open);
        end.run_until(stopped_ms + PONG);
        assert_lost(&mut end, TimeoutKind::Pong);
    }
}

/// BY-10, row 28: nor does a trickle outlive the time a message has.
#[test]
fn s10_4_trickle_is_bounded_by_the_message_time() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        end.receive(&to(role, &[fragment(Opcode::Binary, b"x")]));
        while end.state() == State::Open && end.now_ms < 200_000 {
            end.receive(&to(role, &[fragment(Opcode::Continuation, b"x")]));
            end.run_until(end.now_ms + 500);
            end.flush();
        }
        assert_eq!(end.violation(), Some(Violation::SlowMessage { message_timeout_ms: 60_000 }));
        assert!((60_000..61_000).contains(&end.now_ms));
    }
}

/// Row 27, CN-11: while we do not read, no silence is the peer's fault; pings still go out.
#[test]
fn pause_stops_the_blame() {
    for role in ROLES {
        let mut config = pinging();
        config.idle_timeout = Some(millis(45_000));
        let mut end = End::with(role, config);
        end.receive(&to(role, &[fragment(Opcode::Text, b"a")]));
        next_ping(&mut end);
        end.endpoint.pause(end.now_ms);
        end.run_until(10_000_000);
        assert_eq!(end.state(), State::Open);
        assert!(end.flush_frames().iter().all(|frame| frame.opcode == Opcode::Ping));

        end.endpoint.resume(end.now_ms);
        let lost_ms = end.now_ms + PONG;
        assert_eq!(end.receive(&to(role, &[last(b"b")])), [text("ab")]);
        end.run_until(lost_ms - 1);
        assert_eq!(end.state(), State::Open, "every wait begins again");
        end.flush();
        end.run_until(lost_ms);
        assert_lost(&mut end, TimeoutKind::Pong);
    }
}

/// Row 28: the message deadline stands still during the pause, and no longer.
#[test]
fn the_message_deadline_stands_still_while_paused() {
    for role in ROLES {
        let mut end = End::new(role);
        end.receive(&to(role, &[fragment(Opcode::Text, b"a")]));
        end.run_until(50_000);
        end.endpoint.pause(end.now_ms);
        assert_eq!(end.due_ms(), None);
        end.run_until(100_000);
        end.endpoint.resume(end.now_ms);
        end.run_until(109_999);
        assert_eq!(end.state(), State::Open);
        end.run_until(110_000);
        assert_eq!(end.violation(), Some(Violation::SlowMessage { message_timeout_ms: 60_000 }));
    }
}

/// A resume without a pause renews nothing.
#[test]
fn resume_without_pause_changes_nothing() {
    for role in ROLES {
        let mut end = End::with(role, pinging());
        next_ping(&mut end);
        let due_ms = end.due_ms();
        end.run_until(end.now_ms + PONG / 2);
        end.endpoint.resume(end.now_ms);
        assert_eq!(end.due_ms(), due_ms);
    }
}

/// The table of limits: silence is closed with 1001 and a handshake, which has its own time.
#[test]
fn s7_4_1_silence_is_closed_with_going_away() {
    for role in ROLES {
        let mut config = quiet();
        config.idle_timeout = Some(millis(120_000));
        let mut end = End::with(role, config);
        end.run_until(100_000);
        end.receive(&to(role, &[Frame::pong("")]));
        end.send(MessageRef::Text("what we send does not count"));
        end.flush();
        end.run_until(219_999);
        assert_eq!(end.state(), State::Open);
        end.run_until(220_000);
        assert_eq!(end.state(), State::Closing);
        let written = end.flush_frames();
        assert_eq!(written[0].payload[..2], 1001_u16.to_be_bytes());
        assert_eq!(end.due_ms(), Some(225_000));

        assert_eq!(end.receive(&to(role, &[Frame::close(1001, "").unwrap()])), [Seen::Closed]);
        let outcome = end.outcome();
        assert_eq!(
            (outcome.code, outcome.initiator, outcome.clean),
            (CloseCode::GoingAway, Initiator::Local, true)
        );
        assert_eq!(outcome.cause, CloseCause::Timeout(TimeoutKind::Idle));
    }
}

/// CN-11, CN-12: two ends that ping each other live for a week, and die when the line does, each by
/// itself.
#[test]
fn s5_5_2_pair_lives_while_the_line_does() {
    let mut config = pinging();
    config.idle_timeout = Some(millis(120_000));
    let mut pair = Pair::new(&config);
    pair.run_until(7 * 24 * 3_600_000);
    let pings = |seen: &[Seen]| seen.iter().filter(|seen| matches!(seen, Seen::Ping(_))).count();
    assert!(pings(&pair.client_seen) >= 20_159, "{}", pings(&pair.client_seen));
    assert!(pings(&pair.server_seen) >= 20_159, "{}", pings(&pair.server_seen));

    pair.lose_to = Some(Role::Client);
    let cut_ms = pair.client.now_ms;
    pair.run_until(cut_ms + PING + PONG + PONG);
    assert_eq!(pair.client.outcome().cause, CloseCause::Timeout(TimeoutKind::Pong));
    pair.run_until(cut_ms + 3 * 60_000);
    assert_eq!(pair.server.outcome().cause, CloseCause::Timeout(TimeoutKind::Pong));
}

/// Row 47: the clock of the caller may stand anywhere and stand still.
#[test]
fn clock_may_begin_anywhere() {
    for start_ms in [0, 1, u64::MAX / 2] {
        let config = std::sync::Arc::new(pinging());
        let mut endpoint = sockeye::protocol::Endpoint::new(Role::Server, config, start_ms);
        let mut out = sockeye::protocol::WriteBuffer::new();
        for _ in 0..10 {
            endpoint.handle_timeout(&mut out, start_ms);
        }
        assert!(out.is_empty());
        let due_ms = endpoint.poll_timeout().expect("a ping is due");
        assert!((start_ms + PING / 2..=start_ms + PING).contains(&due_ms));
        endpoint.handle_timeout(&mut out, due_ms);
        endpoint.handle_timeout(&mut out, due_ms);
        assert_eq!(out.len(), 6, "one ping");
    }
}
