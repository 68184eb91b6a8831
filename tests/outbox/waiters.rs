//! Floor 5: senders that wait for room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sockeye::protocol::Overflow;
use sockeye::{Role, SendError, Sent};

use crate::support::gate::Gate;
use crate::support::pair::frames;
use crate::support::streams::{Wakes, noise, quiet_with};

const MESSAGES_MAX: usize = 4;
const WAITERS: usize = 1000;

/// So much that nothing is encoded behind it before it has left.
const PLUG: usize = 60_000;

type Sending = Pin<Box<dyn Future<Output = Result<Sent, SendError>>>>;

/// A send that waits, and who is woken for it.
struct Waiter {
    sending: Option<Sending>,
    wakes: Arc<Wakes>,
    polls: usize,
}

impl Waiter {
    fn new(gate: &Gate, number: usize) -> Self {
        let sender = gate.sender.clone();
        let sending = Box::pin(async move { sender.send(number.to_string()).await });
        Self { sending: Some(sending), wakes: Arc::default(), polls: 0 }
    }

    /// True when the message was taken.
    fn poll(&mut self) -> bool {
        let waker = Waker::from(self.wakes.clone());
        let sending = self.sending.as_mut().unwrap().as_mut();
        self.polls += 1;
        match sending.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => {
                assert_eq!(result, Ok(Sent::Queued));
                self.sending = None;
                true
            }
            Poll::Pending => false,
        }
    }

    fn is_woken(&self) -> bool {
        self.wakes.count() > 0
    }
}

/// A full outbox behind a plug, and many that wait.
fn full() -> (Gate, Vec<Waiter>) {
    let mut gate = Gate::new(quiet_with(|config| {
        config.outbox_messages_max = MESSAGES_MAX;
        config.overflow = Overflow::Block { timeout: Duration::from_secs(3600) };
    }));
    for _ in 0..2 {
        gate.sender.try_send(noise(PLUG)).unwrap();
    }
    gate.poll();
    assert_eq!(gate.sender.queued().0, 0);
    for _ in 0..MESSAGES_MAX {
        gate.sender.try_send("before").unwrap();
    }
    let mut waiters: Vec<_> = (0..WAITERS).map(|number| Waiter::new(&gate, number)).collect();
    assert!(waiters.iter_mut().all(|waiter| !waiter.poll()));
    (gate, waiters)
}

fn inside<T>(test: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    test()
}

fn woken(waiters: &[Waiter]) -> Vec<usize> {
    (0..waiters.len()).filter(|index| waiters[*index].is_woken()).collect()
}

/// CN-05: as many are woken as there is room for, the first come first; nobody passes them.
#[test]
fn room_goes_to_who_waits_longest() {
    inside(|| {
        let (mut gate, mut waiters) = full();
        gate.allow(2 * (PLUG + 4));
        assert_eq!(woken(&waiters), [0, 1, 2, 3]);
        let refused = gate.sender.try_send("newcomer");
        assert!(matches!(refused, Err(SendError::Full { .. })), "{refused:?}");
        // In whatever order they are polled, who was not woken waits on.
        for index in [10, 3, 500, 1, 0, 2] {
            assert_eq!(waiters[index].poll(), index < 4);
        }
        let refused = gate.sender.try_send("newcomer");
        assert!(matches!(refused, Err(SendError::Full { .. })), "{refused:?}");
    });
}

/// CN-05: each is woken once and polled twice, however many wait, and they come in their order.
#[test]
fn waiting_costs_each_the_same() {
    inside(|| {
        let (mut gate, mut waiters) = full();
        let mut done = 0;
        while done < WAITERS {
            gate.allow(1 << 30);
            let ready =
                waiters.iter_mut().filter(|waiter| waiter.sending.is_some() && waiter.is_woken());
            let taken = ready.map(Waiter::poll).filter(|taken| *taken).count();
            assert!((1..=MESSAGES_MAX).contains(&taken), "{taken} at once");
            done += taken;
        }
        gate.allow(0);
        assert!(waiters.iter().all(|waiter| waiter.wakes.count() == 1 && waiter.polls == 2));
        let texts = frames(&gate.take(), Role::Server).into_iter().skip(2 + MESSAGES_MAX);
        let texts: Vec<_> = texts.map(|frame| frame.payload).collect();
        let expected: Vec<_> = (0..WAITERS).map(|number| number.to_string()).collect();
        assert_eq!(texts, expected);
    });
}

/// CN-05: who gives up leaves nothing behind, and the room it had goes to the next.
#[test]
fn who_gives_up_leaves_nothing() {
    inside(|| {
        let (mut gate, mut waiters) = full();
        for waiter in &mut waiters[1..3] {
            waiter.sending = None;
            assert_eq!(Arc::strong_count(&waiter.wakes), 1, "its waker is kept");
        }
        gate.allow(2 * (PLUG + 4));
        assert_eq!(woken(&waiters), [0, 3, 4, 5]);
        // Granted, and not taken.
        waiters[3].sending = None;
        assert_eq!(woken(&waiters), [0, 3, 4, 5, 6]);
        for index in [0, 4, 5, 6] {
            assert!(waiters[index].poll());
        }
        assert_eq!(gate.sender.queued().0, MESSAGES_MAX);
    });
}

/// CN-05: a connection that closes wakes all.
#[test]
fn a_close_wakes_all() {
    inside(|| {
        let (gate, mut waiters) = full();
        gate.sender.close(1000, "").unwrap();
        assert_eq!(woken(&waiters).len(), WAITERS);
        let mut last = waiters.pop().unwrap();
        let waker = Waker::from(last.wakes.clone());
        let sending = last.sending.as_mut().unwrap().as_mut();
        let result = sending.poll(&mut Context::from_waker(&waker));
        assert_eq!(result, Poll::Ready(Err(SendError::Closed)));
    });
}

/// CN-05: a long message that waits is not passed for ever by short ones.
#[test]
fn a_long_message_has_its_turn() {
    inside(|| {
        let mut gate = Gate::new(quiet_with(|config| {
            config.outbox_bytes_max = 10_000;
            config.overflow = Overflow::Block { timeout: Duration::from_secs(3600) };
        }));
        gate.sender.try_send(noise(PLUG)).unwrap();
        gate.poll();
        gate.sender.try_send(noise(6000)).unwrap();
        let sender = gate.sender.clone();
        let mut long = Waiter::new(&gate, 0);
        long.sending = Some(Box::pin(async move { sender.send(noise(9000)).await }));
        assert!(!long.poll());
        let refused = gate.sender.try_send("short");
        assert!(matches!(refused, Err(SendError::Full { .. })), "{refused:?}");
        gate.allow(1 << 30);
        assert!(long.is_woken() && long.poll());
        gate.sender.try_send("short").unwrap();
    });
}
