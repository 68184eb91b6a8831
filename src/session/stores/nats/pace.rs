//! How often it is tried to reach servers that are away.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::Backoff;
use crate::session::stores::error::{StoreError, StoreErrorKind};
use crate::sync::Mutex;

/// Between the attempts is any time up to this, which doubles with each that has failed ...
const FIRST: Duration = Duration::from_millis(50);

/// ... up to this.
const LONGEST: Duration = Duration::from_secs(2);

/// Calls in between fail at once, as the last attempt did.
pub(super) struct Pace(Mutex<State>);

struct State {
    backoff: Backoff,
    failed: Option<(StoreErrorKind, Instant)>,
}

impl Default for Pace {
    fn default() -> Self {
        let backoff = Backoff::new(FIRST, LONGEST, Duration::ZERO);
        Self(Mutex::new(State { backoff, failed: None }))
    }
}

impl Pace {
    /// Whether it may be tried now.
    pub(super) fn allow(&self) -> Result<(), StoreError> {
        match self.0.lock().failed {
            Some((kind, until)) if Instant::now() < until => {
                Err(StoreError::new(kind).with_source("as it was a moment ago"))
            }
            _ => Ok(()),
        }
    }

    /// What came of it.
    pub(super) fn note<T>(&self, tried: &Result<T, StoreError>) {
        let mut state = self.0.lock();
        match tried {
            Ok(_) => {
                state.backoff.note_up(Duration::ZERO);
                state.failed = None;
            }
            Err(error) => {
                let mut random = [0; 8];
                // Without chance: the longest wait.
                let random = match getrandom::fill(&mut random) {
                    Ok(()) => u64::from_ne_bytes(random),
                    Err(_) => u64::MAX,
                };
                let until = Instant::now() + state.backoff.jittered(random);
                state.failed = Some((error.kind(), until));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BY-42: who is away is asked for less and less often, and as before once it was there.
    #[tokio::test(start_paused = true)]
    async fn attempts_that_fail_are_spread() {
        let (pace, failed) = (Pace::default(), Err(StoreError::new(StoreErrorKind::Refused)));
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            let began = Instant::now();
            pace.note::<()>(&failed);
            while let Err(error) = pace.allow() {
                assert_eq!(error.kind(), StoreErrorKind::Refused);
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            longest = longest.max(began.elapsed());
        }
        assert!(
            longest > LONGEST / 2 && longest <= LONGEST + Duration::from_millis(1),
            "{longest:?}"
        );
        pace.note(&Ok(()));
        pace.allow().unwrap();
        pace.note::<()>(&failed);
        tokio::time::advance(FIRST).await;
        pace.allow().unwrap();
    }
}
