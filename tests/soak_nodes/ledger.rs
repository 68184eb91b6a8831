//! What was said, heard, told to be missing and handled.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use sockeye::hub::cluster::{ClusterGap, GapAt, NodeId};

use super::NODES;

/// A room, and the node that speaks in it.
pub(crate) type Place = (String, usize);

/// How many messages each node has told to be missing, by room and speaker.
#[derive(Default)]
pub(crate) struct Told {
    missed: [Mutex<HashMap<(String, NodeId), u64>>; NODES],
    /// Who is who, as soon as all are there.
    ids: Mutex<Vec<NodeId>>,
}

impl Told {
    pub(crate) fn note(&self, node: usize, gap: &ClusterGap) {
        // Where it is not known how many are missing the next message of each place shows it.
        if let (GapAt::Room(room), Some(of), Some(missed)) = (&gap.at, gap.node, gap.missed) {
            let mut all = self.missed[node].lock().unwrap();
            *all.entry((room.name().to_owned(), of)).or_default() += missed;
        }
    }

    pub(crate) fn meet(&self, id: NodeId) {
        self.ids.lock().unwrap().push(id);
    }

    /// By this node, or by all of them.
    pub(crate) fn count(&self, by: Option<usize>, (room, speaker): &Place) -> u64 {
        let key = (room.clone(), self.ids.lock().unwrap()[*speaker]);
        let nodes = self.missed.iter().enumerate().filter(|(at, _)| by.is_none_or(|by| by == *at));
        nodes.map(|(_, told)| told.lock().unwrap().get(&key).copied().unwrap_or_default()).sum()
    }

    pub(crate) fn sum(&self) -> u64 {
        self.missed
            .iter()
            .flat_map(|told| told.lock().unwrap().values().copied().collect::<Vec<_>>())
            .sum()
    }
}

/// What one listener has heard.
pub(crate) struct Ear {
    pub(crate) name: usize,
    /// The node that it stays at; `None`: it wanders.
    stays_at: Option<usize>,
    told: Arc<Told>,
    /// By place, how many were told to be missing before it came.
    told_before: HashMap<Place, u64>,
    /// The last number, since its session began.
    last: HashMap<Place, u64>,
    missing: HashMap<Place, u64>,
    pub(crate) came: u64,
    pub(crate) restored: u64,
    /// Sessions that were lost, by the reason.
    pub(crate) gaps: BTreeMap<String, u64>,
    pub(crate) failure: Option<String>,
}

impl Ear {
    pub(crate) fn new(
        name: usize,
        stays_at: Option<usize>,
        rooms: &[String],
        told: Arc<Told>,
    ) -> Self {
        let places = rooms.iter().flat_map(|room| (0..NODES).map(|node| (room.clone(), node)));
        let told_before = places.map(|place| {
            let count = told.count(stays_at, &place);
            (place, count)
        });
        Self {
            name,
            stays_at,
            told_before: told_before.collect(),
            told,
            last: HashMap::new(),
            missing: HashMap::new(),
            came: 0,
            restored: 0,
            gaps: BTreeMap::new(),
            failure: None,
        }
    }

    pub(crate) fn hear(&mut self, room: &str, speaker: usize, number: u64) {
        let place = (room.to_owned(), speaker);
        self.came += 1;
        let Some(before) = self.told_before.get(&place) else {
            return self.fail(format!("hears {place:?}"));
        };
        let last = self.last.insert(place.clone(), number);
        // The first one that it hears is as good as any.
        let Some(missing) = last.map_or(Some(0), |last| number.checked_sub(last + 1)) else {
            return self.fail(format!("{number} at {place:?} after {last:?}"));
        };
        if missing == 0 {
            return;
        }
        let missing = missing + self.missing(&place);
        let told = self.told.count(self.stays_at, &place) - before;
        self.missing.insert(place.clone(), missing);
        if self.stays_at == Some(speaker) || missing > told {
            self.fail(format!("{missing} missing up to {number} at {place:?}, {told} told"));
        }
    }

    /// Its session is lost: what comes has nothing to do with what came.
    pub(crate) fn begin_anew(&mut self, reason: &str) {
        *self.gaps.entry(reason.to_owned()).or_default() += 1;
        self.last.clear();
    }

    pub(crate) fn fail(&mut self, what: String) {
        if self.failure.is_none() {
            self.failure = Some(what);
        }
    }

    fn missing(&self, place: &Place) -> u64 {
        self.missing.get(place).copied().unwrap_or_default()
    }

    pub(crate) fn missing_sum(&self) -> u64 {
        self.missing.values().sum()
    }

    /// Whether it has heard what was said last in its rooms.
    pub(crate) fn has_all(&self, said: &HashMap<Place, u64>) -> bool {
        self.has(said, |_| true)
    }

    /// The same of the node that it stays at.
    pub(crate) fn has_own(&self, said: &HashMap<Place, u64>) -> bool {
        self.has(said, |speaker| self.stays_at == Some(speaker))
    }

    fn has(&self, said: &HashMap<Place, u64>, of: impl Fn(usize) -> bool) -> bool {
        let mut places = self.told_before.keys().filter(|(_, speaker)| of(*speaker));
        places.all(|place| self.last.get(place) == said.get(place))
    }
}

/// What handlers on all nodes were asked to do, by the number of the client.
#[derive(Default)]
pub(crate) struct Items(Mutex<HashMap<usize, Vec<u64>>>);

impl Items {
    pub(crate) fn handle(&self, client: usize, number: u64) {
        self.0.lock().unwrap().entry(client).or_default().push(number);
    }

    /// How many of a client's were handled; each of them once, and in order but where its session was lost.
    pub(crate) fn check(&self, client: usize, sent: u64, is_whole: bool) -> u64 {
        let mut handled = self.0.lock().unwrap().remove(&client).unwrap_or_default();
        let count = handled.len() as u64;
        if is_whole {
            assert!(
                handled.iter().copied().eq(1..=sent),
                "client {client}: {sent} sent, {handled:?}"
            );
        }
        handled.sort_unstable();
        handled.dedup();
        assert_eq!(handled.len() as u64, count, "client {client}: something was handled twice");
        assert!(count <= sent, "client {client}: {count} of {sent}");
        count
    }
}
