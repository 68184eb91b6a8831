#![doc = include_str!("EXPLANATIONS.md")]
