//! What is done when the stream behind an answer does not come.

/// What to do when an upgrade that was answered comes to nothing. Any `FnOnce(axum::Error)` is one.
///
/// See [`on_failed_upgrade`](super::WebSocketUpgrade::on_failed_upgrade).
pub trait OnFailedUpgrade: Send + 'static {
    /// Called once, with what went wrong.
    fn call(self, error: axum_core::Error);
}

impl<F> OnFailedUpgrade for F
where
    F: FnOnce(axum_core::Error) + Send + 'static,
{
    fn call(self, error: axum_core::Error) {
        self(error);
    }
}

/// Passes it over: the client has gone, most of the time.
#[derive(Debug)]
#[non_exhaustive]
pub struct DefaultOnFailedUpgrade;

impl OnFailedUpgrade for DefaultOnFailedUpgrade {
    fn call(self, _: axum_core::Error) {}
}
