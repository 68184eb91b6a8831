//! The room of a chat server on one thread: a queue per member, one wake-up for all that is queued
//! before the member runs.
//!
//! Nothing here is ever touched from a second thread: the wrapper around each handle checks it, so
//! that tasks may be spawned on the runtime itself, without a local set between.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use send_wrapper::SendWrapper;

/// The room, by handle.
pub struct Room<T> {
    members: SendWrapper<Members<T>>,
}

type Members<T> = Rc<RefCell<Vec<Rc<Queue<T>>>>>;

struct Queue<T> {
    items: RefCell<VecDeque<T>>,
    /// Of the task that waits for items, if one does.
    waiting: Cell<Option<Waker>>,
}

/// A place in the room; it is given up with the value.
pub struct Member<T> {
    room: Room<T>,
    queue: SendWrapper<Rc<Queue<T>>>,
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self { members: SendWrapper::new(Rc::default()) }
    }
}

impl<T> Clone for Room<T> {
    fn clone(&self) -> Self {
        Self { members: self.members.clone() }
    }
}

impl<T: Clone> Room<T> {
    pub fn join(&self) -> Member<T> {
        let queue = Rc::new(Queue { items: RefCell::default(), waiting: Cell::default() });
        self.members.borrow_mut().push(Rc::clone(&queue));
        Member { room: self.clone(), queue: SendWrapper::new(queue) }
    }
}

impl<T: Clone> Member<T> {
    /// Queues `item` for every member, this one too.
    pub fn publish(&self, item: &T) {
        for queue in self.room.members.borrow().iter() {
            queue.items.borrow_mut().push_back(item.clone());
            if let Some(task) = queue.waiting.take() {
                task.wake();
            }
        }
    }

    /// Waits until something is queued.
    pub async fn queued(&self) {
        std::future::poll_fn(|cx| self.poll_queued(cx)).await;
    }

    /// Whether something is queued; else this task is woken when it is.
    pub fn poll_queued(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.queue.items.borrow().is_empty() {
            return Poll::Ready(());
        }
        let waker = match self.queue.waiting.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.queue.waiting.set(Some(waker));
        Poll::Pending
    }

    /// The next of what is queued.
    pub fn next(&self) -> Option<T> {
        self.queue.items.borrow_mut().pop_front()
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        let mut members = self.room.members.borrow_mut();
        members.retain(|queue| !Rc::ptr_eq(queue, &self.queue));
    }
}
