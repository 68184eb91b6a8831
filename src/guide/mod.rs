//! Pages to read, without code.

pub mod capacity;
pub mod deployment;
