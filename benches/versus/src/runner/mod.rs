//! The runner: which loads, which servers, in which order, and what the table says.

pub mod measure;
pub mod process;
pub mod results;
pub mod rows;
pub mod servers;
pub mod settings;
pub mod table;
