//! The provider of the feature `aws-lc-rs`.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) fn brought() -> Option<CryptoProvider> {
    Some(aws_lc_rs::default_provider())
}
