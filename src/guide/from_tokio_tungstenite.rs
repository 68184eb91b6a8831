#![doc = include_str!("FROM_TOKIO_TUNGSTENITE.md")]
