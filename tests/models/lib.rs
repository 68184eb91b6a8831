//! Every order in which the threads around an outbox can run, with the locks of `--cfg sockeye_loom`.

#[cfg(all(test, sockeye_loom))]
mod tests {
    /// The trace of one that finds an error has its name.
    #[test]
    fn every_model_holds() {
        sockeye::outbox::models::MODELS.iter().for_each(|model| model());
    }
}
