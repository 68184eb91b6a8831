#![doc = include_str!("FROM_SOCKET_IO.md")]
