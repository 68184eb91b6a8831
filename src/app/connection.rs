//! The handler of an application's connection.

use std::collections::VecDeque;
use std::task::{Context as TaskContext, Poll};

use crate::hub::{Held, Profile};
use crate::net::{Connection, Handler};
use crate::outbox::Sender;
use crate::protocol::{CloseOutcome, Message, MessageRef};
use crate::sync::Arc;

use super::context::Context;
use super::entry::Entering;
use super::event::EventRef;
use super::handle::Work;
use super::link::Link;

/// Messages that wait while a handler asks its client, and their bytes.
const WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// One connection: its events are handled one after the other.
pub(super) struct LinkHandler {
    link: Arc<Link>,
    /// What a new session would be made of, until the first message has come.
    first: Option<Box<Profile>>,
    work: Option<Work>,
    /// Counted, and not handled: they came while a handler asked its client.
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    _held: Held,
}

impl LinkHandler {
    /// `first`: what a new session would be made of, where the first message may ask for an old one.
    pub(super) fn new(link: Arc<Link>, held: Held, first: Option<Profile>) -> Self {
        let mut this = Self {
            link,
            first: first.map(Box::new),
            work: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            _held: held,
        };
        this.begin();
        this
    }

    /// Takes a message that came before.
    pub(super) fn take(&mut self, message: &Message) {
        if let Some(data) = message.as_data()
            && self.link.counts(&self.link.read(data))
        {
            self.wait(message.clone());
        }
    }

    fn begin(&mut self) {
        if let Some(on_open) = &self.link.route.on_open {
            self.work = Some(on_open(Context::of_link(self.link.clone())));
        }
    }

    /// The first message asks for an old session: the new one is given up for it.
    fn resume(&mut self, connection: &Sender, asked: &EventRef<'_>, profile: Profile) {
        let given_up = self.link.clone();
        let Link { app, route, visitor, session, .. } = &*given_up;
        let instead_of = Some(session);
        let entering = Entering { app, route, visitor, connection, instead_of };
        match entering.resume(asked, profile) {
            Ok(link) => {
                self.link = link;
                self.begin();
            }
            Err(no_entry) => {
                // The codes are ours, and the reasons short.
                let _ = connection.close(no_entry.code, &no_entry.reason);
            }
        }
    }

    fn wait(&mut self, message: Message) {
        self.waiting_bytes += message.as_bytes().len();
        self.waiting.push_back(message);
    }

    fn next_work(&mut self) -> Option<Work> {
        let message = self.waiting.pop_front()?;
        self.waiting_bytes -= message.as_bytes().len();
        // One that needs no work is done.
        let work = message.as_data().and_then(|data| self.link.handle(&self.link.read(data)));
        Some(work.unwrap_or_else(|| Box::pin(std::future::ready(()))))
    }

    /// Whether a message may be read while a handler works.
    fn may_read_on(&self) -> bool {
        self.link.member.requests.is_asking()
            && self.waiting.len() < WAITING_MAX
            && self.waiting_bytes < WAITING_BYTES_MAX
    }
}

impl Handler for LinkHandler {
    fn on_message(&mut self, connection: &mut Connection<'_>, message: MessageRef<'_>) {
        let received = self.link.read(message);
        if let Some(profile) = self.first.take()
            && let Some(asked) = received.reconnect()
        {
            return self.resume(&connection.sender(), asked, *profile);
        }
        if !self.link.counts(&received) {
            return;
        }
        if self.work.is_some() && !received.is_urgent() {
            return self.wait(message.to_message());
        }
        let work = self.link.handle(&received);
        match work {
            Some(work) if self.work.is_some() => self.link.app.adopt(work),
            Some(work) => self.work = Some(work),
            None => {}
        }
    }

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            if let Some(work) = &mut self.work {
                if work.as_mut().poll(cx).is_pending() {
                    return if self.may_read_on() { Poll::Ready(()) } else { Poll::Pending };
                }
                self.work = None;
            }
            self.work = self.next_work();
            if self.work.is_none() {
                return Poll::Ready(());
            }
        }
    }

    /// What was counted is handled to its end, connection or not.
    fn on_close(&mut self, outcome: &CloseOutcome) {
        self.link.leave();
        let work = self.work.take();
        let waiting = std::mem::take(&mut self.waiting);
        if work.is_some() || !waiting.is_empty() {
            // Before the session may end, for whoever stops the application waits for these afterwards.
            self.adopt(work, waiting);
        }
        self.link.end(outcome);
    }
}

impl LinkHandler {
    fn adopt(&self, work: Option<Work>, waiting: VecDeque<Message>) {
        let link = self.link.clone();
        self.link.app.adopt(Box::pin(async move {
            if let Some(work) = work {
                work.await;
            }
            for message in waiting {
                let data = message.as_data();
                let work = data.and_then(|data| link.handle(&link.read(data)));
                if let Some(work) = work {
                    work.await;
                }
            }
        }));
    }
}
