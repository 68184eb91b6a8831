//! Pages to read, without code.

pub mod attacks;
pub mod capacity;
pub mod deployment;
#[cfg(feature = "axum")]
pub mod from_axum;
