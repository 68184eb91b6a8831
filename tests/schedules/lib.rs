//! Models of whole floors, hundreds of messages each, in orders that chance decides, with the locks of `--cfg sockeye_shuttle`.
//!
//! Half of the schedules choose at every lock and atomic who goes on; the other half give every task a rank and change the
//! ranks at a few places (PCT), which finds what needs somebody to be late for long.
//!
//! - `SCHEDULES=1000` is how many there are of each model.
//! - `MODEL=name` runs one.
//! - `REPLAY=...` runs one as it went wrong: a schedule is printed where a model fails, with the name of the model.

#[cfg(all(test, sockeye_shuttle))]
mod tests {
    use std::env;
    use std::time::Instant;

    use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
    use shuttle::{Config, Runner};

    type Model = (&'static str, fn());

    const SCHEDULES: usize = 1000;

    /// In how many places ranks change: enough for errors that need so many steps of others at the wrong moment.
    const RANKS_CHANGE: usize = 4;

    /// Of each task; what is not optimised takes much.
    const STACK_BYTES: usize = 512 * 1024;

    fn config() -> Config {
        let mut config = Config::default();
        config.stack_size = STACK_BYTES;
        // That it does not know weak orderings.
        config.silence_warnings = true;
        config
    }

    /// Says how to see it again where it goes wrong.
    struct Running(&'static str);

    impl Drop for Running {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!(
                    "again: MODEL={} REPLAY=<the schedule above> and the same command",
                    self.0
                );
            }
        }
    }

    fn explore((name, model): Model) {
        let _running = Running(name);
        let began = Instant::now();
        if let Ok(schedule) = env::var("REPLAY") {
            assert!(env::var("MODEL").is_ok(), "a schedule is of one MODEL");
            let scheduler =
                ReplayScheduler::new_from_encoded(&schedule.split_whitespace().collect::<String>());
            Runner::new(scheduler, config()).run(model);
            return;
        }
        let schedules =
            env::var("SCHEDULES").map_or(SCHEDULES, |text| text.parse().expect("a number"));
        let by_rank = schedules / 2;
        let ran = Runner::new(RandomScheduler::new(schedules - by_rank), config()).run(model)
            + Runner::new(PctScheduler::new(RANKS_CHANGE, by_rank), config()).run(model);
        assert_eq!(ran, schedules);
        println!("{name}: {ran} schedules, {} ms", began.elapsed().as_millis());
    }

    fn explore_all(models: &[Model]) {
        let only = env::var("MODEL").ok();
        let wanted =
            models.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name));
        wanted.for_each(|model| explore(*model));
    }

    #[test]
    fn outboxes() {
        explore_all(&sockeye::outbox::schedules::MODELS);
    }

    #[test]
    fn connections() {
        explore_all(&sockeye::net::schedules::MODELS);
    }

    #[test]
    fn hubs() {
        explore_all(&sockeye::hub::schedules::MODELS);
    }

    #[test]
    fn sessions() {
        explore_all(&sockeye::session::schedules::MODELS);
    }
}
