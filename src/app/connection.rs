//! The handler of an application's connection.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use crate::hub::{Held, Profile};
use crate::net::{Connection, Handler};
use crate::protocol::{CloseOutcome, Initiator, Message, MessageRef};
use crate::session::ResumeError;
use crate::sync::Arc;

use super::context::Context;
use super::entry::Entering;
use super::event::EventRef;
use super::event::system::Reconnect;
use super::handle::Work;
use super::link::Link;

/// Messages that wait while a handler works, and their bytes: reading goes on until then, for what is behind them may be a ping or
/// the end.
const AHEAD_MAX: usize = 16;
const AHEAD_BYTES_MAX: usize = 64 * 1024;

/// The same while it asks its client: the answer may be behind more.
const ASKING_MAX: usize = 64;
const ASKING_BYTES_MAX: usize = 256 * 1024;

/// What is known of a session that was asked for, when it is.
type Coming = Pin<Box<dyn Future<Output = Came> + Send>>;

struct Came {
    request: Option<Reconnect>,
    brought: Result<(), ResumeError>,
    profile: Profile,
}

/// One connection: its events are handled one after the other.
pub(super) struct LinkHandler {
    link: Arc<Link>,
    /// What a new session would be made of, until the first message has come.
    first: Option<Box<Profile>>,
    work: Option<Work>,
    /// It asks for a session that is on another node.
    coming: Option<Coming>,
    /// They came while a handler worked, and are not handled.
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    /// So many at the front of those that wait are counted as received. A client that is lost sends the others again, behind which
    /// nothing it sends then is handled.
    counted: usize,
    _held: Held,
}

impl LinkHandler {
    /// `first`: what a new session would be made of, where the first message may ask for an old one.
    pub(super) fn new(link: Arc<Link>, held: Held, first: Option<Profile>) -> Self {
        let mut this = Self {
            link,
            first: first.map(Box::new),
            work: None,
            coming: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            counted: 0,
            _held: held,
        };
        this.begin();
        this
    }

    /// Takes a message that came before.
    pub(super) fn take(&mut self, message: &Message) {
        if message.as_data().is_some() {
            self.wait(message.clone());
        }
    }

    fn begin(&mut self) {
        if let Some(on_open) = &self.link.route.on_open {
            self.work = Some(on_open(Context::of_link(self.link.clone())));
        }
    }

    /// The first message asks for an old session: the new one is given up for it, when the old one is here.
    fn ask_back(&mut self, asked: &EventRef<'_>, profile: Profile) {
        if let Some(opening) = self.work.take() {
            // To its end, though its session is given up.
            self.link.app.adopt(opening);
        }
        let request = asked.payload::<Reconnect>().ok();
        if self.link.app.moving.is_none() {
            return self.resume(Came { request, brought: Ok(()), profile });
        }
        let link = self.link.clone();
        self.coming = Some(Box::pin(async move {
            let brought = entering(&link).bring(request.as_ref(), &profile, pending()).await;
            Came { request, brought, profile }
        }));
    }

    fn resume(&mut self, came: Came) {
        let (given_up, Came { request, brought, profile }) = (self.link.clone(), came);
        match entering(&given_up).resume(request.as_ref(), brought, profile) {
            Ok(link) => {
                self.link = link;
                self.begin();
            }
            Err(no_entry) => {
                // The codes are ours, and the reasons short.
                let _ = given_up.connection.close(no_entry.code, &no_entry.reason);
            }
        }
    }

    fn wait(&mut self, message: Message) {
        self.waiting_bytes += message.as_bytes().len();
        self.waiting.push_back(message);
    }

    /// Counts all that wait. Of a session that is another connection's by now there are none.
    fn count_waiting(&mut self) {
        while let Some(message) = self.waiting.get(self.counted) {
            let data = message.as_data();
            if !data.is_some_and(|data| self.link.counts(&self.link.read(data))) {
                return self.forget_uncounted();
            }
            self.counted += 1;
        }
    }

    fn forget_uncounted(&mut self) {
        for message in self.waiting.drain(self.counted..) {
            self.waiting_bytes -= message.as_bytes().len();
        }
    }

    fn next_work(&mut self) -> Option<Work> {
        let message = self.waiting.pop_front()?;
        self.waiting_bytes -= message.as_bytes().len();
        let is_counted = self.counted > 0;
        self.counted = self.counted.saturating_sub(1);
        let work = message.as_data().and_then(|data| {
            let received = self.link.read(data);
            let is_ours = is_counted || self.link.counts(&received);
            if is_ours { self.link.handle(&received) } else { None }
        });
        // One that needs no work is done.
        Some(work.unwrap_or_else(|| Box::pin(std::future::ready(()))))
    }

    /// Whether a message may be read while a handler works.
    fn may_read_on(&self) -> bool {
        let is_asking = self.link.member.requests.is_asking();
        let (messages_max, bytes_max) = match is_asking {
            true => (ASKING_MAX, ASKING_BYTES_MAX),
            false => (AHEAD_MAX, AHEAD_BYTES_MAX),
        };
        self.waiting.len() < messages_max && self.waiting_bytes < bytes_max
    }
}

impl Handler for LinkHandler {
    fn on_message(&mut self, _: &mut Connection<'_>, message: MessageRef<'_>) {
        let received = self.link.read(message);
        if let Some(profile) = self.first.take()
            && let Some(asked) = received.reconnect()
        {
            return self.ask_back(asked, *profile);
        }
        if self.work.is_some() && !received.is_urgent() {
            return self.wait(message.to_message());
        }
        // What waits came before it.
        self.count_waiting();
        if !self.link.counts(&received) {
            return;
        }
        let work = self.link.handle(&received);
        match work {
            Some(work) if self.work.is_some() => self.link.app.adopt(work),
            Some(work) => self.work = Some(work),
            None => {}
        }
    }

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(coming) = &mut self.coming {
            let came = ready!(coming.as_mut().poll(cx));
            self.coming = None;
            self.resume(came);
        }
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

    /// What was counted is handled to its end, connection or not, and all that came before the client said goodbye.
    fn on_close(&mut self, outcome: &CloseOutcome) {
        if outcome.clean && outcome.initiator == Initiator::Peer {
            self.count_waiting();
        }
        self.forget_uncounted();
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

/// The way in of a connection that gives up its session for another.
fn entering(link: &Link) -> Entering<'_> {
    let Link { app, route, visitor, session, connection, .. } = link;
    Entering { app, route, visitor, connection, instead_of: Some(session) }
}
