#![doc = include_str!("PROOF.md")]
