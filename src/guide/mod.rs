//! Pages to read, without code.

pub mod attacks;
pub mod capacity;
pub mod deployment;
#[cfg(all(feature = "testing", feature = "app"))]
pub mod testing;
