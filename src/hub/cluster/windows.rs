//! What is said on the channels of sessions that are about to come.

use std::collections::HashMap;

use crate::protocol::PreparedMessage;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

use super::name::NodeId;
use super::numbers::Stamp;
use super::session::ChannelState;

/// Messages of one window, and their bytes: beyond, the session has missed something.
const MESSAGES_MAX: usize = 1024;
const BYTES_MAX: usize = 512 * 1024;

/// The windows that are open, by the number of the move. Its lock is the innermost.
#[derive(Debug, Default)]
pub(super) struct Windows {
    open: Mutex<HashMap<u64, Window>>,
    /// `== open.len()`, to be looked at without the lock.
    len: AtomicUsize,
}

/// All that is said on some channels, by this node and others, from when it was opened on: what the node that has the
/// session did not hear before it told of it is taken from here.
///
/// ```text
///                     the other node was here when it told of the session
///                                        │
///   numbers of one node    … 5   6   7   8   9   10   11 …
///                                ├───────────────────────── this window
///                                └ first
///   given to the session:                    9   10   11
/// ```
#[derive(Debug, Default)]
struct Window {
    user: Option<Arc<str>>,
    tracks: HashMap<Arc<str>, Track>,
    messages: Vec<Recorded>,
    bytes: usize,
    /// Something is missing.
    is_spoiled: bool,
}

/// How far nodes were on a channel when it was opened, and the first that came since.
#[derive(Debug, Default)]
struct Track {
    before: HashMap<NodeId, Stamp>,
    first: HashMap<NodeId, Stamp>,
}

#[derive(Debug)]
struct Recorded {
    channel: Arc<str>,
    node: NodeId,
    stamp: Stamp,
    message: PreparedMessage,
}

/// Whether a session that another node told of and a window make a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    Whole,
    /// This node has not heard yet what the other has.
    Behind,
    /// The other node had not heard what this one had when it began to listen, or the session is on a channel that this
    /// window is not open to: it has to be told anew.
    Hole,
    /// Something is missing for good.
    Lost,
}

impl Windows {
    pub(super) fn is_any(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    pub(super) fn begin(&self, number: u64, user: Option<Arc<str>>) {
        let mut open = self.open.lock();
        open.insert(number, Window { user, ..Window::default() });
        self.len.store(open.len(), Ordering::Relaxed);
    }

    /// Opens it to one more channel, on which nodes are so far.
    pub(super) fn add(&self, number: u64, channel: &str, before: HashMap<NodeId, Stamp>) {
        if let Some(window) = self.open.lock().get_mut(&number) {
            let track = Track { before, first: HashMap::new() };
            window.tracks.entry(channel.into()).or_insert(track);
        }
    }

    pub(super) fn has(&self, number: u64, channel: &str) -> bool {
        let open = self.open.lock();
        open.get(&number).is_some_and(|window| window.tracks.contains_key(channel))
    }

    /// What a window is open to.
    pub(super) fn channels(&self, number: u64) -> Vec<Arc<str>> {
        let open = self.open.lock();
        let window = open.get(&number);
        window.map(|window| window.tracks.keys().cloned().collect()).unwrap_or_default()
    }

    /// Whether any window is open to a channel.
    pub(super) fn wants(&self, channel: &str) -> bool {
        self.is_any() && self.open.lock().values().any(|window| window.tracks.contains_key(channel))
    }

    /// Closes it; the channels it was open to.
    pub(super) fn end(&self, number: u64) -> Vec<Arc<str>> {
        let mut open = self.open.lock();
        let window = open.remove(&number);
        self.len.store(open.len(), Ordering::Relaxed);
        window.map(|window| window.tracks.into_keys().collect()).unwrap_or_default()
    }

    /// Something was said.
    pub(super) fn note(&self, channel: &str, node: NodeId, stamp: Stamp) {
        if !self.is_any() {
            return;
        }
        for window in self.open.lock().values_mut() {
            if let Some(track) = window.tracks.get_mut(channel) {
                track.first.entry(node).or_insert(stamp);
            }
        }
    }

    /// A message was said to all but these users.
    pub(super) fn record(
        &self,
        channel: &str,
        (node, stamp): (NodeId, Stamp),
        message: &PreparedMessage,
        except: &[Arc<str>],
    ) {
        if !self.is_any() {
            return;
        }
        for window in self.open.lock().values_mut() {
            let Some((channel, _)) = window.tracks.get_key_value(channel) else { continue };
            let channel = channel.clone();
            if let Some(track) = window.tracks.get_mut(&channel) {
                track.first.entry(node).or_insert(stamp);
            }
            if window.user.as_ref().is_some_and(|user| except.contains(user)) {
                continue;
            }
            window.bytes += message.payload().len();
            window.messages.push(Recorded { channel, node, stamp, message: message.clone() });
            if window.messages.len() > MESSAGES_MAX || window.bytes > BYTES_MAX {
                window.is_spoiled = true;
                (window.messages, window.bytes) = (Vec::new(), 0);
            }
        }
    }

    /// Something is missing on a channel, or on any.
    pub(super) fn spoil(&self, channel: Option<&str>) {
        if !self.is_any() {
            return;
        }
        for window in self.open.lock().values_mut() {
            window.is_spoiled |= channel.is_none_or(|channel| window.tracks.contains_key(channel));
        }
    }

    /// Whether a window and what the other node had heard make a whole, and what of it is in the window only. `last`: how
    /// far this node has heard whom on which channel.
    pub(super) fn cover(
        &self,
        number: u64,
        heard: &[ChannelState],
        last: impl Fn(&str, NodeId) -> Option<Stamp>,
    ) -> (Cover, Vec<PreparedMessage>) {
        let mut open = self.open.lock();
        let Some(window) = open.get_mut(&number) else { return (Cover::Lost, Vec::new()) };
        let covers = window.covers(heard, last);
        let messages = if covers == Cover::Whole { window.beyond(heard) } else { Vec::new() };
        (covers, messages)
    }
}

impl Window {
    fn covers(
        &self,
        heard: &[ChannelState],
        last: impl Fn(&str, NodeId) -> Option<Stamp>,
    ) -> Cover {
        if self.is_spoiled {
            return Cover::Lost;
        }
        let mut cover = Cover::Whole;
        for ChannelState { channel, nodes } in heard {
            let Some(track) = self.tracks.get(channel) else { return Cover::Hole };
            for (node, stream, number) in nodes {
                let there = Stamp { stream: *stream, number: *number };
                if track.has_hole(*node, there) {
                    return Cover::Hole;
                }
                // What a node says of which nothing has come yet was said before anybody listened here.
                if last(channel, *node).is_some_and(|here| here < there) {
                    cover = Cover::Behind;
                }
            }
        }
        cover
    }

    /// The messages that the other node had not heard.
    fn beyond(&mut self, heard: &[ChannelState]) -> Vec<PreparedMessage> {
        let mut there = HashMap::new();
        for ChannelState { channel, nodes } in heard {
            for (node, stream, number) in nodes {
                there.insert((&**channel, *node), Stamp { stream: *stream, number: *number });
            }
        }
        let messages = std::mem::take(&mut self.messages).into_iter();
        let is_beyond = |recorded: &Recorded| {
            there.get(&(&*recorded.channel, recorded.node)).is_none_or(|had| recorded.stamp > *had)
        };
        messages.filter(is_beyond).map(|recorded| recorded.message).collect()
    }
}

impl Track {
    /// Whether something lies between what the other node had heard of a node and what came here since.
    fn has_hole(&self, node: NodeId, there: Stamp) -> bool {
        match (self.first.get(&node), self.before.get(&node)) {
            (Some(first), _) if first.stream == there.stream => {
                first.number > there.number.saturating_add(1)
            }
            (Some(first), _) => first.stream > there.stream,
            (None, Some(before)) => *before > there,
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::from_bytes([1; 16]);
    const OTHER: NodeId = NodeId::from_bytes([2; 16]);

    const fn stamp(number: u64) -> Stamp {
        Stamp { stream: 3, number }
    }

    fn told(number: u64) -> Vec<ChannelState> {
        vec![ChannelState { channel: "c".into(), nodes: vec![(NODE, 3, number)] }]
    }

    /// A window on one channel where a node was so far, and what has come since.
    fn window(before: Option<u64>, came: std::ops::Range<u64>) -> Windows {
        let windows = Windows::default();
        windows.begin(7, Some("ann".into()));
        windows.add(7, "c", before.map(|number| (NODE, stamp(number))).into_iter().collect());
        for number in came {
            windows.note("c", NODE, stamp(number));
            let message = PreparedMessage::new(&*number.to_string());
            windows.record("c", (NODE, stamp(number)), &message, &[]);
        }
        windows
    }

    fn cover(windows: &Windows, there: u64, here: Option<u64>) -> (Cover, String) {
        let (cover, messages) = windows.cover(7, &told(there), |_, _| here.map(stamp));
        let texts = messages.iter().map(|message| String::from_utf8_lossy(message.payload()));
        (cover, texts.collect::<Vec<_>>().join(" "))
    }

    /// BY-42: what one node has told and the other has heard make a whole, each message once, or it is seen that they do
    /// not.
    #[test]
    fn by_42_each_message_once_or_it_is_seen() {
        let whole = |texts: &str| (Cover::Whole, texts.to_owned());
        let none = |cover| (cover, String::new());
        // Before, at and beyond what was told.
        assert_eq!(cover(&window(Some(4), 5..9), 6, Some(8)), whole("7 8"));
        assert_eq!(cover(&window(Some(4), 5..9), 4, Some(8)), whole("5 6 7 8"));
        assert_eq!(cover(&window(Some(4), 5..9), 8, Some(8)), whole(""));
        assert_eq!(cover(&window(Some(4), 5..9), 3, Some(8)), none(Cover::Hole));
        assert_eq!(cover(&window(Some(4), 5..9), 9, Some(8)), none(Cover::Behind));
        // Nothing has come since.
        assert_eq!(cover(&window(Some(4), 0..0), 4, Some(4)), whole(""));
        assert_eq!(cover(&window(Some(4), 0..0), 3, Some(4)), none(Cover::Hole));
        assert_eq!(cover(&window(None, 0..0), 3, None), whole(""));
        // A node of which the other had heard nothing.
        let windows = window(None, 5..7);
        windows.record("c", (OTHER, stamp(2)), &PreparedMessage::new("other"), &[]);
        assert_eq!(cover(&windows, 5, Some(6)), whole("6 other"));
    }

    /// BY-42: what is missing, what there is no room for, and a channel that nobody listens to make no whole.
    #[test]
    fn by_42_what_is_missing_is_seen() {
        let windows = window(Some(4), 5..9);
        windows.spoil(Some("d"));
        let elsewhere = [ChannelState { channel: "d".into(), nodes: Vec::new() }];
        assert_eq!(windows.cover(7, &elsewhere, |_, _| None).0, Cover::Hole);
        windows.spoil(Some("c"));
        assert_eq!(cover(&windows, 6, Some(8)).0, Cover::Lost);
        let windows = window(Some(4), 5..6 + MESSAGES_MAX as u64);
        assert_eq!(cover(&windows, 6, Some(5 + MESSAGES_MAX as u64)).0, Cover::Lost);
        // A stream that is new began with something that the other may not have heard.
        let windows = window(Some(4), 0..0);
        windows.note("c", NODE, Stamp { stream: 4, number: 1 });
        assert_eq!(cover(&windows, 4, Some(4)).0, Cover::Hole);
        assert!(windows.wants("c") && !windows.wants("d"));
        assert_eq!(windows.end(7), [Arc::from("c")]);
        assert!(!windows.is_any());
        assert_eq!(cover(&windows, 4, Some(4)).0, Cover::Lost);
    }

    /// Users that a message leaves out do not get it.
    #[test]
    fn who_is_left_out_is_left_out() {
        let windows = window(Some(4), 5..6);
        let message = PreparedMessage::new("not for ann");
        windows.record("c", (NODE, stamp(6)), &message, &["bob".into(), "ann".into()]);
        windows.record("c", (NODE, stamp(7)), &PreparedMessage::new("7"), &["bob".into()]);
        assert_eq!(cover(&windows, 4, Some(7)).1, "5 7");
    }
}
