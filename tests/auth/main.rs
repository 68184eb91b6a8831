//! Floor 7: tokens, passwords, and who may come in.

#![cfg(feature = "auth")]

#[path = "../support/tokens.rs"]
mod tokens;

mod doors;
mod token_attacks;
mod tokens_and_passwords;
