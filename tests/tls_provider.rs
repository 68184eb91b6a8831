//! TLS where nobody brings cryptography: an error, and no panic. Then the program installs some.
//!
//! `cargo test --no-default-features --features tls --test tls_provider`

#![cfg(all(feature = "tls", not(any(feature = "ring", feature = "aws-lc-rs"))))]

use sockeye::Error;
use sockeye::tls::rustls::RootCertStore;
use sockeye::tls::{TlsAcceptor, TlsConnector, TlsError};
use tokio::net::TcpListener;

/// BY-27: no provider is forced, and none is no panic.
#[tokio::test]
async fn by_27_no_provider() {
    let error = TlsConnector::new(RootCertStore::empty()).unwrap_err();
    assert!(matches!(error, TlsError::NoProvider), "{error:?}");
    assert!(matches!(TlsAcceptor::from_pem(b"", b""), Err(TlsError::NoProvider)));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let error = sockeye::connect(&url).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)) && !error.retryable(), "{error:?}");
    let expected = |error: &TlsError| matches!(error, TlsError::NoProvider | TlsError::NoRoots);
    assert!(TlsError::of(&error).is_some_and(expected), "{error:?}");
}
