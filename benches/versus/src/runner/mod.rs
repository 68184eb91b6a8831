//! The runner: which loads, which servers, in which order, and what the table says.

pub mod measure;
pub mod others;
pub mod plot;
pub mod process;
pub mod results;
pub mod rows;
pub mod scale;
pub mod servers;
pub mod settings;
pub mod table;
