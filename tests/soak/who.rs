//! Who is who, by the number of a member.

pub(crate) const BIG_ROOM: usize = 1000;
pub(crate) const SMALL_ROOM: usize = 10;

/// A broadcast to all but some leaves out every seventh member, from one of the first seven on.
pub(crate) const SEVENTHS: usize = 7;

/// One of a hundred never reads; under each policy.
pub(crate) fn is_stalled(member: usize) -> bool {
    member % 100 == (member / 100) % 4
}

/// One of twenty comes and goes.
pub(crate) fn is_passing(member: usize) -> bool {
    member % 20 == 10 + (member / 20) % 4
}

pub(crate) fn is_healthy(member: usize) -> bool {
    !is_stalled(member) && !is_passing(member)
}

pub(crate) fn channels_of(member: usize) -> [String; 3] {
    [
        "all".to_owned(),
        format!("big-{}", member / BIG_ROOM),
        format!("small-{}", member / SMALL_ROOM),
    ]
}
