#![doc = include_str!("CAPACITY.md")]
