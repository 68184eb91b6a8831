//! A bucket, over one connection.
//!
//! Source: the JetStream API and the key-value stores made of it, as the documentation of NATS describes them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use crate::pubsub::nats::{self, Asking, Nats, escape};
use crate::session::stores::error::{StoreError, StoreErrorKind};
use crate::session::stores::fault::of;
use crate::session::stores::session_store::Put;
use crate::sync::{AtomicBool, Mutex, Ordering};

use super::answer::{Answer, Config, Refusal, Stored};
use super::clock::Clock;
use super::record::{AROUND_BYTES, decode, encode, kept_for};
use super::seen::{Seen, Trace};

/// Compares and writes in one step: the server refuses where this is not the number of the last thing under the name.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// What the server's time is asked by. No session has this name on the wire.
const CLOCK: &str = "=clock";

/// How long the server looks for messages that came twice, which it is not told of here; it may not be longer than records are kept.
const DUPLICATES_MAX: Duration = Duration::from_secs(120);

/// Servers before this one let two that write at the same time both do it where a bucket has replicas.
const REPLICAS_SINCE: (u16, u16) = (2, 11);

/// Which bucket it is, and what it is made with if it is not there.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) replicas: usize,
    pub(super) keep_max: Duration,
}

pub(super) struct Bucket {
    asking: Asking,
    settings: Settings,
    /// `None`: for as long as one likes.
    keeps_for: Option<Duration>,
    /// Their headers included.
    message_bytes_max: usize,
    clock: Mutex<Clock>,
    seen: Mutex<Seen>,
    /// It was there.
    is_gone: AtomicBool,
}

impl Bucket {
    /// Connects, and makes the bucket if it is not there. Whoever asks has a deadline.
    pub(super) async fn open(nats: &Nats, settings: &Settings) -> Result<Self, StoreError> {
        let asking = nats.asking().await.map_err(|error| of(&error))?;
        let message_bytes_max = asking.info().message_bytes_max;
        let mut bucket = Self {
            asking,
            settings: settings.clone(),
            keeps_for: None,
            message_bytes_max,
            clock: Mutex::new(Clock::told(Duration::ZERO)),
            seen: Mutex::default(),
            is_gone: AtomicBool::new(false),
        };
        let config = bucket.find().await.map_err(Refusal::into_error)?;
        bucket.keeps_for = config.keeps_for();
        let of_bucket = config.message_bytes_max().unwrap_or(message_bytes_max);
        bucket.message_bytes_max = of_bucket.min(message_bytes_max);
        bucket.ask_time().await?;
        Ok(bucket)
    }

    /// Whether it is worth asking once more.
    pub(super) fn is_good(&self) -> bool {
        !self.asking.has_ended() && !self.is_gone.load(Ordering::Relaxed)
    }

    /// The longest record that the server takes for this bucket, in bytes.
    pub(super) const fn record_bytes_max(&self) -> usize {
        self.message_bytes_max.saturating_sub(AROUND_BYTES)
    }

    /// What is under a name, and the bytes of the record if it is one. What is over may be there still.
    pub(super) async fn read(&self, id: &str) -> Result<(Trace, Bytes), StoreError> {
        if self.clock.lock().is_old() {
            self.ask_time().await?;
        }
        let Some(Stored { sequence, since, value }) = self.last(&escape(id)).await? else {
            return Ok((Trace::nothing(0), Bytes::new()));
        };
        let Some(value) = value else { return Ok((Trace::nothing(sequence), Bytes::new())) };
        let strange = || StoreError::new(StoreErrorKind::Answer).with_source("no record of ours");
        let written = decode(value).ok_or_else(strange)?;
        let left = self.clock.lock().left(since, written.keep_for).unwrap_or_default();
        let trace = Trace { sequence, epoch: written.epoch, until: Instant::now() + left };
        self.seen.lock().note(id, trace);
        Ok((trace, written.bytes))
    }

    /// What is known already, to write on. It is not known from here on.
    pub(super) fn take_known(&self, id: &str) -> Option<Trace> {
        self.seen.lock().take(id)
    }

    /// Writes what is to come after what has this number. False: that is not the last thing any more.
    pub(super) async fn put(&self, id: &str, sequence: u64, put: &Put) -> Result<bool, StoreError> {
        let error = |kind, source: &'static str| Err(StoreError::new(kind).with_source(source));
        if put.bytes.len() > self.record_bytes_max() {
            return error(StoreErrorKind::Full, "longer than the server takes");
        }
        let keep_for = kept_for(put.keep_for);
        if self.keeps_for.is_some_and(|keeps_for| keep_for > keeps_for) {
            return error(StoreErrorKind::Setting, "the bucket does not keep it for so long");
        }
        let until = Instant::now() + keep_for;
        let expected = sequence.to_string();
        let headers = [(EXPECTED, &*expected)];
        let written = self.publish(&escape(id), &headers, &encode(put)).await?;
        if let Some(sequence) = written {
            self.seen.lock().note(id, Trace { sequence, epoch: put.epoch, until });
        }
        Ok(written.is_some())
    }

    /// Removes what has this number. False: that is not the last thing any more.
    pub(super) async fn purge(&self, id: &str, sequence: u64) -> Result<bool, StoreError> {
        let expected = sequence.to_string();
        let headers = [(EXPECTED, &*expected), ("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")];
        Ok(self.publish(&escape(id), &headers, b"").await?.is_some())
    }

    /// What it is like, made now if it is not there. A node that makes it at the same time may have other settings.
    async fn find(&self) -> Result<Config, Refusal> {
        let known = match self.manage("STREAM.INFO", b"").await {
            Err(Refusal::NoBucket) => {
                self.check_replicas(self.settings.replicas)?;
                match self.create().await {
                    Err(Refusal::OtherBucket) => self.manage("STREAM.INFO", b"").await,
                    created => created,
                }
            }
            known => known,
        };
        let answer = known?;
        let config = Answer::read(&answer)?.config;
        let config = config.ok_or(Refusal::failed(StoreErrorKind::Answer, "no bucket"))?;
        self.check_replicas(config.num_replicas)?;
        Ok(config)
    }

    fn check_replicas(&self, replicas: usize) -> Result<(), Refusal> {
        if replicas > 1 && self.asking.info().version < REPLICAS_SINCE {
            let why = "a bucket with replicas needs servers from 2.11 on";
            return Err(Refusal::failed(StoreErrorKind::Setting, why));
        }
        Ok(())
    }

    async fn create(&self) -> Result<nats::Answer, Refusal> {
        let Settings { name, replicas, keep_max } = &self.settings;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let config = json!({
            "name": format!("KV_{name}"),
            "subjects": [format!("$KV.{name}.>")],
            "storage": "file",
            "num_replicas": replicas,
            "retention": "limits",
            "max_msgs_per_subject": 1,
            "max_age": nanos(*keep_max),
            "duplicate_window": nanos((*keep_max).min(DUPLICATES_MAX)),
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_consumers": -1,
            "discard": "new",
            "allow_rollup_hdrs": true,
            "deny_delete": true,
        });
        self.manage("STREAM.CREATE", config.to_string().as_bytes()).await
    }

    /// What is under a name on the wire.
    async fn last(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let subject = self.subject(name);
        let request = json!({ "last_by_subj": subject }).to_string();
        // Of the one that writes, and not of any that may be behind.
        let answer = match self.manage("STREAM.MSG.GET", request.as_bytes()).await {
            Ok(answer) => answer,
            Err(Refusal::NoMessage) => return Ok(None),
            Err(refusal) => return Err(self.failed(refusal)),
        };
        let stored = Answer::read(&answer).map_err(Refusal::into_error)?.stored();
        let strange = || StoreError::new(StoreErrorKind::Answer).with_source("no message");
        stored.ok_or_else(strange).map(Some)
    }

    /// What is written is noted with the server's time.
    async fn ask_time(&self) -> Result<(), StoreError> {
        self.publish(CLOCK, &[], b"").await?;
        if let Some(Stored { since, .. }) = self.last(CLOCK).await? {
            *self.clock.lock() = Clock::told(since);
        }
        Ok(())
    }

    /// Its number; `None`: it was written already.
    async fn publish(
        &self,
        name: &str,
        headers: &[(&str, &str)],
        value: &[u8],
    ) -> Result<Option<u64>, StoreError> {
        let asked = self.asking.ask(&self.subject(name), headers, value).await;
        let answer = asked.map_err(|error| of(&error))?;
        let refusal = match Answer::read(&answer) {
            // Nobody listens to its subjects.
            _ if answer.status == Some(503) => Refusal::NoBucket,
            Err(Refusal::Changed) => return Ok(None),
            Ok(answer) if answer.seq > 0 => return Ok(Some(answer.seq)),
            Ok(_) => Refusal::failed(StoreErrorKind::Answer, "no number"),
            Err(refusal) => refusal,
        };
        Err(self.failed(refusal))
    }

    async fn manage(&self, what: &str, request: &[u8]) -> Result<nats::Answer, Refusal> {
        let subject = format!("$JS.API.{what}.KV_{}", self.settings.name);
        let asked = self.asking.ask(&subject, &[], request).await;
        let answer = asked.map_err(|error| Refusal::Failed(of(&error)))?;
        Answer::read(&answer)?;
        Ok(answer)
    }

    fn failed(&self, refusal: Refusal) -> StoreError {
        if matches!(refusal, Refusal::NoBucket) {
            self.is_gone.store(true, Ordering::Relaxed);
        }
        refusal.into_error()
    }

    fn subject(&self, name: &str) -> String {
        format!("$KV.{}.{name}", self.settings.name)
    }
}
