//! What was said in rooms lately.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use crate::outbox::Sender;
use crate::protocol::{MessageRef, PreparedMessage};
use crate::sync::{Arc, Mutex};

use super::error::{BroadcastError, JoinError};
use super::hub::Hub;
use super::peer::Peer;
use super::remote::Keep;
use super::report::Except;
use super::room::Room;

/// What a message costs beside its payload, in bytes.
const ENTRY_BYTES: usize = 128;

/// How much is kept of what was said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HistoryConfig {
    /// Messages of one room. Default: 100.
    pub messages_max: usize,
    /// What those of one room may cost, in bytes: their payloads and 128 bytes each. Default: 256 KiB.
    pub bytes_max: usize,
    /// The same for all rooms together. Default: 64 MiB.
    pub bytes_total_max: usize,
    /// Rooms of which something is kept. Default: 10,000.
    pub rooms_max: usize,
    /// How old a message may become. Default: a day.
    pub kept_for: Duration,
    /// Whether what was said in a room goes with it when its last member leaves, so that nobody reads it who comes to a
    /// room of the same name later. Default: no.
    pub ends_with_room: bool,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            messages_max: 100,
            bytes_max: 256 * 1024,
            bytes_total_max: 64 * 1024 * 1024,
            rooms_max: 10_000,
            kept_for: Duration::from_secs(24 * 60 * 60),
            ends_with_room: false,
        }
    }
}

/// What was said in a hub's rooms lately: a broadcast through it is kept, and who joins through it has the
/// last messages first and then, without a gap and without one twice, what comes. Cloning counts a reference.
///
/// In a cluster what is said through a history of another node is kept as well, while this one has members in the room;
/// numbers are this node's own.
///
/// What goes beyond a bound goes at the old end: of its room, and beyond the bounds of all rooms, with the
/// whole room in which nothing was said for longest.
///
/// ```
/// use sockeye::hub::{History, HistoryConfig, Hub};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let history = History::new(&Hub::new(), HistoryConfig::default());
/// history.broadcast("news", "it rains")?;
/// history.broadcast("news", "it pours")?;
/// let page = history.before("news", None, 1);
/// assert_eq!(page.messages[0].message.payload(), b"it pours");
/// assert!(page.has_more);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct History {
    hub: Hub,
    config: Arc<HistoryConfig>,
    state: Arc<Mutex<State>>,
}

/// A history as its hub knows it.
#[derive(Debug)]
pub(super) struct WeakHistory {
    config: Arc<HistoryConfig>,
    state: Weak<Mutex<State>>,
}

impl WeakHistory {
    pub(super) fn is_there(&self) -> bool {
        self.state.strong_count() > 0
    }

    pub(super) fn upgrade(&self, hub: &Hub) -> Option<History> {
        let (hub, config) = (hub.clone(), self.config.clone());
        Some(History { hub, config, state: self.state.upgrade()? })
    }
}

#[derive(Default)]
struct State {
    rooms: HashMap<Arc<str>, Log>,
    /// The rooms by when something was said last.
    order: BTreeMap<u64, Arc<str>>,
    /// What all cost.
    bytes: usize,
    next: u64,
}

/// `keys[key]` is the number of the entry of that key.
struct Log {
    /// The room in which it was said: another may have its name by now.
    room: u64,
    entries: BTreeMap<u64, Entry>,
    keys: HashMap<u64, u64>,
    bytes: usize,
    next: u64,
    epoch: u64,
    place: u64,
}

struct Entry {
    message: PreparedMessage,
    key: Option<u64>,
    at: Instant,
}

impl Entry {
    fn cost(&self) -> usize {
        self.message.payload().len() + ENTRY_BYTES
    }
}

/// Some of what was said in a room, in order.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The messages, the oldest first.
    pub messages: Vec<Said>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
    /// Numbers of another epoch say nothing in this one: the room was forgotten in between. Zero: there is
    /// nothing of this room.
    pub epoch: u64,
}

/// A message of a room.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Said {
    /// Its number in the room, from 1.
    pub number: u64,
    /// The message.
    pub message: PreparedMessage,
    /// When it was said.
    pub at: Instant,
}

impl History {
    /// Of this hub. Each has what was said through it.
    #[must_use]
    pub fn new(hub: &Hub, config: HistoryConfig) -> Self {
        let history = Self { hub: hub.clone(), config: Arc::new(config), state: Arc::default() };
        hub.shared().add_history(&history);
        history
    }

    /// Without its hub, which holds it.
    pub(super) fn downgrade(&self) -> WeakHistory {
        WeakHistory { config: self.config.clone(), state: Arc::downgrade(&self.state) }
    }

    /// Sends a message to every member of a room and keeps it; returns its number.
    ///
    /// # Errors
    /// As [`Room::broadcast`]: then it is not kept either.
    pub fn broadcast<'a>(
        &self,
        room: &str,
        message: impl Into<MessageRef<'a>>,
    ) -> Result<u64, BroadcastError> {
        self.say(room, None, &PreparedMessage::new(message), &Except::nobody())
    }

    /// The same to every member but one connection, or some.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_except<'a>(
        &self,
        room: &str,
        message: impl Into<MessageRef<'a>>,
        except: impl Into<Except>,
    ) -> Result<u64, BroadcastError> {
        self.say(room, None, &PreparedMessage::new(message), &except.into())
    }

    /// The same for a message that was encoded before.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_prepared(
        &self,
        room: &str,
        message: &PreparedMessage,
        except: impl Into<Except>,
    ) -> Result<u64, BroadcastError> {
        self.say(room, None, message, &except.into())
    }

    /// Sends a message to every member of a room and keeps it instead of the one with the same key: a price, a
    /// position, the state of something.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_latest<'a>(
        &self,
        room: &str,
        key: u64,
        message: impl Into<MessageRef<'a>>,
    ) -> Result<u64, BroadcastError> {
        self.say(room, Some(key), &PreparedMessage::new(message), &Except::nobody())
    }

    /// The way for all of them; `key`: only the latest of it is kept.
    pub(crate) fn say(
        &self,
        name: &str,
        key: Option<u64>,
        message: &PreparedMessage,
        except: &Except,
    ) -> Result<u64, BroadcastError> {
        let room = self.hub.room(name);
        let keep = key.map_or(Keep::All, Keep::Latest);
        self.keep(&room, key, message, || room.say(message, except, keep))
    }

    /// Keeps what this says.
    pub(super) fn keep(
        &self,
        room: &Room,
        key: Option<u64>,
        message: &PreparedMessage,
        say: impl FnOnce() -> Result<(), BroadcastError>,
    ) -> Result<u64, BroadcastError> {
        let mut state = self.state.lock();
        // Under the lock, so that the order is the same for members and for those who join.
        say()?;
        if self.config.ends_with_room {
            state.forget_other(room);
        }
        let entry = Entry { message: message.clone(), key, at: Instant::now() };
        Ok(state.push(room, entry, &self.config))
    }

    /// Joins a room; before anything newer reaches the connection, `first` is called with the last messages, as
    /// many as asked for, and with its sender: to send them as they are ([`Page::send_to`]), in a message of one's own, or
    /// not at all. It must not wait.
    ///
    /// # Errors
    /// As [`Peer::join`]: then `first` was not called. One that is in the room already has them, too, and may
    /// hear the last of them once more.
    pub fn join(
        &self,
        peer: &Peer,
        room: &str,
        count: usize,
        first: impl FnOnce(&Page, &Sender),
    ) -> Result<Room, JoinError> {
        // Before the lock and after it: whoever is asked and told may use the history.
        peer.ask(room)?;
        let handle = self.hub.room(room);
        let mut state = self.state.lock();
        if self.config.ends_with_room {
            state.forget_other(&handle);
        }
        // A broadcast passes the lock behind it, so it comes after the page whatever the workers do.
        let joined = peer.enter(room);
        let page = match &joined {
            Ok(_) => state.page(room, ..u64::MAX, count, End::Newest, &self.config),
            Err(_) => Page::default(),
        };
        if joined.is_ok() {
            first(&page, peer.sender());
        }
        drop(state);
        let joined = joined?;
        joined.hub().tell_presence();
        Ok(joined)
    }

    /// The last messages before a number, as many as asked for; `None`: before the next.
    #[must_use]
    pub fn before(&self, room: &str, number: Option<u64>, count: usize) -> Page {
        self.page(room, ..number.unwrap_or(u64::MAX), count, End::Newest)
    }

    /// The first messages after a number, as many as asked for.
    #[must_use]
    pub fn after(&self, room: &str, number: u64, count: usize) -> Page {
        self.page(room, number.saturating_add(1).., count, End::Oldest)
    }

    fn page(
        &self,
        room: &str,
        range: impl std::ops::RangeBounds<u64>,
        count: usize,
        end: End,
    ) -> Page {
        let handle = self.config.ends_with_room.then(|| self.hub.room(room));
        let mut state = self.state.lock();
        if let Some(room) = &handle {
            state.forget_other(room);
        }
        state.page(room, range, count, end, &self.config)
    }

    /// Forgets what was said in a room.
    pub fn forget(&self, room: &str) {
        self.state.lock().forget(room);
    }

    /// What all of it costs, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl Page {
    /// Sends the messages as they are, in one go.
    ///
    /// # Errors
    /// As [`Sender::try_send_run`].
    pub fn send_to(&self, sender: &Sender) -> Result<(), crate::outbox::SendError> {
        let mut run = crate::outbox::Run::default();
        self.messages.iter().for_each(|said| run.push(said.message.clone()));
        sender.try_send_run(&run).map(drop)
    }
}

/// From which end of a range a page is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Newest,
    Oldest,
}

impl State {
    /// Forgets what was said in a room that has ended, where another has its name now.
    fn forget_other(&mut self, room: &Room) {
        if self.rooms.get(room.name()).is_some_and(|log| log.room != room.key()) {
            self.forget(room.name());
        }
    }

    fn push(&mut self, room: &Room, entry: Entry, config: &HistoryConfig) -> u64 {
        let place = self.next;
        self.next += 1;
        if !self.rooms.contains_key(room.name()) {
            self.rooms.insert(room.name().into(), Log::new(room.key(), place));
        }
        let Some((name, _)) = self.rooms.get_key_value(room.name()) else {
            return 0;
        };
        let name = name.clone();
        let Some(log) = self.rooms.get_mut(&name) else {
            return 0;
        };
        self.order.remove(&log.place);
        self.order.insert(place, name);
        log.place = place;
        self.bytes -= log.bytes;
        let number = log.push(entry, config);
        self.bytes += log.bytes;
        self.bound(config);
        number
    }

    /// Beyond the bounds of all rooms those go in which nothing was said for longest.
    fn bound(&mut self, config: &HistoryConfig) {
        while self.bytes > config.bytes_total_max || self.rooms.len() > config.rooms_max {
            let Some((_, room)) = self.order.pop_first() else {
                return;
            };
            self.forget(&room);
        }
    }

    fn forget(&mut self, room: &str) {
        if let Some(log) = self.rooms.remove(room) {
            self.order.remove(&log.place);
            self.bytes -= log.bytes;
        }
        if self.rooms.capacity() > 64 && self.rooms.len() < self.rooms.capacity() / 8 {
            // Memory of a burst is given back.
            self.rooms.shrink_to(64);
        }
    }

    fn page(
        &mut self,
        room: &str,
        range: impl std::ops::RangeBounds<u64>,
        count: usize,
        end: End,
        config: &HistoryConfig,
    ) -> Page {
        let Some(log) = self.rooms.get_mut(room) else {
            return Page::default();
        };
        self.bytes -= log.bytes;
        log.forget_old(config);
        self.bytes += log.bytes;
        let (start, bound) = (range.start_bound().cloned(), range.end_bound().cloned());
        if matches!(start, std::ops::Bound::Included(u64::MAX)) {
            return Page { epoch: log.epoch, ..Page::default() };
        }
        let mut found = log.entries.range((start, bound));
        let mut messages = Vec::with_capacity(count.min(log.entries.len()));
        while messages.len() < count {
            let next = if end == End::Newest { found.next_back() } else { found.next() };
            let Some((&number, Entry { message, at, .. })) = next else { break };
            messages.push(Said { number, message: message.clone(), at: *at });
        }
        if end == End::Newest {
            messages.reverse();
        }
        Page { messages, has_more: found.next().is_some(), epoch: log.epoch }
    }
}

impl Log {
    fn new(room: u64, place: u64) -> Self {
        let (entries, keys) = (BTreeMap::new(), HashMap::new());
        Self { room, entries, keys, bytes: 0, next: 1, epoch: place + 1, place }
    }

    fn push(&mut self, entry: Entry, config: &HistoryConfig) -> u64 {
        let number = self.next;
        self.next += 1;
        if let Some(key) = entry.key
            && let Some(before) = self.keys.insert(key, number)
        {
            self.remove(before);
        }
        self.bytes += entry.cost();
        self.entries.insert(number, entry);
        self.forget_old(config);
        while self.entries.len() > config.messages_max || self.bytes > config.bytes_max {
            let Some((&oldest, _)) = self.entries.first_key_value() else { break };
            self.remove(oldest);
        }
        number
    }

    fn remove(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else {
            return;
        };
        self.bytes -= entry.cost();
        if let Some(key) = entry.key
            && self.keys.get(&key) == Some(&number)
        {
            self.keys.remove(&key);
        }
    }

    fn forget_old(&mut self, config: &HistoryConfig) {
        let now = Instant::now();
        while let Some((&oldest, entry)) = self.entries.first_key_value()
            && now.saturating_duration_since(entry.at) > config.kept_for
        {
            self.remove(oldest);
        }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("config", &self.config).finish_non_exhaustive()
    }
}
