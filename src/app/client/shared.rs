//! What the handles of a client and its task have in common.

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, oneshot, watch};

use crate::app::disconnect::Disconnect;
use crate::app::event::system::{self, Ack, Created, Failure, Reconnect};
use crate::app::event::{Codec, Event, EventError, EventRef, Outgoing, UnwritableEvent};
use crate::app::requests;
use crate::error::Error;
use crate::protocol::{Message, MessageRef, Utf8Bytes};
use crate::sync::{Arc, Mutex};

use super::error::{QueueError, RequestError};
use super::happening::{Happening, Question};
use super::ledger::{Broken, Entry, EntryKind, Ledger};
use super::options::ClientOptions;
use super::pending::{Answer, Pending};
use super::state::{ClientSession, ClientState};

/// The queue, the counts and the questions, behind one lock that is never held for long.
pub(super) struct Shared {
    codec: Codec,
    /// How our correlation ids begin. Another client of the same session had others.
    id_prefix: String,
    book: Mutex<Book>,
    /// Something is to be written.
    filled: Notify,
    /// The queue has become empty, or it is all over.
    emptied: Notify,
    state: watch::Sender<ClientState>,
    closing: watch::Sender<bool>,
}

struct Book {
    ledger: Ledger,
    pending: Pending,
    session: Option<Session>,
    /// The session's number: questions of another are not answered.
    epoch: u64,
    is_over: bool,
}

/// A session and its secret.
struct Session {
    public: ClientSession,
    token: String,
}

/// What an acknowledgement has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    Nothing,
    /// It may wait for more.
    Some,
    Due,
}

impl Shared {
    pub(super) fn new(options: &ClientOptions, random: u64) -> Self {
        let (events_max, bytes_max) = (options.queued_events_max, options.queued_bytes_max);
        let book = Book {
            ledger: Ledger::new(events_max, bytes_max),
            pending: Pending::default(),
            session: None,
            epoch: 0,
            is_over: false,
        };
        Self {
            codec: options.codec,
            id_prefix: format!("c{random:x}-"),
            book: Mutex::new(book),
            filled: Notify::new(),
            emptied: Notify::new(),
            state: watch::channel(ClientState::Connecting).0,
            closing: watch::channel(false).0,
        }
    }

    // What goes.

    pub(super) fn send<P: Serialize + ?Sized>(
        &self,
        name: &str,
        payload: &P,
    ) -> Result<(), QueueError> {
        self.send_at(usize::MAX, name, payload)
    }

    /// So many stand before it.
    pub(super) fn send_at<P: Serialize + ?Sized>(
        &self,
        place: usize,
        name: &str,
        payload: &P,
    ) -> Result<(), QueueError> {
        self.check_name(name)?;
        let text = self.write(name, payload, None)?;
        self.push_at(&mut self.book.lock(), place, Entry { text, kind: EntryKind::Event })
    }

    /// Queues a question; gives its number and what its answer comes through.
    pub(super) fn ask<P: Serialize + ?Sized>(
        &self,
        name: &str,
        payload: &P,
    ) -> Result<(u64, oneshot::Receiver<Answer>), QueueError> {
        self.check_name(name)?;
        let number = self.book.lock().pending.next_number();
        let text = self.write(name, payload, Some(&format!("{}{number}", self.id_prefix)))?;
        let mut book = self.book.lock();
        self.push(&mut book, Entry { text, kind: EntryKind::Request(number) })?;
        Ok((number, book.pending.wait(number)))
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&self, number: u64) {
        let mut book = self.book.lock();
        book.pending.forget(number);
        book.ledger.forget(number);
    }

    pub(super) fn answer<P: Serialize + ?Sized>(
        &self,
        question: &Question,
        name: &str,
        payload: &P,
    ) -> Result<(), QueueError> {
        let text = self.write(name, payload, question.event.correlation_id())?;
        let mut book = self.book.lock();
        if book.epoch != question.epoch {
            return Err(QueueError::SessionLost);
        }
        self.push(&mut book, Entry { text, kind: EntryKind::Answer })
    }

    pub(super) fn refuse(&self, question: &Question, error: EventError) -> Result<(), QueueError> {
        self.answer(question, self.codec.error_name(), &Failure::from(error))
    }

    fn check_name(&self, name: &str) -> Result<(), QueueError> {
        match name.starts_with("sys.") || name == self.codec.error_name() {
            true => Err(QueueError::ReservedName),
            false => Ok(()),
        }
    }

    fn write<P: Serialize + ?Sized>(
        &self,
        name: &str,
        payload: &P,
        correlation_id: Option<&str>,
    ) -> Result<Utf8Bytes, UnwritableEvent> {
        let event = Outgoing { name, payload, correlation_id, timestamp: None };
        event.to_json(self.codec).map(Utf8Bytes::from)
    }

    fn push(&self, book: &mut Book, entry: Entry) -> Result<(), QueueError> {
        self.push_at(book, usize::MAX, entry)
    }

    fn push_at(&self, book: &mut Book, place: usize, entry: Entry) -> Result<(), QueueError> {
        if book.is_over || *self.closing.borrow() {
            return Err(QueueError::Closed);
        }
        book.ledger.push_at(place, entry)?;
        self.filled.notify_one();
        Ok(())
    }

    /// The next event to be written. It counts as written until it is given back.
    pub(super) fn take(&self) -> Option<Utf8Bytes> {
        self.book.lock().ledger.take()
    }

    pub(super) fn give_back(&self) {
        self.book.lock().ledger.give_back();
    }

    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn owed(&self) -> Owed {
        let book = self.book.lock();
        match () {
            () if book.ledger.is_ack_due() => Owed::Due,
            () if book.ledger.owes() => Owed::Some,
            () => Owed::Nothing,
        }
    }

    /// An acknowledgement of all that has come.
    pub(super) fn ack(&self) -> Result<Utf8Bytes, UnwritableEvent> {
        let received = self.book.lock().ledger.ack();
        self.write(system::ACK, &Ack::new(received), None)
    }

    // What comes.

    /// A message of a session that is open.
    pub(super) fn hear(&self, message: &Message) -> Result<Option<Happening>, Broken> {
        // Pings and pongs are the connection's.
        let Some(data) = message.as_data() else { return Ok(None) };
        let event = match data {
            MessageRef::Text(text) => self.codec.parse(text).ok(),
            MessageRef::Binary(_) => None,
        };
        let mut book = self.book.lock();
        match event.as_ref().map(EventRef::name) {
            Some(system::CREATED | system::RESTORED) => return Err(Broken),
            Some(system::ACK) => {
                let ack = event.and_then(|event| event.payload::<Ack>().ok()).ok_or(Broken)?;
                book.ledger.acknowledge(ack.received)?;
                self.note_room(&book);
                return Ok(None);
            }
            _ => {}
        }
        // What is no event came, too.
        if book.ledger.count() {
            self.filled.notify_one();
        }
        Ok(event.and_then(|event| self.judge(&mut book, &event)))
    }

    fn judge(&self, book: &mut Book, event: &EventRef<'_>) -> Option<Happening> {
        let id = event.correlation_id().unwrap_or_default();
        let is_error = event.name() == self.codec.error_name();
        let failure = || event.payload::<Failure>().map(EventError::from);
        if let Some(number) = id.strip_prefix(&self.id_prefix) {
            let number = number.parse().ok()?;
            let answer = match is_error {
                false => Ok(event.to_event()),
                true => Err(match failure() {
                    Ok(error) => RequestError::Refused(error),
                    Err(error) => RequestError::Unreadable(error),
                }),
            };
            book.pending.settle(number, answer);
            return None;
        }
        if is_error {
            return failure().ok().map(Happening::Error);
        }
        if event.name() == system::PING {
            self.pong(book, event);
        }
        if event.is_system() {
            return None;
        }
        let (is_question, event) = (id.starts_with(requests::PREFIX), event.to_event());
        Some(match is_question {
            true => Happening::Request(Question { event, epoch: book.epoch }),
            false => Happening::Event(event),
        })
    }

    /// Where there is no room the server waits for acknowledgements, which tell it as much.
    fn pong(&self, book: &mut Book, ping: &EventRef<'_>) {
        let event = ping.to_event();
        let payload: &Option<&RawValue> = &event.raw_payload();
        if let Ok(text) = self.write(system::PONG, payload, ping.correlation_id()) {
            let _ = self.push(book, Entry { text, kind: EntryKind::Answer });
        }
    }

    fn note_room(&self, book: &Book) {
        if book.ledger.queued().0 == 0 {
            self.emptied.notify_waiters();
        }
    }

    // Sessions.

    /// An event of the protocol, before the session is open.
    pub(super) fn parse<'a>(&self, message: &'a Message) -> Option<EventRef<'a>> {
        self.codec.parse(message.as_text()?).ok()
    }

    /// The first message of a connection that goes on with a session; `None` where there is none.
    pub(super) fn reconnect(&self) -> Option<Utf8Bytes> {
        let book = self.book.lock();
        let session = book.session.as_ref()?;
        let payload = Reconnect {
            session_id: session.public.id.clone(),
            token: session.token.clone(),
            received: book.ledger.received(),
            acknowledged: Some(book.ledger.acked()),
        };
        self.write(system::RECONNECT, &payload, None).ok()
    }

    pub(super) fn begin(&self, created: Created) {
        let mut book = self.book.lock();
        book.ledger.begin(&created);
        book.session = Some(Session::of(created));
    }

    pub(super) fn go_on(&self, restored: Created) -> Result<(), Broken> {
        let mut book = self.book.lock();
        let id = book.session.as_ref().map(|session| session.public.id.as_str());
        if id != Some(&restored.session_id) {
            return Err(Broken);
        }
        book.ledger.go_on(&restored)?;
        book.session = Some(Session::of(restored));
        self.note_room(&book);
        Ok(())
    }

    /// The session is lost. `None`: there was none.
    pub(super) fn lose(&self, reason: &str) -> Option<Happening> {
        let mut guard = self.book.lock();
        let book = &mut *guard;
        book.session.take()?;
        book.epoch += 1;
        let uncertain = book.ledger.lose();
        let is_lost = |number| !book.ledger.is_unwritten(number);
        book.pending.fail(is_lost, || RequestError::SessionLost);
        self.note_room(book);
        let event =
            |entry: &Entry| self.codec.parse(&entry.text).ok().map(|event| event.to_event());
        let uncertain = uncertain.iter().filter_map(event).collect();
        Some(Happening::Gap { reason: reason.to_owned(), uncertain })
    }

    pub(super) fn session(&self) -> Option<ClientSession> {
        self.book.lock().session.as_ref().map(|session| session.public.clone())
    }

    // Beginning and end.

    pub(super) fn set_state(&self, state: ClientState) {
        self.state.send_replace(state);
    }

    pub(super) fn state(&self) -> watch::Receiver<ClientState> {
        self.state.subscribe()
    }

    /// Asks for the end.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
        self.filled.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until somebody wants the end.
    pub(super) async fn closing(&self) {
        // The sender is here, so it does not fail.
        let _ = self.closing.subscribe().wait_for(|is_closing| *is_closing).await;
    }

    /// It is over; what came first stays.
    pub(super) fn finish(&self, why: Disconnect, error: Option<Arc<Error>>) {
        let mut book = self.book.lock();
        if std::mem::replace(&mut book.is_over, true) {
            return;
        }
        book.ledger.clear();
        book.session = None;
        book.pending.fail(|_| true, || RequestError::Closed);
        drop(book);
        self.set_state(ClientState::Closed { why, error });
        self.emptied.notify_waiters();
    }

    pub(super) fn queued(&self) -> (usize, usize) {
        self.book.lock().ledger.queued()
    }

    /// Waits until everything is acknowledged.
    pub(super) async fn flushed(&self) -> Result<(), QueueError> {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            // Before the look, so that nothing is missed.
            emptied.as_mut().enable();
            let (events, is_over) = {
                let book = self.book.lock();
                (book.ledger.queued().0, book.is_over)
            };
            match (events, is_over) {
                (_, true) => return Err(QueueError::Closed),
                (0, false) => return Ok(()),
                _ => emptied.await,
            }
        }
    }
}

impl Session {
    fn of(created: Created) -> Self {
        let Created { session_id, user_id, token, .. } = created;
        Self { public: ClientSession { id: session_id, user: user_id }, token }
    }
}

/// Neither the token nor what waits.
impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (session, (events, bytes)) = (self.session(), self.queued());
        let mut debug = f.debug_struct("EventClient");
        debug.field("session", &session).field("events", &events).field("bytes", &bytes);
        debug.finish_non_exhaustive()
    }
}

/// The answer's payload as it was asked for.
pub(super) fn read<R: serde::de::DeserializeOwned>(answer: Answer) -> Result<R, RequestError> {
    let event: Event = answer?;
    event.payload().map_err(RequestError::Unreadable)
}
