//! When a program is to end.

use std::future::pending;
use std::io;

/// Ready when the program is asked to end, by Ctrl-C or SIGTERM: then it has time to say goodbye.
/// Whoever asks a second time does not want to wait, and it ends at once.
///
/// It listens from this call on: call it before the program says that it is there. Without signals
/// it runs until it is killed.
pub(crate) fn asked() -> impl Future<Output = ()> {
    let signals = Signals::new();
    async {
        let Ok(mut signals) = signals else {
            return pending().await;
        };
        signals.recv().await;
        tokio::spawn(async move {
            signals.recv().await;
            std::process::exit(1);
        });
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Where there is no SIGTERM.
#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn recv(&mut self) {
        self.0.recv().await;
    }
}
