//! When a program is to end.

/// Ready when the program is asked to end, by Ctrl-C or SIGTERM: then it has time to say goodbye.
/// Whoever asks a second time does not want to wait, and it ends at once.
///
/// Without signals it runs until it is killed.
#[cfg(unix)]
pub(crate) async fn asked() {
    use tokio::signal::unix::{SignalKind, signal};
    // Both listen from the beginning, so that a second signal is not missed.
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        return std::future::pending().await;
    };
    let mut once = async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    once().await;
    tokio::spawn(async move {
        once().await;
        std::process::exit(1);
    });
}

/// The same for Ctrl-C, where there is no SIGTERM.
#[cfg(not(unix))]
pub(crate) async fn asked() {
    if tokio::signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    });
}
