//! What this node answers.

use std::collections::BTreeSet;
use std::sync::Weak;

use crate::hub::peer::Peer;
use crate::hub::shared::Shared;
use crate::sync::Arc;

use super::channel;
use super::envelope::{Answer, Body, Question};
use super::inner::Inner;
use super::name::NodeId;
use super::state::room;

/// Users of one part, and their bytes, at the most but for one.
const PART_USERS_MAX: usize = 4096;
const PART_BYTES_MAX: usize = 64 * 1024;

/// Answers another node, in as many parts as it takes.
pub(super) async fn answer_to(
    inner: &Inner,
    hub: &Weak<Shared>,
    node: NodeId,
    id: u64,
    question: &Question,
) {
    let Some(hub) = hub.upgrade() else { return };
    let Answer { count, refused, users } = answer(&hub, question).await;
    let channel = channel::of_node(node);
    let mut users = &users[..];
    loop {
        let part;
        (part, users) = users.split_at(part_len(users));
        let is_last = users.is_empty();
        let answer = Answer { count, refused, users: part.to_vec() };
        let said = inner.say(&channel, &Body::Answer { id, is_last, answer });
        if said.is_err() || is_last {
            // Whoever asked has a deadline.
            return;
        }
    }
}

/// How many of them go into one part.
pub(super) fn part_len(users: &[Arc<str>]) -> usize {
    let mut bytes = 0;
    let fits = |user: &&Arc<str>| {
        let has_room = bytes < PART_BYTES_MAX;
        bytes += user.len() + 4;
        has_room
    };
    users.iter().take(PART_USERS_MAX).take_while(fits).count()
}

/// What is so on this node, or is done here.
pub(super) async fn answer(hub: &Arc<Shared>, question: &Question) -> Answer {
    match question {
        Question::Connections => count(hub.registry.len()),
        Question::Members(name) => {
            let members = room(hub, name).map(|room| room.len());
            count(members.unwrap_or_default())
        }
        Question::Users(name) => {
            let peers = peers(hub, name).await;
            let users = peers.iter().filter_map(Peer::user_key).cloned();
            let users: Vec<_> = users.collect::<BTreeSet<_>>().into_iter().collect();
            Answer { users, ..Answer::default() }
        }
        Question::Online(user) => count(hub.registry.of_user(user).len()),
        Question::Disconnect { user, frame } => {
            let peers = hub.registry.of_user(user);
            peers.iter().for_each(|peer| peer.sender().request_close(frame.clone()));
            count(peers.len())
        }
        Question::Move { from, to } => move_all(&peers(hub, from).await, from, to),
    }
}

fn count(count: usize) -> Answer {
    Answer { count: count as u64, ..Answer::default() }
}

/// The registered members of a room.
async fn peers(hub: &Shared, name: &str) -> Vec<Peer> {
    match room(hub, name) {
        Some(room) => room.peers().await,
        None => Vec::new(),
    }
}

/// Into the one before out of the other: who may not in stays where it is.
fn move_all(peers: &[Peer], from: &str, to: &str) -> Answer {
    let mut answer = Answer::default();
    for peer in peers {
        if from != to && peer.join(to).is_ok() {
            peer.leave(from);
            answer.count += 1;
        } else {
            answer.refused += 1;
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_and_never_empty() {
        let users = |len: usize, count| vec![Arc::<str>::from("x".repeat(len)); count];
        assert_eq!(part_len(&[]), 0);
        assert_eq!(part_len(&users(PART_BYTES_MAX * 2, 3)), 1);
        assert_eq!(part_len(&users(0, PART_USERS_MAX * 2)), PART_USERS_MAX);
        let len = part_len(&users(96, 5000));
        assert!((600..700).contains(&len), "{len}");
    }
}
