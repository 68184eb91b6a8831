//! A client that connects again.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use sockeye::client::{
    BoxFuture, Denied, Dial, Policy, Reconnecting, ReconnectingReceiver, ReconnectingSender, Status,
};
use sockeye::frame::{Frame, Opcode};
use sockeye::protocol::Overflow;
use sockeye::{
    Config, Connector, Error, ErrorKind, HandshakeError, NetStream, Role, SendError, Sent,
};
use tokio::io::DuplexStream;
use tokio::time::{Instant, timeout};

use crate::support::client::{Conduct, LAWFUL, Net};
use crate::support::io::RawPeer;
use crate::support::pair::{quiet, to};

fn reconnecting(net: &Net, config: Config) -> Reconnecting {
    Connector::new(config).dial(net.clone()).reconnecting("ws://9.9.9.9/").unwrap()
}

fn start(net: &Net) -> (ReconnectingSender, ReconnectingReceiver) {
    reconnecting(net, quiet()).start()
}

async fn says(server: &mut RawPeer<DuplexStream>, frames: &[Frame]) {
    server.write(&to(Role::Client, frames)).await;
}

async fn closes(mut server: RawPeer<DuplexStream>, code: u16) {
    says(&mut server, &[Frame::close(code, "because").unwrap()]).await;
    assert_eq!(server.close_code().await, Some(code));
}

async fn text(server: &mut RawPeer<DuplexStream>) -> String {
    let frame = server.frame().await.unwrap();
    assert_eq!(frame.opcode, Opcode::Text);
    String::from_utf8(frame.payload.to_vec()).unwrap()
}

fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(future).poll(&mut cx).is_pending()
}

/// When each attempt began, in milliseconds.
fn attempts(net: &Net) -> Vec<u64> {
    net.dialled().iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

/// BY-50: a lost connection is made again; each begins with the hook's words, then comes what waited, in
/// order; messages of all connections come out of one receiver.
#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again() {
    let net = Net::silent();
    let hook = |sender: &sockeye::Sender| assert!(sender.try_send("subscribe").is_ok());
    let (sender, mut receiver) = reconnecting(&net, quiet()).on_open(hook).start();
    sender.send("early").await.unwrap();
    let mut server = net.upgrade().await;
    assert_eq!(text(&mut server).await, "subscribe");
    assert_eq!(text(&mut server).await, "early");
    says(&mut server, &[Frame::text("one")]).await;
    assert_eq!(receiver.recv().await.unwrap(), Some("one".into()));
    let mut status = sender.status();
    assert!(matches!(*status.borrow(), Status::Open { connections: 1, lost: 0 }));
    drop(server);
    let waits =
        status.wait_for(|status| matches!(status, Status::Waiting { .. })).await.unwrap().clone();
    let Status::Waiting { failures: 1, delay, error } = waits else { panic!("{waits:?}") };
    assert!(delay <= Duration::from_secs(1) && error.retryable());
    for word in ["a", "b", "c"] {
        assert_eq!(sender.send(word).await, Ok(Sent::Queued));
    }
    assert_eq!(sender.queued(), (3, 3));
    let mut server = net.upgrade().await;
    for word in ["subscribe", "a", "b", "c"] {
        assert_eq!(text(&mut server).await, word);
    }
    assert!(matches!(*status.borrow(), Status::Open { connections: 2, lost: 0 }));
    says(&mut server, &[Frame::text("two")]).await;
    assert_eq!(receiver.next().await.unwrap().unwrap(), "two".into());
    assert_eq!((sender.lost(), sender.dropped()), (0, 0));
}

/// E37: waits grow, are capped and jittered; attempts go on until they are told to end.
#[tokio::test(start_paused = true)]
async fn e37_waits_are_capped_and_jittered() {
    let net = Net::silent().conduct("9.9.9.9:80", Conduct::Refuse(Duration::ZERO));
    let (sender, mut receiver) = start(&net);
    assert!(timeout(Duration::from_secs(3600), receiver.recv()).await.is_err());
    let attempts = attempts(&net);
    let waits: Vec<u64> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (index, wait) in waits.iter().enumerate() {
        let ceiling = (1000_u64 << index.min(10)).min(60_000);
        // A step of the timer more.
        assert!(*wait <= ceiling + 1, "{index}: {wait}");
    }
    let (long, count) = (waits.iter().skip(6), waits.len() - 6);
    // An hour of waits of 30 s in the middle: 120, and six standard deviations of it.
    assert!((70..200).contains(&count), "{count}");
    let short = long.clone().filter(|wait| **wait < 30_000).count();
    assert!(short > count / 5 && short < count * 4 / 5, "{short} of {count} are short");
    sender.close(1000, "").unwrap();
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert!(matches!(*sender.status().borrow(), Status::Ended));
}

/// E37: after 60 s up the next wait is a short one again.
#[tokio::test(start_paused = true)]
async fn e37_reset_after_60_s_up() {
    let net = Net::silent();
    let (sender, _receiver) = start(&net);
    let mut status = sender.status();
    for (up, failures) in [(0, 1), (1, 2), (59, 3), (61, 1), (0, 2)] {
        let server = net.upgrade().await;
        status.wait_for(|status| matches!(status, Status::Open { .. })).await.unwrap();
        tokio::time::sleep(Duration::from_secs(up)).await;
        drop(server);
        let waits =
            status.wait_for(|status| matches!(status, Status::Waiting { .. })).await.unwrap();
        assert!(
            matches!(*waits, Status::Waiting { failures: same, .. } if same == failures),
            "{up}: {waits:?}"
        );
    }
}

/// E36: 1012 and 1013: not before 5 s; 1001 and a lost stream: soon.
#[tokio::test(start_paused = true)]
async fn e36_service_restart_and_try_again_later() {
    for (code, least, most) in [(1012, 5, 31), (1013, 5, 31), (1001, 0, 2), (1011, 0, 2)] {
        let net = Net::silent();
        let (_sender, _receiver) = start(&net);
        let server = net.upgrade().await;
        let start = Instant::now();
        closes(server, code).await;
        net.upgrade().await;
        let seconds = start.elapsed().as_secs();
        assert!((least..most).contains(&seconds), "{code}: {seconds} s");
    }
}

/// E36: a refusal with Retry-After is waited for.
#[tokio::test(start_paused = true)]
async fn e36_retry_after() {
    let count = AtomicUsize::new(0);
    let net = Net::new(move |_, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => b"HTTP/1.1 503 Busy\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n".into(),
        1 => b"HTTP/1.1 429 Slow\r\nRetry-After: 100000000\r\nContent-Length: 0\r\n\r\n".into(),
        _ => LAWFUL.into(),
    });
    let (sender, _receiver) = start(&net);
    let mut status = sender.status();
    status.wait_for(|status| matches!(status, Status::Open { .. })).await.unwrap();
    let attempts = attempts(&net);
    assert!((17_000..19_000).contains(&(attempts[1] - attempts[0])), "{attempts:?}");
    // Not for three years.
    assert!((3_600_000..3_603_000).contains(&(attempts[2] - attempts[1])), "{attempts:?}");
}

/// E36, CC: codes that say "do not" end it, 1000 without an error.
#[tokio::test(start_paused = true)]
async fn e36_codes_that_end_it() {
    for code in [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 4000, 4001, 4401] {
        let net = Net::silent();
        let (sender, mut receiver) = start(&net);
        closes(net.upgrade().await, code).await;
        let ended = receiver.recv().await;
        match code {
            1000 => assert_eq!(ended.unwrap(), None),
            _ => {
                let error = ended.unwrap_err();
                assert_eq!(error.close_code().map(u16::from), Some(code), "{error:?}");
                let Error::ClosedByPeer(outcome) = &error else { panic!("{error:?}") };
                assert_eq!(outcome.reason.as_str(), "because");
                assert_eq!((error.kind(), error.retryable()), (ErrorKind::Internal, false));
            }
        }
        assert_eq!(receiver.recv().await.unwrap(), None);
        assert_eq!(sender.send("late").await, Err(SendError::Closed));
        assert!(matches!(*sender.status().borrow(), Status::Ended));
        assert_eq!(attempts(&net).len(), 1, "{code}");
    }
}

/// CE-08: what trying again cannot help ends it: an answer, a policy, a broken server; and so many failures.
#[tokio::test(start_paused = true)]
async fn ce_08_errors_that_end_it() {
    let net = Net::new(|_, _| b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into());
    let error = start(&net).1.recv().await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::UnexpectedStatus(_))), "{error:?}");
    let net = Net::silent();
    let (_sender, mut receiver) = start(&net);
    let mut server = net.upgrade().await;
    server.write(&[0x83, 0]).await;
    let error = receiver.recv().await.unwrap_err();
    assert!(matches!(error, Error::Violation(_)), "{error:?}");
    let net = Net::silent().conduct("9.9.9.9:80", Conduct::Refuse(Duration::ZERO));
    let (_sender, mut receiver) = reconnecting(&net, quiet()).failures_max(3).start();
    let error = receiver.recv().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert_eq!(attempts(&net).len(), 3);
    assert!(Connector::new(quiet()).reconnecting("http//a").is_err());
}

/// BY-51: the policy is asked again at each reconnect: a name that leads inside the second time gains nothing.
#[tokio::test(start_paused = true)]
async fn by_51_names_are_judged_at_each_reconnect() {
    struct Rebinding(Net, AtomicUsize);
    impl Dial for Rebinding {
        fn resolve<'a>(
            &'a self,
            _: &'a str,
            port: u16,
        ) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
            let is_first = self.1.fetch_add(1, Ordering::Relaxed) == 0;
            let address = if is_first { [9, 9, 9, 9] } else { [127, 0, 0, 1] };
            Box::pin(async move { Ok(vec![(address, port).into()]) })
        }

        fn connect(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<NetStream>> {
            self.0.connect(address)
        }
    }
    let net = Net::silent();
    let connector = Connector::new(quiet())
        .dial(Rebinding(net.clone(), AtomicUsize::new(0)))
        .policy(Policy::public_only());
    let (_sender, mut receiver) = connector.reconnecting("ws://a.test/").unwrap().start();
    drop(net.upgrade().await);
    let error = receiver.recv().await.unwrap_err();
    assert!(matches!(error, Error::Denied(Denied::Address)), "{error:?}");
    assert_eq!(attempts(&net).len(), 1);
}

fn small(overflow: Overflow) -> Config {
    let mut config = quiet();
    config.outbox_messages_max = 2;
    config.outbox_bytes_max = 10;
    config.overflow = overflow;
    config
}

/// BY-50: what waits while there is no connection is bounded in messages and bytes, by the outbox's policies.
#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded() {
    let dead = || Net::silent().conduct("9.9.9.9:80", Conduct::Silent);
    let started = |overflow| reconnecting(&dead(), small(overflow)).start();
    let full = Err(SendError::Full { messages: 2, bytes: 2 });

    let (sender, _receiver) = started(Overflow::DropNewest);
    for word in ["a", "b"] {
        assert_eq!(sender.send(word).await, Ok(Sent::Queued));
    }
    assert_eq!(sender.send("c").await, full);
    assert_eq!((sender.dropped(), sender.queued()), (1, (2, 2)));

    let (sender, _receiver) = started(Overflow::DropOldest);
    for word in ["a", "b"] {
        sender.send(word).await.unwrap();
    }
    assert_eq!(sender.try_send("1234567890"), Ok(Sent::Displaced { messages: 2 }));
    assert_eq!((sender.dropped(), sender.queued()), (2, (1, 10)));
    assert_eq!(sender.try_send("long enough alone"), Ok(Sent::Displaced { messages: 1 }));

    let (sender, _receiver) = started(Overflow::Block { timeout: Duration::from_secs(3) });
    for word in ["a", "b"] {
        sender.send(word).await.unwrap();
    }
    assert_eq!(sender.try_send("c"), full);
    let start = Instant::now();
    assert_eq!(sender.send("c").await, Err(SendError::Timeout { timeout_ms: 3000 }));
    assert_eq!((start.elapsed().as_secs(), sender.dropped(), sender.queued().0), (3, 0, 2));

    let (sender, mut receiver) = started(Overflow::Close);
    for word in ["a", "b"] {
        sender.send(word).await.unwrap();
    }
    assert_eq!(sender.send("c").await, full);
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert_eq!(sender.lost(), 2, "what waited at the end");
}

/// BY-50: who waits for room is let in when a connection takes messages; a dropped wait has sent nothing.
#[tokio::test(start_paused = true)]
async fn who_waits_for_room_gets_it() {
    let net = Net::silent();
    let (sender, _receiver) =
        reconnecting(&net, small(Overflow::Block { timeout: Duration::from_secs(100) })).start();
    for word in ["a", "b"] {
        sender.send(word).await.unwrap();
    }
    let mut dropped = Box::pin(sender.send("dropped"));
    let mut waits = Box::pin(sender.send("c"));
    assert!(is_pending(&mut dropped) && is_pending(&mut waits));
    drop(dropped);
    let serving = async {
        let mut server = net.upgrade().await;
        for word in ["a", "b", "c"] {
            assert_eq!(text(&mut server).await, word);
        }
        server
    };
    let (sent, mut server) = tokio::join!(waits, serving);
    assert_eq!(sent, Ok(Sent::Queued));
    assert!(is_pending(&mut Box::pin(server.frame())));
}

/// BY-50: messages that a connection had taken and could not write are told as lost; what it had not taken
/// is sent by the next, once and in order.
#[tokio::test(start_paused = true)]
async fn what_was_lost_is_told() {
    let net = Net::silent();
    let mut config = quiet();
    config.outbox_messages_max = 4;
    config.outbox_bytes_max = 1 << 20;
    config.overflow = Overflow::Block { timeout: Duration::from_secs(1) };
    let (sender, _receiver) = reconnecting(&net, config).start();
    let server = net.upgrade().await;
    // More than the pipe holds, so that they wait in the connection, then in the client.
    let mut taken: u64 = 0;
    while sender.send(format!("{taken:0>30000}")).await.is_ok() {
        taken += 1;
    }
    drop(server);
    let mut server = net.upgrade().await;
    let lost = sender.lost();
    assert!(lost > 0 && lost < taken, "{lost} of {taken}");
    let first: u64 = text(&mut server).await.trim_start_matches('0').parse().unwrap();
    assert!(first > lost && first < taken, "{first}: {lost} of {taken}");
    for number in first + 1..taken {
        let next: u64 = text(&mut server).await.trim_start_matches('0').parse().unwrap();
        assert_eq!(next, number);
    }
    let status = sender.status();
    assert!(
        matches!(*status.borrow(), Status::Open { connections: 2, lost: told } if told == lost)
    );
}

/// CL-12, BY-50: a ping goes over the connection there is; without one it is an error that passes.
#[tokio::test(start_paused = true)]
async fn cl_12_a_ping_over_the_connection_there_is() {
    let is_not_connected = |error: &Error| {
        assert!(error.retryable(), "{error:?}");
        matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::NotConnected)
    };
    let net = Net::silent();
    let (sender, mut receiver) = start(&net);
    assert!(is_not_connected(&sender.ping().await.unwrap_err()));
    let mut status = sender.status();
    for _ in 0..2 {
        let mut server = net.upgrade().await;
        status.wait_for(|status| matches!(status, Status::Open { .. })).await.unwrap();
        let answering = async {
            let ping = server.frame().await.unwrap();
            assert_eq!(ping.opcode, Opcode::Ping);
            tokio::time::sleep(Duration::from_millis(30)).await;
            says(&mut server, &[Frame::pong(ping.payload.clone())]).await;
        };
        let (time, ()) = tokio::join!(sender.ping(), answering);
        assert_eq!(time.unwrap(), Duration::from_millis(30));
        let mut unanswered = Box::pin(sender.ping());
        assert!(is_pending(&mut unanswered));
        drop(server);
        assert!(is_not_connected(&unanswered.await.unwrap_err()));
        status.wait_for(|status| !matches!(status, Status::Open { .. })).await.unwrap();
        assert!(is_not_connected(&sender.ping().await.unwrap_err()));
    }
    receiver.close(1000, "").await.unwrap();
    assert!(matches!(sender.ping().await, Err(Error::Closed)));
}

/// CL-16: closing ends it wherever it is: connected (what waits goes first), waiting, connecting.
#[tokio::test(start_paused = true)]
async fn closing_ends_it_wherever_it_is() {
    let net = Net::silent();
    let (sender, mut receiver) = start(&net);
    let mut server = net.upgrade().await;
    let mut status = sender.status();
    status.wait_for(|status| matches!(status, Status::Open { .. })).await.unwrap();
    sender.send("last").await.unwrap();
    assert!(sender.close(1005, "").is_err());
    let closing = receiver.close(4000, "done");
    let serving = async {
        assert_eq!(text(&mut server).await, "last");
        let close = server.frame().await.unwrap();
        assert_eq!(close.payload[..], b"\x0f\xa0done"[..]);
        says(&mut server, &[Frame::close(4000, "done").unwrap()]).await;
        drop(server);
    };
    let (closed, ()) = tokio::join!(closing, serving);
    closed.unwrap();
    assert_eq!((sender.lost(), attempts(&net).len()), (0, 1));
    assert_eq!(sender.send("late").await, Err(SendError::Closed));

    for conduct in [Conduct::Silent, Conduct::Refuse(Duration::ZERO)] {
        let net = Net::silent().conduct("9.9.9.9:80", conduct);
        let (_sender, mut receiver) = start(&net);
        let start = Instant::now();
        assert!(timeout(Duration::from_secs(5), receiver.recv()).await.is_err());
        receiver.close(1000, "").await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}

/// BY-11: the receiver owns the task: dropping it ends the connection with 1001 and all senders.
#[tokio::test(start_paused = true)]
async fn dropping_the_receiver_ends_it() {
    let net = Net::silent();
    let (sender, receiver) = start(&net);
    let server = net.upgrade().await;
    let token = Arc::new(());
    let mut status = sender.status();
    status.wait_for(|status| matches!(status, Status::Open { .. })).await.unwrap();
    drop(receiver);
    assert_eq!(sender.send("late").await, Err(SendError::Closed));
    // The last sender of the status goes with the task.
    assert!(
        timeout(Duration::from_secs(1), async { while status.changed().await.is_ok() {} })
            .await
            .is_ok()
    );
    drop((server, token));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(attempts(&net).len(), 1);
}

/// Cancel safety: `recv` in a `select!` that is won by others loses nothing.
#[tokio::test(start_paused = true)]
async fn recv_may_be_dropped() {
    let net = Net::silent();
    let (_sender, mut receiver) = start(&net);
    let serving = tokio::spawn({
        let net = net.clone();
        async move {
            for connection in 0..3 {
                let mut server = net.upgrade().await;
                for number in 0..10 {
                    says(&mut server, &[Frame::text(&format!("{connection} {number}"))]).await;
                    tokio::time::sleep(Duration::from_millis(7)).await;
                }
                closes(server, if connection == 2 { 1000 } else { 1001 }).await;
            }
        }
    });
    let mut received = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(3)) => {}
            message = receiver.recv() => match message.unwrap() {
                Some(message) => received.push(message.as_text().unwrap().to_owned()),
                None => break,
            }
        }
    }
    serving.await.unwrap();
    let expected: Vec<_> = (0..3).flat_map(|a| (0..10).map(move |b| format!("{a} {b}"))).collect();
    assert_eq!(received, expected);
}

/// The future of `recv` is polled to the end once, whoever polls after that.
#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_ends_it() {
    let net = Net::silent();
    let hook = |_: &sockeye::Sender| std::panic::resume_unwind(Box::new("as asked"));
    let (sender, mut receiver) = reconnecting(&net, quiet()).on_open(hook).start();
    let _server = net.upgrade().await;
    assert!(matches!(receiver.recv().await, Err(Error::Closed)));
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert!(matches!(
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut receiver).poll_next_unpin(cx))).await,
        Poll::Ready(None)
    ));
    drop(receiver);
    assert!(sender.send("late").await.is_err());
}
