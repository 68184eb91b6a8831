//! The task of a node.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Weak;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::hub::shared::Shared;
use crate::pubsub::{BusEvents, BusState, Incoming};
use crate::sync::Arc;

use super::answers;
use super::inner::Inner;
use super::receive::Todo;

/// What is heard in a row before other tasks have their turn.
const IN_A_ROW: u32 = 128;

/// Hears what comes and does what is due, as long as there is a hub and a bus.
pub(super) async fn run(inner: Arc<Inner>, hub: Weak<Shared>, mut events: BusEvents) {
    let mut answers = JoinSet::new();
    let mut state = inner.bus.state();
    inner.note_up(matches!(*state.borrow_and_update(), BusState::Up { .. }));
    let mut in_a_row = 0_u32;
    loop {
        let due_at = inner.due_at();
        let incoming = tokio::select! {
            biased;
            () = sleep_until(due_at) => {
                let Some(hub) = hub.upgrade() else { return };
                inner.do_chores(&hub);
                continue;
            }
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                inner.note_up(matches!(*state.borrow_and_update(), BusState::Up { .. }));
                continue;
            }
            Some(_) = answers.join_next(), if !answers.is_empty() => continue,
            () = inner.changed.notified() => {
                let Some(hub) = hub.upgrade() else { return };
                inner.run_errands(&hub);
                inner.tell_presence(&hub);
                continue;
            }
            incoming = next(&mut events, &inner) => incoming,
        };
        let (Some(incoming), Some(hub)) = (incoming, hub.upgrade()) else { return };
        handle(&inner, &hub, incoming, &mut answers).await;
        in_a_row = in_a_row.wrapping_add(1);
        if in_a_row.is_multiple_of(IN_A_ROW) {
            drop(hub);
            tokio::task::yield_now().await;
        }
    }
}

/// The next thing that comes. Where it has to be waited for, all that came before was heard.
async fn next(events: &mut BusEvents, inner: &Inner) -> Option<Incoming> {
    let mut next = pin!(events.next());
    poll_fn(|cx| {
        let polled = next.as_mut().poll(cx);
        if polled.is_pending() {
            inner.state.lock().all_heard_at = Instant::now();
        }
        polled
    })
    .await
}

async fn handle(
    inner: &Arc<Inner>,
    hub: &Arc<Shared>,
    incoming: Incoming,
    answers: &mut JoinSet<()>,
) {
    let message = match incoming {
        Incoming::Message(message) => message,
        _ => return inner.note_gap(hub),
    };
    match inner.receive(hub, &message) {
        Todo::Nothing => {}
        Todo::Deliver(delivery) => inner.deliver(hub, delivery).await,
        // Not beside it: what comes next is not in what is told.
        Todo::Claim { node, claim } => inner.answer_claim(node, *claim).await,
        Todo::Answer { node, id, question } => {
            if answers.len() >= inner.config.answers_max {
                return;
            }
            let (inner, hub) = (inner.clone(), Arc::downgrade(hub));
            answers.spawn(async move {
                answers::answer_to(&inner, &hub, node, id, &question).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    use crate::hub::cluster::{ClusterConfig, NodeId};
    use crate::pubsub::{Bus, BusConfig, Memory};

    /// A node that is behind with what came takes nobody for silent.
    #[tokio::test(start_paused = true)]
    async fn time_stands_still_while_there_is_something_to_hear() {
        let (bus, mut events) = Bus::start(Memory::new(), BusConfig::default());
        bus.subscribe("c").unwrap();
        let inner = Inner::new(NodeId::from_bytes([1; 16]), ClusterConfig::default(), bus.clone());
        let begin = inner.state.lock().all_heard_at;
        bus.publish("c", "x").unwrap();
        assert!(bus.subscribed("c", std::time::Duration::from_secs(1)).await);
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert!(matches!(next(&mut events, &inner).await, Some(Incoming::Message(_))));
        assert_eq!(inner.state.lock().all_heard_at, begin);
        let waiting = pin!(next(&mut events, &inner));
        assert_eq!(waiting.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        assert_eq!(inner.state.lock().all_heard_at, Instant::now());
    }
}
