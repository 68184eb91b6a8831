//! What this node has asked another about a session.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::name::NodeId;
use super::session::{Refusal, SessionState};

/// What is answered.
pub(super) type Told = Result<SessionState, Refusal>;

/// Claims and settlements that wait for their answers. How many there are is the asker's business.
#[derive(Debug)]
pub(super) struct Calls {
    open: HashMap<u64, Call>,
    answer_bytes_max: usize,
    next: u64,
}

#[derive(Debug)]
struct Call {
    node: NodeId,
    /// Parts so far.
    bytes: Vec<u8>,
    answer: oneshot::Sender<Told>,
}

impl Calls {
    pub(super) fn new(answer_bytes_max: usize) -> Self {
        Self { open: HashMap::new(), answer_bytes_max, next: 1 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn ask(&mut self, node: NodeId) -> (u64, oneshot::Receiver<Told>) {
        let (id, (answer, receiver)) = (self.next(), oneshot::channel());
        self.open.insert(id, Call { node, bytes: Vec::new(), answer });
        (id, receiver)
    }

    /// Nobody waits for it any more.
    pub(super) fn close(&mut self, id: u64) {
        self.open.remove(&id);
    }

    pub(super) fn part(&mut self, node: NodeId, id: u64, bytes: &[u8], is_last: bool) {
        let Some(call) = self.open.get_mut(&id).filter(|call| call.node == node) else { return };
        if call.bytes.len() + bytes.len() > self.answer_bytes_max {
            return self.answer(node, id, Err(Refusal::HistoryLost));
        }
        call.bytes.extend_from_slice(bytes);
        if is_last {
            let bytes = Bytes::from(std::mem::take(&mut call.bytes));
            let state = SessionState::decode(&bytes).map_err(|_| Refusal::Unknown);
            self.answer(node, id, state);
        }
    }

    pub(super) fn answer(&mut self, node: NodeId, id: u64, told: Told) {
        if self.open.get(&id).is_some_and(|call| call.node == node)
            && let Some(call) = self.open.remove(&id)
        {
            // Whoever asked may have gone.
            let _ = call.answer.send(told);
        }
    }

    /// Something that a node said to this one is missing, or all that it would say; `None`: any node.
    pub(super) fn refuse_all(&mut self, node: Option<NodeId>, refusal: Refusal) {
        let is_of_node = |call: &Call| node.is_none_or(|node| call.node == node);
        let of_node = self.open.iter().filter(|(_, call)| is_of_node(call));
        let calls: Vec<_> = of_node.map(|(id, call)| (*id, call.node)).collect();
        calls.into_iter().for_each(|(id, node)| self.answer(node, id, Err(refusal)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::from_bytes([1; 16]);

    /// BY-42, A29: parts make a whole; nothing is kept of what nobody asked for, comes from another node, or is too long.
    #[test]
    fn by_42_parts_make_a_whole_or_nothing() {
        let rooms = vec!["a".into(), "b".into()];
        let state = SessionState { rooms, ..SessionState::default() };
        let bytes = state.encode();
        let mut calls = Calls::new(bytes.len());
        let (id, mut answer) = calls.ask(NODE);
        calls.part(NODE, id + 1, &bytes, true);
        calls.part(NodeId::from_bytes([2; 16]), id, &bytes, true);
        let (one, other) = bytes.split_at(20);
        calls.part(NODE, id, one, false);
        assert!(answer.try_recv().is_err());
        calls.part(NODE, id, other, true);
        assert_eq!(answer.try_recv().unwrap(), Ok(state));
        let (id, mut answer) = calls.ask(NODE);
        calls.part(NODE, id, &bytes, false);
        calls.part(NODE, id, &[0], true);
        assert_eq!(answer.try_recv().unwrap(), Err(Refusal::HistoryLost));
        let (id, mut answer) = calls.ask(NODE);
        calls.part(NODE, id, &bytes[1..], true);
        assert_eq!(answer.try_recv().unwrap(), Err(Refusal::Unknown));
        let (_, mut answer) = calls.ask(NODE);
        calls.refuse_all(Some(NodeId::from_bytes([2; 16])), Refusal::Unknown);
        assert!(answer.try_recv().is_err());
        calls.refuse_all(Some(NODE), Refusal::Again);
        assert_eq!(answer.try_recv().unwrap(), Err(Refusal::Again));
        assert!(calls.open.is_empty());
    }
}
