#![doc = include_str!("FROM_AXUM.md")]
