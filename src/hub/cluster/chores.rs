//! What a node does from time to time.

use std::time::Duration;

use tokio::time::Instant;

use crate::hub::shared::Shared;
use crate::sync::Arc;

use super::answers::part_len;
use super::channel::{self, Channel, NODES};
use super::elsewhere::digest;
use super::envelope::Body;
use super::inner::{Inner, Tally};
use super::name::NodeId;
use super::node::looks_after_presence;
use super::state::{State, room};

/// How often rooms are asked about and answered for, while there are any.
const ROOMS_INTERVAL: Duration = Duration::from_millis(50);

/// How many of them at a time.
const ROOMS_AT_ONCE: usize = 256;

/// Nothing is due while there is no connection.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

impl State {
    /// Somebody is new: it hears of us soon, and it may be that we did not hear of its rooms.
    pub(super) fn greet(&mut self, now: Instant, interval: Duration) {
        // However many there are that are new.
        let earliest = self.beat_before.map_or(now, |before| before + interval / 10);
        self.beat_at = self.beat_at.min(earliest.max(now));
        self.ask_about_all();
    }
}

impl Inner {
    /// The connection to the broker is there or not.
    pub(super) fn note_up(&self, is_up: bool) {
        let (now, mut state) = (Instant::now(), self.state.lock());
        state.is_up = is_up;
        if is_up {
            // What they said meanwhile could not be heard.
            state.nodes.excuse(now);
            state.heard.values_mut().for_each(|hearing| hearing.elsewhere.excuse(now));
            state.all_heard_at = now;
            state.beat_at = now;
        }
    }

    /// When there is something to do.
    pub(super) fn due_at(&self) -> Instant {
        let state = self.state.lock();
        if !state.is_up {
            return Instant::now() + NEVER;
        }
        let has_rooms = !state.asks.is_empty() || !state.owed.is_empty();
        if has_rooms { state.beat_at.min(state.rooms_at) } else { state.beat_at }
    }

    pub(super) fn do_chores(&self, hub: &Arc<Shared>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let is_beating = now >= state.beat_at;
        let are_rooms_due = now >= state.rooms_at;
        if is_beating {
            state.beat_at = now + Duration::from_millis(self.config.heartbeat_ms().into());
            state.beat_before = Some(now);
        }
        if are_rooms_due {
            state.rooms_at = now + ROOMS_INTERVAL;
        }
        drop(state);
        if is_beating {
            self.beat();
            self.expire(hub);
            if looks_after_presence(hub) {
                self.tell_digests(hub, now);
            }
        }
        if are_rooms_due {
            self.ask();
            self.answer_asks(hub);
        }
        self.tell_presence(hub);
    }

    fn beat(&self) {
        let (interval_ms, digest_ms) = (self.config.heartbeat_ms(), self.config.presence_ms());
        // Where there is no room for it, the next one comes.
        let _ = self.say(NODES, &Body::Heartbeat { interval_ms, digest_ms, lost: self.lost_out() });
    }

    fn expire(&self, hub: &Shared) {
        let mut state = self.state.lock();
        if !state.is_up {
            return;
        }
        let all_heard_at = state.all_heard_at;
        let silent: Vec<NodeId> = state.nodes.expire(all_heard_at);
        silent.iter().for_each(|node| state.note_gone(hub, *node));
        let forgotten = state.nodes.forget_gone(Instant::now());
        forgotten.into_iter().for_each(|node| state.forget(node));
        state.expire_elsewhere(hub);
        Tally::add(&self.tally.expired, silent.len() as u64);
    }

    /// How many are in the rooms whose time it is.
    fn tell_digests(&self, hub: &Shared, now: Instant) {
        let interval = Duration::from_millis(self.config.presence_ms().into());
        let mut due = Vec::new();
        for (channel, hearing) in &mut self.state.lock().heard {
            let Some(Channel::Room(name)) = Channel::parse(channel) else { continue };
            let at = hearing.elsewhere.digest_at.get_or_insert(now + interval);
            if *at <= now {
                *at = now + interval;
                due.push(Arc::<str>::from(name));
            }
        }
        for name in due {
            let Some(room) = room(hub, &name) else { continue };
            // Under the lock of presence, so that it is in order with who comes and goes.
            hub.presence.look_here(room.key(), |here| {
                let (users, hash) = digest(here);
                let _ = self.say(&channel::of_room(&name), &Body::Digest { users, hash });
            });
        }
    }

    /// Asks who is in the rooms of which the answers will be heard.
    fn ask(&self) {
        let mut state = self.state.lock();
        for _ in 0..state.asks.len().min(ROOMS_AT_ONCE) {
            let Some(channel) = state.asks.pop_front() else { return };
            let Some(hearing) = state.heard.get_mut(&channel) else { continue };
            if self.bus.is_subscribed(&channel) {
                hearing.is_asked = false;
                // Where there is no room for it, a digest shows what is missing.
                let _ = self.say(&channel, &Body::Ask);
            } else {
                state.asks.push_back(channel);
            }
        }
    }

    /// Says who is in the rooms that somebody asked about.
    fn answer_asks(&self, hub: &Shared) {
        for _ in 0..ROOMS_AT_ONCE {
            let Some(name) = self.state.lock().owed.pop_first() else { return };
            let Some(room) = room(hub, &name) else { continue };
            // Under the lock of presence, so that it is in order with who comes and goes.
            hub.presence.look_here(room.key(), |here| {
                let here: Vec<Arc<str>> = here.cloned().collect();
                self.list(&channel::of_room(&name), &here);
            });
        }
    }

    fn list(&self, channel: &str, mut users: &[Arc<str>]) {
        let mut is_first = true;
        loop {
            let part;
            (part, users) = users.split_at(part_len(users));
            let (is_last, part) = (users.is_empty(), part.to_vec());
            let said = self.say(channel, &Body::Users { is_first, is_last, users: part });
            if said.is_err() || is_last {
                // One that is broken off is no list.
                return;
            }
            is_first = false;
        }
    }
}
