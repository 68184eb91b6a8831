//! What the first ten minutes cost: from an empty folder to an echo server of one's own that takes many connections, sends
//! back texts and bytes, and answers pings and closes. The same on this crate and on two others.

mod cost;
mod project;

pub use cost::Cost;
pub use project::{PROJECTS, Project, example};
