//! A connection for who asks: each request has one answer.

use std::collections::HashMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use crate::pubsub::error::{PubSubError, PubSubErrorKind};
use crate::sync::{Arc, Mutex};

use super::broker::Nats;
use super::fault::Fault;
use super::parser::{Heard, Info};
use super::task::Listener;
use super::wire::Wire;

/// Requests that wait for their answers; others wait for their turn.
const REQUESTS_MAX: usize = 64;

/// Asks, and is answered on subjects of its own.
pub(crate) struct Asking {
    wire: Wire<Waiting>,
    /// What stands before the number of a request.
    inbox: String,
    places: Semaphore,
    info: Info,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 503: nobody is there to answer.
    pub(crate) status: Option<u16>,
    pub(crate) payload: Bytes,
}

/// Who waits for an answer, by the number of the request: at most [`REQUESTS_MAX`].
#[derive(Default)]
struct Waiting(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    requests: HashMap<u64, oneshot::Sender<Answer>>,
    last: u64,
    /// Nobody answers any more.
    is_ended: bool,
}

/// A request, until it is answered or given up.
struct Request {
    table: Arc<Mutex<Table>>,
    number: u64,
}

impl Nats {
    /// A connection to the first server that takes it, beginning with the next one. Whoever asks has a deadline.
    ///
    /// # Errors
    /// What was wrong with the last one, when none has.
    ///
    /// Cancel safety: the next call begins with the next server.
    pub(crate) async fn asking(&self) -> Result<Asking, PubSubError> {
        let mut last = PubSubError::new(PubSubErrorKind::Unreachable);
        for _ in 0..self.servers() {
            match Asking::open(self).await {
                Ok(asking) => return Ok(asking),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Asking {
    async fn open(nats: &Nats) -> Result<Self, PubSubError> {
        let mut random = [0; 16];
        let no_random = |_| PubSubError::new(PubSubErrorKind::Setting).with_source("no random");
        getrandom::fill(&mut random).map_err(no_random)?;
        let inbox = format!("_INBOX.{}.", URL_SAFE_NO_PAD.encode(random));
        let (wire, info) = nats.open(Waiting::default()).await?;
        let subscribing = format!("SUB {inbox}* 1\r\n").into_bytes();
        wire.ask(subscribing).await.map_err(Fault::of_connecting)?;
        Ok(Self { wire, inbox, places: Semaphore::new(REQUESTS_MAX), info })
    }

    /// Who is asked. The longest message is that of a request with its headers.
    pub(crate) const fn info(&self) -> &Info {
        &self.info
    }

    /// Nothing more comes of it.
    pub(crate) fn has_ended(&self) -> bool {
        self.wire.shared.has_ended()
    }

    /// Asks, and waits for the answer. Neither the subject nor a header has a space or a line end in it. Whoever asks has a
    /// deadline, and does not ask here again where it was over.
    ///
    /// # Errors
    /// When the connection is lost, or the server refuses. It may have been done all the same.
    pub(crate) async fn ask(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Result<Answer, PubSubError> {
        // It is never closed.
        let _place = self.places.acquire().await;
        let shared = &self.wire.shared;
        let Some((request, answer)) = shared.listener.begin() else {
            return Err(shared.fault().into());
        };
        let reply = format!("{}{}", self.inbox, request.number);
        shared.push(lines(subject, &reply, headers, payload));
        answer.await.map_err(|_| shared.fault().into())
    }
}

impl Waiting {
    /// One more; `None` at the end.
    fn begin(&self) -> Option<(Request, oneshot::Receiver<Answer>)> {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.0.lock();
        if table.is_ended {
            return None;
        }
        table.last += 1;
        let number = table.last;
        table.requests.insert(number, sender);
        drop(table);
        Some((Request { table: self.0.clone(), number }, receiver))
    }
}

impl Listener for Waiting {
    const HAS_HEADERS: bool = true;

    /// What nobody waits for any more is left out. There is one subscription, so only the end of the subject says
    /// something.
    fn hear(&self, Heard { message, status }: Heard) {
        let number = message.channel.rsplit('.').next().and_then(|number| number.parse().ok());
        let waits = number.and_then(|number: u64| self.0.lock().requests.remove(&number));
        if let Some(sender) = waits {
            // Who asked may have gone.
            let _ = sender.send(Answer { status, payload: message.payload });
        }
    }

    fn end(&self) {
        let mut table = self.0.lock();
        table.is_ended = true;
        let requests = std::mem::take(&mut table.requests);
        drop(table);
        drop(requests);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.table.lock().requests.remove(&self.number);
    }
}

fn lines(subject: &str, reply: &str, headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    if !headers.is_empty() {
        head.extend_from_slice(b"NATS/1.0\r\n");
        for (name, value) in headers {
            // A Vec takes all that is written.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.extend_from_slice(b"\r\n");
    }
    let bytes = head.len() + payload.len();
    let mut lines = Vec::with_capacity(subject.len() + reply.len() + bytes + 32);
    let _ = match head.len() {
        0 => write!(lines, "PUB {subject} {reply} {bytes}\r\n"),
        head => write!(lines, "HPUB {subject} {reply} {head} {bytes}\r\n"),
    };
    lines.extend_from_slice(&head);
    lines.extend_from_slice(payload);
    lines.extend_from_slice(b"\r\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::broker::BusMessage;

    #[test]
    fn requests_with_headers_and_without() {
        let plain = lines("a.b", "r.1", &[], b"hi");
        assert_eq!(plain, b"PUB a.b r.1 2\r\nhi\r\n");
        let with = lines("a", "r.2", &[("One", "7"), ("Two", "x")], b"hi");
        let expected = b"HPUB a r.2 28 30\r\nNATS/1.0\r\nOne: 7\r\nTwo: x\r\n\r\nhi\r\n";
        assert_eq!(with, expected);
    }

    fn heard(channel: &str, payload: &'static str) -> Heard {
        let message = BusMessage { channel: channel.into(), payload: payload.into() };
        Heard { message, status: None }
    }

    /// BY-42: each answer goes to who asked, once; who has gone leaves nothing behind.
    #[tokio::test]
    async fn answers_find_their_requests() {
        let waiting = Waiting::default();
        let (one, of_one) = waiting.begin().unwrap();
        let (two, mut of_two) = waiting.begin().unwrap();
        let (gone, _) = waiting.begin().unwrap();
        assert_eq!([one.number, two.number, gone.number], [1, 2, 3]);
        drop(gone);
        assert_eq!(waiting.0.lock().requests.len(), 2);
        for (channel, payload) in
            [("r.3", "3"), ("r.x", "x"), ("r.", ""), ("r.1", "1"), ("r.1", "again")]
        {
            waiting.hear(heard(channel, payload));
        }
        assert_eq!(of_one.await.unwrap().payload, "1");
        assert!(of_two.try_recv().is_err());
        assert_eq!(waiting.0.lock().requests.len(), 1);
        waiting.end();
        assert!(of_two.await.is_err() && waiting.begin().is_none());
    }
}
