#![doc = include_str!("HOW_TO.md")]
