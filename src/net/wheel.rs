//! One coarse clock and timer sweep for all connections of a runtime.
//!
//! No connection has a timer object of its own: it has a place in a table of deadlines, which one
//! task looks through ten times a second while there is any connection.

use std::cell::RefCell;
use std::sync::Weak;
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

/// How often deadlines are looked at: how coarse every timeout of a connection is.
const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

/// The clock and the deadlines of one runtime.
#[derive(Debug)]
pub(super) struct Wheel {
    origin: Instant,
    now_ms: AtomicU64,
    places: Mutex<Places>,
}

/// `deadlines_ms.len() == wakers.len()`, `live + free.len() == deadlines_ms.len()`.
#[derive(Debug, Default)]
struct Places {
    deadlines_ms: Vec<u64>,
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
    live: usize,
    is_ticking: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<(Id, Weak<Wheel>)>> = const { RefCell::new(None) };
}

/// The wheels of all runtimes that have connections.
static WHEELS: Mutex<Vec<(Id, Weak<Wheel>)>> = Mutex::new(Vec::new());

impl Wheel {
    /// The wheel of the runtime this is called in.
    fn current() -> Option<Arc<Self>> {
        let id = Handle::try_current().ok()?.id();
        CURRENT.with_borrow_mut(|current| {
            if let Some((known, wheel)) = current
                && let (true, Some(wheel)) = (*known == id, wheel.upgrade())
            {
                return Some(wheel);
            }
            let wheel = Self::of_runtime(id);
            *current = Some((id, Arc::downgrade(&wheel)));
            Some(wheel)
        })
    }

    fn of_runtime(id: Id) -> Arc<Self> {
        let mut wheels = WHEELS.lock();
        wheels.retain(|(_, wheel)| wheel.strong_count() > 0);
        let known = wheels.iter().find(|(known, _)| *known == id);
        if let Some(wheel) = known.and_then(|(_, wheel)| wheel.upgrade()) {
            return wheel;
        }
        let wheel = Arc::new(Self {
            origin: Instant::now(),
            now_ms: AtomicU64::new(0),
            places: Mutex::default(),
        });
        wheels.push((id, Arc::downgrade(&wheel)));
        wheel
    }

    /// Sets the coarse clock right.
    fn refresh(&self) -> u64 {
        let now_ms = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(NEVER);
        self.now_ms.fetch_max(now_ms, Ordering::Relaxed);
        now_ms
    }

    fn add(self: &Arc<Self>) -> u32 {
        let mut places = self.places.lock();
        places.live += 1;
        let was_ticking = std::mem::replace(&mut places.is_ticking, true);
        let place = places.free.pop().unwrap_or_else(|| {
            places.deadlines_ms.push(NEVER);
            places.wakers.push(None);
            u32::try_from(places.deadlines_ms.len() - 1).unwrap_or(u32::MAX)
        });
        drop(places);
        if !was_ticking {
            // It ends with the last place of its wheel: the connections own it together. Not under the
            // lock: a runtime that is ending drops the task at once, which takes it.
            tokio::spawn(Ticking { wheel: self.clone(), is_done: false }.run());
        }
        place
    }

    fn remove(&self, place: u32) {
        let mut places = self.places.lock();
        let waker = places.set(place, NEVER, None);
        places.free.push(place);
        places.live -= 1;
        drop(places);
        drop(waker);
    }

    /// Wakes what is due. False: nobody is left.
    fn sweep(&self, due: &mut Vec<Waker>) -> bool {
        let now_ms = self.refresh();
        let mut places = self.places.lock();
        if places.live == 0 {
            *places = Places::default();
            return false;
        }
        let Places { deadlines_ms, wakers, .. } = &mut *places;
        for (deadline_ms, waker) in deadlines_ms.iter_mut().zip(wakers) {
            if *deadline_ms <= now_ms {
                *deadline_ms = NEVER;
                due.extend(waker.take());
            }
        }
        drop(places);
        due.drain(..).for_each(Waker::wake);
        true
    }
}

impl Places {
    fn set(&mut self, place: u32, deadline_ms: u64, waker: Option<Waker>) -> Option<Waker> {
        let place = place as usize;
        if let Some(slot) = self.deadlines_ms.get_mut(place) {
            *slot = deadline_ms;
        }
        self.wakers.get_mut(place).and_then(|slot| std::mem::replace(slot, waker))
    }
}

/// The task that looks through the deadlines. When its runtime ends before the connections do, the
/// wheel learns it, so that a later connection begins a new one.
struct Ticking {
    wheel: Arc<Wheel>,
    is_done: bool,
}

impl Ticking {
    async fn run(mut self) {
        let mut due = Vec::new();
        // Not at once: nothing is due yet, and a timer nearer than the runtime's next costs a system call.
        let mut ticks = tokio::time::interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.wheel.sweep(&mut due) {
                self.is_done = true;
                return;
            }
        }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if !self.is_done {
            self.wheel.places.lock().is_ticking = false;
        }
    }
}

/// One connection's place in the wheel of its runtime; taken at the first use in one.
#[derive(Debug, Default)]
pub(super) struct Timer {
    wheel: Option<Arc<Wheel>>,
    place: u32,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Milliseconds of the coarse clock; at most a tick behind. `None` until it [begins](Self::begin).
    #[inline]
    pub(super) fn now_ms(&self) -> Option<u64> {
        self.wheel.as_ref().map(|wheel| wheel.now_ms.load(Ordering::Relaxed))
    }

    /// The same, set right first.
    pub(super) fn refresh_ms(&self) -> Option<u64> {
        self.wheel.as_ref().map(|wheel| wheel.refresh())
    }

    /// Takes a place in the wheel of this runtime, once; the time there. `None` outside of any runtime.
    pub(super) fn begin(&mut self) -> Option<u64> {
        let wheel = Wheel::current()?;
        self.place = wheel.add();
        let now_ms = wheel.refresh();
        self.wheel = Some(wheel);
        Some(now_ms)
    }

    /// Wakes the waker at the deadline, or earlier. One deadline at a time.
    pub(super) fn arm(&self, deadline_ms: u64, waker: &Waker) {
        let Some(wheel) = &self.wheel else { return };
        let mut places = wheel.places.lock();
        let place = self.place as usize;
        let same = places
            .wakers
            .get(place)
            .is_some_and(|known| known.as_ref().is_some_and(|known| known.will_wake(waker)));
        let old = if same {
            if let Some(slot) = places.deadlines_ms.get_mut(place) {
                *slot = deadline_ms;
            }
            None
        } else {
            places.set(self.place, deadline_ms, Some(waker.clone()))
        };
        drop(places);
        drop(old);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(wheel) = &self.wheel {
            wheel.remove(self.place);
        }
    }
}
