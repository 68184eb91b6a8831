#![doc = include_str!("FIGURES.md")]
