//! Whole messages that wait for their turn.

use std::collections::{HashMap, VecDeque};

use crate::protocol::{Config, GapNotice, Overflow};

use super::item::{Active, Latest, Queued, StreamPlace};
use super::waiters::Waiters;

/// Messages of broadcasts that may wait: each costs some 50 bytes, however empty it is.
const BROADCAST_MESSAGES_MAX: usize = 16 * 1024;

/// What a message of the connection itself costs at least while it waits, in bytes.
const OWN_BYTES_MIN: usize = 128;

/// A queue with room for more than this gives room back when most of it is unused.
const KEPT_ITEMS_MAX: usize = 256;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    messages_max: usize,
    bytes_max: usize,
}

impl Bounds {
    pub(super) const fn of(config: &Config) -> Self {
        Self { messages_max: config.outbox_messages_max, bytes_max: config.outbox_bytes_max }
    }

    /// Of a broadcast, which does not wait for room where others would.
    pub(super) fn of_broadcast(config: &Config) -> Self {
        let bounds = Self::of(config);
        match config.overflow {
            Overflow::Block { .. } => {
                let messages_max = bounds.messages_max.max(BROADCAST_MESSAGES_MAX);
                Self { messages_max, ..bounds }
            }
            _ => bounds,
        }
    }
}

/// Whole messages that wait, and senders that wait for room.
///
/// ```text
///   active ─► [ own | place | gap | message | latest | message | … ]
///              └─ never dropped ─┘ ^ oldest
/// ```
/// `keys` has each `Latest` in the queue, as its index plus `front`: the number of items that have left.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<Queued>,
    /// The message of which some is on its way: nothing of another may pass until its last fragment.
    pub(super) active: Option<Active>,
    /// Payload bytes in the queue and of the active message.
    bytes: usize,
    own: usize,
    own_bytes: usize,
    places: usize,
    gaps: usize,
    keys: Option<HashMap<u64, u64>>,
    front: u64,
    pub(super) waiters: Waiters,
}

impl Waiting {
    pub(super) fn push(&mut self, item: Queued) {
        let bytes = item.bytes();
        self.push_message(item, bytes);
    }

    /// The same for an item whose payload is known to be of so many bytes.
    #[inline]
    pub(super) fn push_message(&mut self, item: Queued, bytes: usize) {
        self.bytes += bytes;
        if !matches!(item, Queued::Message(_) | Queued::Prepared(_)) {
            self.note_special(&item, bytes);
        }
        self.queue.push_back(item);
    }

    /// What is there to know of what is not simply a message, before it is the last in the queue.
    #[cold]
    fn note_special(&mut self, item: &Queued, bytes: usize) {
        if let Queued::Latest(latest) = item {
            let place = self.front.wrapping_add(self.queue.len() as u64);
            self.keys.get_or_insert_default().insert(latest.key, place);
        }
        self.note_in(item, bytes);
    }

    /// Before all others; not a `Latest`.
    pub(super) fn push_front(&mut self, item: Queued) {
        debug_assert!(!matches!(item, Queued::Latest(_)));
        let bytes = item.bytes();
        self.bytes += bytes;
        self.note_in(&item, bytes);
        self.front = self.front.wrapping_sub(1);
        self.queue.push_front(item);
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let item = self.queue.pop_front()?;
        self.front = self.front.wrapping_add(1);
        self.note_out(&item);
        Some(item)
    }

    /// A message begins to leave.
    pub(super) fn activate(&mut self, active: Active) {
        self.bytes += active.left();
        self.active = Some(active);
    }

    /// So many bytes of the active message have left.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes -= bytes;
    }

    /// What waits is dropped; returns the items and what was active.
    pub(super) fn clear(&mut self) -> (VecDeque<Queued>, Option<Active>) {
        let waiters = std::mem::take(&mut self.waiters);
        let Self { queue, active, .. } =
            std::mem::replace(self, Self { waiters, ..Self::default() });
        (queue, active)
    }

    // Keys.

    /// The place of the message of a key.
    pub(super) fn find(&self, key: u64) -> Option<usize> {
        let place = self.keys.as_ref()?.get(&key)?;
        usize::try_from(place.wrapping_sub(self.front)).ok()
    }

    /// Whether a message of so many bytes fits in the place of that one.
    pub(super) fn fits_in_place(&self, index: usize, bytes: usize, bounds: Bounds) -> bool {
        let before = self.queue.get(index).map_or(0, Queued::bytes);
        let (granted, granted_bytes) = self.waiters.granted();
        let others = self.messages() + granted - 1;
        let held = self.bytes + granted_bytes - before;
        bytes <= before || others == 0 || bytes <= bounds.bytes_max.saturating_sub(held)
    }

    /// Puts a message in the place of another of its key.
    pub(super) fn replace(&mut self, index: usize, item: Queued) {
        if let Some(Queued::Latest(latest)) = self.queue.get_mut(index) {
            self.bytes -= latest.item.bytes();
            self.bytes += item.bytes();
            latest.item = item;
        }
    }

    // Losses.

    /// Drops the oldest messages until one of so many bytes fits; returns how many. `None`: that would
    /// not suffice, and nothing is dropped.
    pub(super) fn displace(
        &mut self,
        bytes: usize,
        bounds: Bounds,
        notice: Option<&GapNotice>,
    ) -> Option<usize> {
        if !self.can_displace(bytes, bounds) {
            return None;
        }
        let mut count = 0;
        while !self.fits(bytes, bounds) {
            let oldest = self.queue.iter().position(Queued::is_droppable)?;
            self.lose(oldest, notice);
            count += 1;
        }
        Some(count)
    }

    /// Whether a message of so many bytes fits beside what may not be dropped.
    pub(super) fn can_displace(&self, bytes: usize, bounds: Bounds) -> bool {
        let active = self.active.as_ref();
        let messages = self.own + self.places + usize::from(active.is_some());
        let held = self.own_bytes + active.map_or(0, Active::left);
        is_room(messages, held, bytes, bounds)
    }

    /// Drops a message.
    pub(super) fn lose(&mut self, index: usize, notice: Option<&GapNotice>) {
        let Some(notice) = notice else {
            return self.remove(index);
        };
        let Some(place) = self.queue.get_mut(index) else {
            return;
        };
        let lost = std::mem::replace(place, Queued::gap(notice));
        self.note_out(&lost);
        self.gaps += 1;
        self.join_gaps(index + 1);
        self.join_gaps(index);
    }

    /// A message that would have been the last in the queue was dropped.
    pub(super) fn lose_new(&mut self, notice: &GapNotice) {
        match self.queue.back_mut() {
            Some(Queued::Gap(gap)) => gap.missed += 1,
            _ => self.push(Queued::gap(notice)),
        }
    }

    /// Two gaps beside each other are one.
    fn join_gaps(&mut self, index: usize) {
        let Some(before) = index.checked_sub(1) else {
            return;
        };
        let Some(Queued::Gap(gap)) = self.queue.get(index) else {
            return;
        };
        let missed = gap.missed;
        if let Some(Queued::Gap(gap)) = self.queue.get_mut(before) {
            gap.missed += missed;
            self.remove(index);
        }
    }

    /// The cost is that of the items before it: the oldest message has few.
    fn remove(&mut self, index: usize) {
        let Some(item) = self.queue.remove(index) else {
            return;
        };
        self.note_out(&item);
        // Those behind it keep their numbers, those before it have new ones.
        self.front = self.front.wrapping_add(1);
        let Self { queue, keys: Some(keys), front, .. } = self else {
            return;
        };
        for (place, item) in queue.iter().take(index).enumerate() {
            if let Queued::Latest(latest) = item {
                keys.insert(latest.key, front.wrapping_add(place as u64));
            }
        }
    }

    // Writers.

    /// The place of a writer, and whether it is its turn.
    pub(super) fn place_mut(&mut self, id: u32) -> Option<(&mut StreamPlace, bool)> {
        if let Some(Active::Stream(place)) = &mut self.active
            && place.id == id
        {
            return Some((place, true));
        }
        self.queue.iter_mut().find_map(|item| match item {
            Queued::Stream(place) if place.id == id => Some((place, false)),
            _ => None,
        })
    }

    pub(super) fn forget_place(&mut self, id: u32) {
        if matches!(&self.active, Some(Active::Stream(place)) if place.id == id) {
            self.active = None;
        }
        let is_place = |item: &Queued| matches!(item, Queued::Stream(place) if place.id == id);
        if let Some(index) = self.queue.iter().position(is_place) {
            self.remove(index);
            self.join_gaps(index);
        }
    }

    // What there is.

    /// Whether no message waits and none is on its way.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.active.is_none()
    }

    /// Whether none waits behind the one that is on its way.
    pub(super) fn is_queue_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages, with the one on its way.
    #[inline]
    pub(super) fn messages(&self) -> usize {
        self.queue.len() - self.gaps + usize::from(self.active.is_some())
    }

    /// Those of them that somebody has sent. The cost is that of a look at each.
    pub(super) fn undelivered(&self) -> usize {
        let active = self.active.as_ref().map_or(0, Active::messages);
        active + self.queue.iter().map(Queued::messages).sum::<usize>()
    }

    /// Their payload bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the connection's own messages cost, in bytes.
    pub(super) const fn own_cost(&self) -> usize {
        self.own_bytes + self.own * OWN_BYTES_MIN
    }

    /// Whether a message fits beside all that is here, and what room is kept for.
    #[inline]
    pub(super) fn fits(&self, bytes: usize, bounds: Bounds) -> bool {
        let (granted, granted_bytes) = self.waiters.granted();
        is_room(self.messages() + granted, self.bytes + granted_bytes, bytes, bounds)
    }

    /// Memory of a burst is given back, also where the queue never becomes quite empty.
    pub(super) fn give_back(&mut self) {
        let capacity = self.queue.capacity();
        if capacity > KEPT_ITEMS_MAX && self.queue.len() < capacity / 4 {
            self.queue.shrink_to(capacity / 2);
            if let Some(keys) = &mut self.keys {
                keys.shrink_to(capacity / 2);
            }
        }
    }

    fn note_in(&mut self, item: &Queued, bytes: usize) {
        match item {
            Queued::Own(_) => {
                self.own += 1;
                self.own_bytes += bytes;
            }
            Queued::Stream(_) => self.places += 1,
            Queued::Gap(_) => self.gaps += 1,
            _ => {}
        }
    }

    fn note_out(&mut self, item: &Queued) {
        let bytes = item.bytes();
        self.bytes -= bytes;
        match item {
            Queued::Own(_) => {
                self.own -= 1;
                self.own_bytes -= bytes;
            }
            Queued::Stream(_) => self.places -= 1,
            Queued::Gap(_) => self.gaps -= 1,
            Queued::Latest(latest) => self.forget_key(latest),
            _ => {}
        }
    }

    fn forget_key(&mut self, latest: &Latest) {
        if let Some(keys) = &mut self.keys {
            keys.remove(&latest.key);
        }
    }
}

/// One message may be longer than the bound when nothing else waits.
const fn is_room(messages: usize, held: usize, bytes: usize, bounds: Bounds) -> bool {
    let is_within =
        messages < bounds.messages_max && bytes <= bounds.bytes_max.saturating_sub(held);
    messages == 0 || is_within
}
