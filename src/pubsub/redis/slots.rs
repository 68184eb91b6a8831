//! Which node of a cluster has which names.

use std::collections::HashMap;

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind, Value};

use crate::pubsub::error::{PubSubError, PubSubErrorKind};

/// Into so many slots a cluster divides all names.
const SLOTS: usize = 16_384;

/// Most primaries: a cluster is said to work up to so many, and each costs a connection.
const NODES_MAX: usize = 1_000;

const NOBODY: u16 = u16::MAX;

/// Of the check that XMODEM has: 16 bits, the polynomial 0x1021, beginning with 0, nothing reflected.
const CRC_OF_BYTE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [high, _] = u16::to_be_bytes(crc);
        (crc << 8) ^ CRC_OF_BYTE[usize::from(high ^ byte)]
    })
}

/// The slot of a key or a channel: of what is between its first braces, if there is anything, so that names can be kept
/// together.
///
/// Source: the specification of Redis Cluster.
pub(crate) fn slot_of(name: &str) -> usize {
    let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(name);
    usize::from(crc(hashed.as_bytes())) % SLOTS
}

/// The slots of a cluster, as one of its nodes has told them: each has an owner.
#[derive(Clone)]
pub(crate) struct Slots {
    /// Primaries with slots, at most 1,000.
    nodes: Vec<Node>,
    /// The place of each slot's owner in `nodes`; as many as there are slots.
    owners: Vec<u16>,
}

/// A primary.
#[derive(Clone)]
pub(crate) struct Node {
    /// What its cluster calls it.
    id: String,
    /// How it is reached.
    pub(crate) info: ConnectionInfo,
}

impl Slots {
    /// What a node that is reached like this has answered to `CLUSTER SLOTS`.
    ///
    /// # Errors
    /// [`PubSubErrorKind::Answer`] for what is no such answer, [`PubSubErrorKind::Lost`] where a slot is nobody's.
    pub(super) fn parse(told: &Value, told_by: &ConnectionInfo) -> Result<Self, PubSubError> {
        let answer = || PubSubError::new(PubSubErrorKind::Answer).with_source("CLUSTER SLOTS");
        let slots = Self::read(told, told_by).ok_or_else(answer)?;
        if slots.owners.contains(&NOBODY) {
            // As a node says it.
            return Err(PubSubError::new(PubSubErrorKind::Lost).with_source("CLUSTERDOWN"));
        }
        Ok(slots)
    }

    fn read(told: &Value, told_by: &ConnectionInfo) -> Option<Self> {
        let Value::Array(ranges) = told else { return None };
        let mut slots = Self { nodes: Vec::new(), owners: vec![NOBODY; SLOTS] };
        let mut places = HashMap::new();
        for range in ranges {
            let Value::Array(fields) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &fields[..]
            else {
                return None;
            };
            let [host, Value::Int(port), Value::BulkString(id), ..] = &primary[..] else {
                return None;
            };
            let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
            // Their order and that they are no more than there are slots is looked at with them.
            let owners = slots.owners.get_mut(first..last.checked_add(1)?)?;
            let place = match places.get(id) {
                Some(place) => *place,
                None if slots.nodes.len() == NODES_MAX => return None,
                None => {
                    let place = u16::try_from(slots.nodes.len()).ok()?;
                    let id_text = std::str::from_utf8(id).ok()?.to_owned();
                    let info = at(told_by, host, u16::try_from(*port).ok()?)?;
                    slots.nodes.push(Node { id: id_text, info });
                    places.insert(id, place);
                    place
                }
            };
            owners.fill(place);
        }
        Some(slots)
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The place of the node that has this slot, less than there are nodes. Any number is a slot, modulo theirs.
    pub(crate) fn owner(&self, slot: usize) -> usize {
        usize::from(self.owners[slot % SLOTS])
    }

    /// Whether all slots have the same owners, wherever these are.
    pub(super) fn has_owners_of(&self, other: &Self) -> bool {
        let place = |node: &Node| self.nodes.iter().position(|own| own.id == node.id);
        let places: Vec<_> = other.nodes.iter().map(place).collect();
        let mut both = self.owners.iter().zip(&other.owners);
        both.all(|(own, other)| places[usize::from(*other)] == Some(usize::from(*own)))
    }
}

/// Where a node has said that a key is, or may be.
#[derive(Debug, PartialEq)]
#[allow(dead_code, reason = "without feature `app` no session is kept there")]
pub(crate) enum Redirection<T> {
    /// For this question only: the slot is on its way there (`ASK`).
    OnItsWay(T),
    /// From now on (`MOVED`).
    Moved(T),
}

/// The node that is to be asked instead, as the one has told that is reached like this. It need not have any slots yet, and others
/// may not know yet that it has, so it may be none of those that are known.
#[allow(dead_code, reason = "without feature `app` no session is kept there")]
pub(crate) fn redirected_to(
    error: &RedisError,
    told_by: &ConnectionInfo,
) -> Option<Redirection<ConnectionInfo>> {
    let to = match error.kind() {
        ErrorKind::Server(ServerErrorKind::Ask) => Redirection::OnItsWay,
        ErrorKind::Server(ServerErrorKind::Moved) => Redirection::Moved,
        _ => return None,
    };
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    Some(to(at(told_by, &Value::BulkString(host.into()), port.parse().ok()?)?))
}

/// Another node of the same cluster: nothing, or no text, is the host of the one that was asked; `?` is one that has none.
fn at(told_by: &ConnectionInfo, host: &Value, port: u16) -> Option<ConnectionInfo> {
    let named = match host {
        Value::Nil => "",
        Value::BulkString(host) => std::str::from_utf8(host).ok().filter(|host| *host != "?")?,
        _ => return None,
    };
    let host_or = |own: &str| if named.is_empty() { own.to_owned() } else { named.to_owned() };
    let address = match told_by.addr().clone() {
        ConnectionAddr::Tcp(own, _) => ConnectionAddr::Tcp(host_or(&own), port),
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: host_or(&own), port, insecure, tls_params }
        }
        _ => return None,
    };
    Some(told_by.clone().set_addr(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redis::IntoConnectionInfo as _;

    fn asked() -> ConnectionInfo {
        "redis://asked:7000".into_connection_info().unwrap()
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn range(first: i64, last: i64, host: Value, port: i64, id: &str) -> Value {
        let primary = vec![host, Value::Int(port), text(id), Value::Array(Vec::new())];
        Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(primary)])
    }

    fn parse(ranges: Vec<Value>) -> Result<Slots, PubSubErrorKind> {
        Slots::parse(&Value::Array(ranges), &asked()).map_err(|error| error.kind())
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc(b"123456789"), 0x31C3);
        assert_eq!(slot_of("foo"), 12182);
        assert_eq!(slot_of("{foo}.bar{zap}"), 12182);
        // Without anything between them braces are letters.
        assert_ne!(slot_of("foo{}{bar}"), slot_of("bar"));
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    }

    #[test]
    fn each_slot_has_the_owner_that_was_told() {
        let told = |of_the_last: &str| {
            parse(vec![
                range(0, 9, text("one"), 1, "a"),
                range(10, 16_382, Value::Nil, 2, "b"),
                range(16_383, 16_383, text(""), 3, of_the_last),
            ])
        };
        let slots = told("c").unwrap();
        let owners = [0, 9, 10, 16_382, 16_383].map(|slot| slots.owner(slot));
        assert_eq!(owners, [0, 0, 1, 1, 2]);
        let at = |place: usize| slots.nodes()[place].info.addr().to_string();
        assert_eq!([at(0), at(1), at(2)], ["one:1", "asked:2", "asked:3"]);
        assert!(slots.has_owners_of(&told("c").unwrap()));
        let other = told("a").unwrap();
        assert_eq!((other.nodes().len(), other.owner(16_383)), (2, 0));
        assert!(!slots.has_owners_of(&other) && !other.has_owners_of(&slots));
    }

    /// A58: whatever a node answers is slots with owners, or an error.
    #[test]
    fn a58_wrong_slots() {
        let whole = |host, port| vec![range(0, 16_383, host, port, "a")];
        assert!(parse(whole(text("host"), 7000)).is_ok());
        let mut many: Vec<_> =
            (0..1_001).map(|at| range(at, at, text("h"), 1, &at.to_string())).collect();
        many.push(range(1_001, 16_383, text("h"), 1, "0"));
        for (ranges, kind) in [
            (Vec::new(), PubSubErrorKind::Lost),
            (vec![range(0, 16_382, text("h"), 1, "a")], PubSubErrorKind::Lost),
            (vec![range(0, 16_384, text("h"), 1, "a")], PubSubErrorKind::Answer),
            (vec![range(7, 3, text("h"), 1, "a")], PubSubErrorKind::Answer),
            (vec![range(-1, 3, text("h"), 1, "a")], PubSubErrorKind::Answer),
            (vec![range(0, i64::MAX, text("h"), 1, "a")], PubSubErrorKind::Answer),
            (whole(text("?"), 1), PubSubErrorKind::Answer),
            (whole(Value::Int(1), 1), PubSubErrorKind::Answer),
            (whole(text("h"), 65_536), PubSubErrorKind::Answer),
            (whole(Value::BulkString(vec![0xff]), 1), PubSubErrorKind::Answer),
            (vec![Value::Okay], PubSubErrorKind::Answer),
            (vec![Value::Array(Vec::new())], PubSubErrorKind::Answer),
            (many, PubSubErrorKind::Answer),
        ] {
            assert_eq!(parse(ranges.clone()).err(), Some(kind), "{ranges:?}");
        }
        assert!(Slots::parse(&Value::Okay, &asked()).is_err());
    }

    proptest! {
        /// A58: no ranges break anything, and what is taken is whole.
        #[test]
        fn a58_any_ranges(ranges in prop::collection::vec((-2i64..16_386, -2i64..16_386), 0..9)) {
            let told = ranges.iter().map(|(first, last)| range(*first, *last, Value::Nil, 1, "a"));
            if let Ok(slots) = parse(told.collect()) {
                prop_assert!((0..SLOTS).all(|slot| slots.owner(slot) < slots.nodes().len()));
            }
        }
    }
}
