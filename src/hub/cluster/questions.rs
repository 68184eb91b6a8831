//! Questions of this node's that wait for answers.

use std::collections::HashMap;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::envelope::Answer;
use super::name::NodeId;

#[derive(Debug)]
pub(super) struct Questions {
    /// open.len() <= open_max
    open: HashMap<u64, Open>,
    open_max: usize,
    answer_bytes_max: usize,
    next: u64,
}

#[derive(Debug)]
struct Open {
    answers: UnboundedSender<(NodeId, Option<Answer>)>,
    /// Answers of which parts are missing still, and what they hold. One node has one.
    coming: HashMap<NodeId, (Answer, usize)>,
}

/// Answers by node; `None`: there will be none.
pub(super) type Answers = UnboundedReceiver<(NodeId, Option<Answer>)>;

impl Questions {
    pub(super) fn new(open_max: usize, answer_bytes_max: usize) -> Self {
        Self { open: HashMap::new(), open_max, answer_bytes_max, next: 1 }
    }

    /// A question, by its number; `None`: too many are open.
    pub(super) fn ask(&mut self) -> Option<(u64, Answers)> {
        if self.open.len() >= self.open_max {
            return None;
        }
        let (answers, receiver) = unbounded_channel();
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Open { answers, coming: HashMap::new() });
        Some((id, receiver))
    }

    /// Nobody waits for it any more.
    pub(super) fn close(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// A part of an answer. Of questions that are not open nothing is kept.
    pub(super) fn answer(&mut self, node: NodeId, id: u64, part: Answer, is_last: bool) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let bytes: usize = part.users.iter().map(|user| user.len() + 16).sum();
        let (mut answer, before) = open.coming.remove(&node).unwrap_or_default();
        let bytes = before.saturating_add(bytes);
        if bytes > self.answer_bytes_max {
            // Whoever asked may have gone.
            let _ = open.answers.send((node, None));
            return;
        }
        answer.count = part.count;
        answer.refused = part.refused;
        answer.users.extend(part.users);
        if is_last {
            let _ = open.answers.send((node, Some(answer)));
        } else {
            open.coming.insert(node, (answer, bytes));
        }
    }

    /// Something of a node's answers is missing.
    pub(super) fn spoil(&mut self, node: NodeId) {
        for open in self.open.values_mut() {
            if open.coming.remove(&node).is_some() {
                let _ = open.answers.send((node, None));
            }
        }
    }

    /// A node is gone: it answers nothing more.
    pub(super) fn forget(&mut self, node: NodeId) {
        for open in self.open.values_mut() {
            open.coming.remove(&node);
            let _ = open.answers.send((node, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(users: &[&str]) -> Answer {
        Answer { count: 1, refused: 0, users: users.iter().map(|user| (*user).into()).collect() }
    }

    /// BY-43: parts make a whole; one of which something is missing is none, nor is one that is too long.
    #[tokio::test]
    async fn parts_make_a_whole_or_nothing() {
        let (mut questions, node) = (Questions::new(1, 40), NodeId::from_bytes([1; 16]));
        let (id, mut answers) = questions.ask().unwrap();
        assert!(questions.ask().is_none());
        questions.answer(node, id + 1, part(&["eve"]), true);
        questions.answer(node, id, part(&["ann"]), false);
        questions.answer(node, id, part(&["bob"]), true);
        assert_eq!(answers.recv().await.unwrap(), (node, Some(part(&["ann", "bob"]))));
        questions.answer(node, id, part(&["ann"]), false);
        questions.spoil(node);
        assert_eq!(answers.recv().await.unwrap(), (node, None));
        questions.answer(node, id, part(&["ann", "bob"]), false);
        questions.answer(node, id, part(&["cid"]), false);
        assert_eq!(answers.recv().await.unwrap(), (node, None));
        questions.forget(node);
        assert_eq!(answers.recv().await.unwrap(), (node, None));
        questions.close(id);
        assert!(answers.recv().await.is_none() && questions.ask().is_some());
    }
}
