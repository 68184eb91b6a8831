//! What a channel is for.

use super::name::NodeId;

/// What is said to everybody.
pub(super) const ALL: &str = "all";

/// What nodes tell each other.
pub(super) const NODES: &str = "nodes";

/// What comes on a channel of this name is for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel<'a> {
    Room(&'a str),
    User(&'a str),
    All,
    Nodes,
    /// One node.
    Node,
}

impl<'a> Channel<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        match name {
            ALL => Some(Self::All),
            NODES => Some(Self::Nodes),
            _ => match name.split_at_checked(2)? {
                ("r-", room) => Some(Self::Room(room)),
                ("u-", user) => Some(Self::User(user)),
                ("n-", _) => Some(Self::Node),
                _ => None,
            },
        }
    }
}

pub(super) fn of_room(room: &str) -> String {
    format!("r-{room}")
}

pub(super) fn of_user(user: &str) -> String {
    format!("u-{user}")
}

pub(super) fn of_node(node: NodeId) -> String {
    format!("n-{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        assert_eq!(Channel::parse(&of_room("")), Some(Channel::Room("")));
        assert_eq!(Channel::parse(&of_room("all")), Some(Channel::Room("all")));
        assert_eq!(Channel::parse(&of_user("é")), Some(Channel::User("é")));
        assert_eq!(Channel::parse(&of_node(NodeId::from_bytes([7; 16]))), Some(Channel::Node));
        assert_eq!(
            (Channel::parse(ALL), Channel::parse(NODES)),
            (Some(Channel::All), Some(Channel::Nodes))
        );
        assert_eq!(
            (Channel::parse(""), Channel::parse("é-"), Channel::parse("x-y")),
            (None, None, None)
        );
    }
}
