//! What is done to its end, whoever waits for it or does not any more.

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::sync::Mutex;

/// So many at once are done by tasks of the hub.
const UNDER_WAY_MAX: usize = 64;

/// The hub's tasks. What they do may hold the hub until it is done, and has an end of its own.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<JoinSet<()>>);

#[allow(dead_code, reason = "without feature `pubsub` nothing is asked of all nodes")]
impl UnderWay {
    /// Does something that goes on when this future is dropped. Where as much as may be is under way already it is done here,
    /// and ends with the future. `None`: its task ended before, with its runtime.
    pub(super) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let doing = async move {
            // Nobody may wait any more.
            let _ = tell.send(work.await);
        };
        let left = self.begin(doing);
        if let Some(doing) = left {
            doing.await;
        }
        told.await.ok()
    }

    fn begin<F: Future<Output = ()> + Send + 'static>(&self, doing: F) -> Option<F> {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= UNDER_WAY_MAX {
            return Some(doing);
        }
        tasks.spawn(doing);
        None
    }
}
