#![doc = include_str!("TUTORIAL.md")]
