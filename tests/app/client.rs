//! The client of the event protocol against a real application: events and requests both ways, lost connections, lost
//! sessions. Over real sockets, with a relay between that cuts.

#![cfg(feature = "app")]

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sockeye::Connector;
use sockeye::app::client::{
    ClientOptions, ClientState, EventClient, FirstEvents, Happening, Incoming, QueueError,
    RequestError, TokenSource,
};
use sockeye::app::{App, Codec, Context, Disconnect, EventError, RequestError as Unanswered};
use sockeye::auth::{AuthError, Credentials, Identity, authenticate_fn};
use tokio::task::JoinSet;

use crate::support::app::AppSite;
use crate::support::pair::quiet;
use crate::support::relay::{Mode, Relay};
use crate::support::server::within;
use sockeye::testing::Chance;

const LONG: Duration = Duration::from_secs(20);

/// Echoes, fails, asks back, and notes the numbers of the items it got.
fn app(items: &Arc<Mutex<Vec<u64>>>) -> App {
    let items = items.clone();
    App::new()
        .on("join", async |context: Context, payload: Value| {
            context.join(payload["room"].as_str().unwrap_or_default()).unwrap();
            json!({})
        })
        .on("echo", async |_: Context, payload: Value| payload)
        .on("fail", async |_: Context, _: Value| {
            Err::<(), _>(EventError::new(4090, "this table is full").with_reason("full"))
        })
        .on("ask", async |context: Context, payload: Value| {
            let asked = match context.request("question", &payload, LONG).await {
                Ok(asked) => asked,
                Err(Unanswered::Refused(error)) => return Ok(json!({"refused": error.code})),
                Err(other) => return Err(other.into()),
            };
            let answer: Value = asked.payload()?;
            Ok::<_, Box<dyn Error + Send + Sync>>(json!({"name": asked.name(), "answer": answer}))
        })
        .on("item", move |_: Context, payload: Value| {
            items.lock().unwrap().push(payload["n"].as_u64().unwrap());
            async {}
        })
}

/// Waits between attempts are short.
fn options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.backoff_first = Duration::from_millis(2);
    options.backoff_max = Duration::from_millis(20);
    options
}

fn connect(url: &str, options: ClientOptions) -> (EventClient, Incoming) {
    EventClient::connect(Connector::new(quiet()), url, options).unwrap()
}

async fn is_open(client: &EventClient) {
    let open = |state: &ClientState| matches!(state, ClientState::Open);
    within(client.state().wait_for(open)).await.unwrap();
}

async fn why_closed(client: &EventClient) -> Disconnect {
    let state = within(client.state().wait_for(ClientState::is_closed)).await.unwrap().clone();
    match state {
        ClientState::Closed { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

/// All of the server's sessions are over.
async fn no_sessions(site: &AppSite) {
    let gone = async {
        while !site.running.sessions().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
}

/// BY-32, BY-36: events and requests in both directions, with both codecs; an error comes back as it is.
#[tokio::test]
async fn by_32_events_and_requests_both_ways() {
    for codec in [Codec::Envelope, Codec::Tagged] {
        let items = Arc::default();
        let site = AppSite::start(app(&items).codec(codec)).await;
        let mut options = options();
        options.codec = codec;
        let (client, mut incoming) = connect(&site.url("/ws"), options);
        let echo: Value = client.request("echo", &json!({"n": 1}), LONG).await.unwrap();
        assert_eq!(echo, json!({"n": 1}));
        assert!(client.session().is_some_and(|session| session.user.is_none()));
        match client.request::<Value>("fail", &(), LONG).await {
            Err(RequestError::Refused(error)) => {
                assert_eq!((error.code, error.reason.as_deref()), (4090, Some("full")));
            }
            other => panic!("{other:?}"),
        }
        let unreadable = client.request::<Vec<u8>>("echo", &json!({}), LONG).await;
        assert!(matches!(unreadable, Err(RequestError::Unreadable(_))), "{unreadable:?}");
        let item = json!({"n": 7});
        let short = client.request::<Value>("item", &item, Duration::from_millis(1)).await;
        assert!(matches!(short, Err(RequestError::Timeout { .. })), "{short:?}");
        client.send("nobody.knows", &()).unwrap();
        match within(incoming.next()).await.unwrap() {
            Happening::Error(error) => assert_eq!(error.code, 404),
            other => panic!("{other:?}"),
        }
        let answered = json!({"name": "question.ack", "answer": {"n": 3}});
        for (refuse, expected) in [(false, answered), (true, json!({"refused": 4}))] {
            let asking = client.clone();
            let asker = tokio::spawn(async move {
                asking.request::<Value>("ask", &json!({"n": 2}), LONG).await.unwrap()
            });
            let Some(Happening::Request(question)) = within(incoming.next()).await else {
                panic!("no question");
            };
            assert_eq!(question.event().payload_json(), r#"{"n":2}"#);
            match refuse {
                true => client.refuse(&question, EventError::new(4, "no")).unwrap(),
                false => client.answer(&question, &json!({"n": 3})).unwrap(),
            }
            assert_eq!(within(asker).await.unwrap(), expected);
        }
        within(client.flushed()).await.unwrap();
        assert_eq!(client.queued(), (0, 0));
    }
}

/// What a seed came to: how often the session was restored.
async fn cut_at_any_byte(seed: u64) -> u64 {
    const ITEMS: u64 = 60;
    let mut chance = Chance::new(seed);
    let cut =
        |chance: &mut Chance| (1 + chance.below(1500) as usize, 1 + chance.below(3000) as usize);
    let cuts = (0..12).map(|_| cut(&mut chance)).collect();
    let items = Arc::default();
    let site = AppSite::start(app(&items)).await;
    let relay = Relay::start(site.running.local_addrs()[0], cuts).await;
    let (client, mut incoming) = connect(&relay.url("/ws"), options());
    let answering = client.clone();
    let hearing = tokio::spawn(async move {
        let (mut news, mut restored, mut questions) = (Vec::new(), 0, Vec::new());
        while let Some(happening) = incoming.next().await {
            match happening {
                Happening::Event(event) if event.name() == "news" => {
                    news.push(event.payload::<Value>().unwrap()["n"].as_u64().unwrap());
                }
                Happening::Request(question) => {
                    let payload: Value = question.event().payload().unwrap();
                    questions.push(payload["n"].as_u64().unwrap());
                    answering.answer(&question, &payload).unwrap();
                }
                Happening::Restored => restored += 1,
                other => panic!("seed {seed}: {other:?}"),
            }
            if news.len() as u64 == ITEMS && questions.len() as u64 == ITEMS / 5 {
                break;
            }
        }
        (news, questions, restored, incoming)
    });
    client.request::<Value>("join", &json!({"room": "lobby"}), LONG).await.unwrap();
    for n in 0..ITEMS {
        client.send("item", &json!({"n": n})).unwrap();
        let lobby = site.running.to_room("lobby");
        lobby.send("news", &json!({"n": n})).unwrap();
        if n % 5 == 0 {
            let asked: Value = client.request("ask", &json!({"n": n}), LONG).await.unwrap();
            assert_eq!(asked, json!({"name": "question.ack", "answer": {"n": n}}), "seed {seed}");
        }
    }
    within(client.flushed()).await.unwrap();
    let (news, questions, restored, _incoming) = within(hearing).await.unwrap();
    let all: Vec<_> = (0..ITEMS).collect();
    assert_eq!(*items.lock().unwrap(), all, "seed {seed}: to the server");
    assert_eq!(news, all, "seed {seed}: to the client");
    assert_eq!(questions, (0..ITEMS).step_by(5).collect::<Vec<_>>(), "seed {seed}: questions");
    restored
}

/// BY-30, BY-31, BY-32: whatever byte a connection is cut at, each event comes once and in order in both directions,
/// and each request gets its answer.
#[tokio::test]
async fn by_31_each_event_once_and_in_order() {
    let mut restored = 0;
    for first in (0..40).step_by(10) {
        let mut seeds: JoinSet<_> = (first..first + 10).map(cut_at_any_byte).collect();
        while let Some(seed) = seeds.join_next().await {
            restored += seed.unwrap();
        }
    }
    assert!(restored >= 40, "restored only {restored} times");
}

/// E38: a resume that is refused gives a fresh session, and the gap is told: what was sent and not acknowledged is
/// uncertain, its requests fail, and what was never sent goes to the new session.
#[tokio::test]
async fn e38_a_gap_is_told() {
    let items = Arc::default();
    let site = AppSite::start(app(&items)).await;
    let relay = Relay::start(site.running.local_addrs()[0], Vec::new()).await;
    let (client, mut incoming) = connect(&relay.url("/ws"), options());
    client.request::<Value>("echo", &(), LONG).await.unwrap();
    within(client.flushed()).await.unwrap();
    let asking = client.clone();
    let asker = tokio::spawn(async move { asking.request::<Value>("ask", &(), LONG).await });
    let Some(Happening::Request(question)) = within(incoming.next()).await else {
        panic!("no question");
    };
    within(client.flushed()).await.unwrap();
    let first = client.session().unwrap();
    relay.set(Mode::Swallow);
    // Longer than an acknowledgement, which may be swallowed before.
    let long = json!({"n": 1, "text": "x".repeat(1000)});
    client.send("item", &long).unwrap();
    within(relay.has_swallowed(1000)).await;
    relay.set(Mode::Cut);
    let is_lost = |state: &ClientState| matches!(state, ClientState::Reconnecting { .. });
    within(client.state().wait_for(is_lost)).await.unwrap();
    client.send("item", &json!({"n": 2})).unwrap();
    let session = site.running.sessions().get(&first.id).unwrap();
    site.running.sessions().end(&session, 4000, "");
    relay.set(Mode::Forward);
    match within(incoming.next()).await.unwrap() {
        Happening::Gap { reason, uncertain } => {
            assert_eq!(reason, "unknown");
            let payloads = uncertain.iter().map(|event| event.payload::<Value>().unwrap());
            assert_eq!(payloads.collect::<Vec<_>>(), [long]);
        }
        other => panic!("{other:?}"),
    }
    let lost = within(asker).await.unwrap();
    assert!(matches!(lost, Err(RequestError::SessionLost)), "{lost:?}");
    let late = client.answer(&question, &());
    assert!(matches!(late, Err(QueueError::SessionLost)), "{late:?}");
    within(client.flushed()).await.unwrap();
    assert_eq!(*items.lock().unwrap(), [2]);
    assert_ne!(client.session().unwrap().id, first.id);
}

/// E38: what is sent first in a new session goes before what waited for it, each time one begins; a session that goes on
/// is told nothing twice.
#[tokio::test]
async fn e38_a_new_session_begins_with_what_is_first() {
    let items = Arc::default();
    let site = AppSite::start(app(&items)).await;
    let relay = Relay::start(site.running.local_addrs()[0], Vec::new()).await;
    let mut options = options();
    options.first = Some(FirstEvents::new(|first| {
        first.send("item", &json!({"n": 100}))?;
        first.send("item", &json!({"n": 101}))
    }));
    relay.set(Mode::Cut);
    let (client, mut incoming) = connect(&relay.url("/ws"), options);
    let is_lost = |state: &ClientState| matches!(state, ClientState::Reconnecting { .. });
    let away = async || {
        relay.set(Mode::Cut);
        within(client.state().wait_for(is_lost)).await.unwrap();
    };
    let back = async || {
        relay.set(Mode::Forward);
        within(client.flushed()).await.unwrap();
    };
    for (n, is_new) in [(1, true), (2, false), (3, true)] {
        away().await;
        client.send("item", &json!({"n": n})).unwrap();
        if let (true, Some(session)) = (is_new, client.session()) {
            let session = site.running.sessions().get(&session.id).unwrap();
            site.running.sessions().end(&session, 4000, "");
        }
        back().await;
    }
    assert_eq!(*items.lock().unwrap(), [100, 101, 1, 2, 100, 101, 3]);
    assert!(matches!(within(incoming.next()).await, Some(Happening::Restored)));
    assert!(matches!(within(incoming.next()).await, Some(Happening::Gap { .. })));
}

/// E38: where there is no room for what is first, nothing that waits is lost for it.
#[tokio::test]
async fn e38_what_is_first_counts_as_all_that_waits() {
    let items = Arc::default();
    let site = AppSite::start(app(&items)).await;
    let mut options = options();
    options.queued_events_max = 2;
    let refused = Arc::new(Mutex::new(None));
    let seen = refused.clone();
    options.first = Some(FirstEvents::new(move |first| {
        first.send("item", &json!({"n": 100}))?;
        let result = first.send("item", &json!({"n": 101}));
        *seen.lock().unwrap() = Some(matches!(result, Err(QueueError::Full { events: 2, .. })));
        result
    }));
    // Before its task has run for the first time.
    let (client, _incoming) = connect(&site.url("/ws"), options);
    client.send("item", &json!({"n": 1})).unwrap();
    within(client.flushed()).await.unwrap();
    assert_eq!(*items.lock().unwrap(), [100, 1]);
    assert_eq!(*refused.lock().unwrap(), Some(true));
}

/// BY-30, 4001: who takes the session over has it; the client stays away and its application is told. The token is
/// nowhere in what it shows.
#[tokio::test]
async fn by_30_a_take_over_is_the_end() {
    let site = AppSite::start(app(&Arc::default())).await;
    let relay = Relay::start(site.running.local_addrs()[0], Vec::new()).await;
    let (client, mut incoming) = connect(&relay.url("/ws"), options());
    is_open(&client).await;
    let said = relay.said();
    let token = said.split(r#""token":""#).nth(1).unwrap().split('"').next().unwrap();
    assert!(!format!("{client:?} {incoming:?} {:?}", client.session()).contains(token));
    let mut thief = site.silent("/ws?resume=1").await;
    let payload = json!({"sessionId": client.session().unwrap().id, "token": token, "received": 0});
    thief.send("sys.reconnect.request", payload).await;
    assert_eq!(thief.expect("sys.session.restored").await["restored"], true);
    assert_eq!(why_closed(&client).await, Disconnect::TakenOver);
    assert!(within(incoming.next()).await.is_none());
    assert!(matches!(client.send("item", &()), Err(QueueError::Closed)));
    assert!(client.session().is_none());
}

/// BY-36: a goodbye ends the session on the server, what waits is sent before; a request that waits fails. The same when
/// the last handle is dropped.
#[tokio::test]
async fn by_36_close_ends_the_session() {
    let items = Arc::default();
    let site = AppSite::start(app(&items)).await;
    let (client, mut incoming) = connect(&site.url("/ws"), options());
    is_open(&client).await;
    client.send("item", &json!({"n": 1})).unwrap();
    let asking = client.clone();
    let asker = tokio::spawn(async move { asking.request::<Value>("ask", &(), LONG).await });
    assert!(matches!(within(incoming.next()).await, Some(Happening::Request(_))));
    within(client.close()).await;
    assert_eq!(why_closed(&client).await, Disconnect::Done);
    assert!(matches!(within(asker).await.unwrap(), Err(RequestError::Closed)));
    assert!(matches!(within(client.flushed()).await, Err(QueueError::Closed)));
    no_sessions(&site).await;
    assert_eq!(*items.lock().unwrap(), [1]);
    let (client, mut incoming) = connect(&site.url("/ws"), options());
    is_open(&client).await;
    drop(client);
    assert!(within(incoming.next()).await.is_none());
    no_sessions(&site).await;
}

/// BY-31: what waits for a connection is bounded, in events and in bytes; more is refused, and so is what is no event
/// of the application's. A request that is dropped before it was sent is not sent any more.
#[tokio::test]
async fn by_31_the_queue_is_bounded() {
    let items = Arc::default();
    let site = AppSite::start(app(&items)).await;
    let relay = Relay::start(site.running.local_addrs()[0], Vec::new()).await;
    relay.set(Mode::Cut);
    let mut options = options();
    options.queued_events_max = 3;
    options.queued_bytes_max = 400;
    let (client, _incoming) = connect(&relay.url("/ws"), options);
    client.send("item", &json!({"n": 1})).unwrap();
    let long = client.send("item", &json!({"n": 2, "text": "x".repeat(400)}));
    assert!(matches!(long, Err(QueueError::Full { events: 1, .. })), "{long:?}");
    let item = json!({"n": 3});
    let unsent = client.request::<Value>("item", &item, Duration::from_millis(1)).await;
    assert!(matches!(unsent, Err(RequestError::Timeout { .. })), "{unsent:?}");
    client.send("item", &json!({"n": 4})).unwrap();
    client.send("item", &json!({"n": 5})).unwrap();
    let full = client.send("item", &json!({"n": 6}));
    assert!(matches!(full, Err(QueueError::Full { events: 3, .. })), "{full:?}");
    for reserved in ["sys.ack", "sys.error"] {
        assert!(matches!(client.send(reserved, &()), Err(QueueError::ReservedName)));
    }
    assert!(matches!(client.send("", &()), Err(QueueError::Unwritable(_))));
    assert!(matches!(client.send("a", &[1]), Err(QueueError::Unwritable(_))));
    relay.set(Mode::Forward);
    within(client.flushed()).await.unwrap();
    assert_eq!(*items.lock().unwrap(), [1, 4, 5]);
}

/// BY-36: an application that does not read holds the server back and loses nothing; one that will not listen drops
/// its end and is not held up.
#[tokio::test]
async fn by_36_a_slow_reader_loses_nothing() {
    let site = AppSite::start(app(&Arc::default())).await;
    let mut options = options();
    options.incoming_max = 1;
    let (client, mut incoming) = connect(&site.url("/ws"), options);
    client.request::<Value>("join", &json!({"room": "lobby"}), LONG).await.unwrap();
    for n in 0..200 {
        let lobby = site.running.to_room("lobby");
        lobby.send("news", &json!({"n": n, "text": "x".repeat(1000)})).unwrap();
    }
    for n in 0..200 {
        match within(incoming.next()).await.unwrap() {
            Happening::Event(event) => assert_eq!(event.payload::<Value>().unwrap()["n"], n),
            other => panic!("{other:?}"),
        }
    }
    drop(incoming);
    site.running.to_room("lobby").send("news", &json!({})).unwrap();
    client.request::<Value>("echo", &(), LONG).await.unwrap();
}

/// Closes its client's connection with the code that it is asked for.
fn away() -> App {
    App::new().on("away", async |context: Context, payload: Value| {
        let code = payload["code"].as_u64().unwrap() as u16;
        context.disconnect(Disconnect::from_code(code), "go");
    })
}

/// How long a client waits that was sent away with this code; why it does not.
async fn waits(client: &EventClient, code: u16) -> Result<Duration, Disconnect> {
    client.send("away", &json!({"code": code})).unwrap();
    let is_away = |state: &ClientState| {
        matches!(state, ClientState::Reconnecting { .. } | ClientState::Closed { .. })
    };
    match within(client.state().wait_for(is_away)).await.unwrap().clone() {
        ClientState::Reconnecting { delay, .. } => Ok(delay),
        ClientState::Closed { why, .. } => Err(why),
        other => panic!("{other:?}"),
    }
}

/// BY-25, E36: after 1012 and 1013 it waits for 5 to 30 s, after others as its backoff says, which is short here.
#[tokio::test]
async fn e36_it_waits_longer_where_it_is_told() {
    let site = AppSite::start(away()).await;
    for code in [1012, 1013, 1001, 4408] {
        let (client, _incoming) = connect(&site.url("/ws"), options());
        let delay = waits(&client, code).await.unwrap();
        let is_later = matches!(code, 1012 | 1013);
        assert_eq!(delay >= Duration::from_secs(5), is_later, "{code}: {delay:?}");
        assert!(delay <= Duration::from_secs(30), "{code}: {delay:?}");
    }
}

/// BY-25: after 1011 it comes back once; a second one in a row is the end, one after a connection that stood is not.
#[tokio::test(start_paused = true)]
async fn by_25_a_second_1011_is_the_end() {
    let site = AppSite::start(away()).await;
    let (client, _incoming) = connect(&site.url("/ws"), options());
    for _ in 0..3 {
        is_open(&client).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(waits(&client, 1011).await.is_ok());
    }
    is_open(&client).await;
    assert_eq!(waits(&client, 1011).await, Err(Disconnect::Internal));
}

/// BY-25, 4401: with a source of tokens it comes back with another one; without it is the end. A token that cannot be had is
/// asked for again, one that is no header is the end.
#[tokio::test]
async fn by_25_after_4401_it_needs_a_new_token() {
    let by_token = authenticate_fn(async |credentials: Credentials| {
        credentials.token().map(Identity::new).ok_or(AuthError::Missing)
    });
    let site = AppSite::start(away().authenticator(by_token)).await;
    let (client, _incoming) = connect(&site.url("/ws"), options());
    assert_eq!(waits(&client, 4401).await, Err(Disconnect::IdentityEnded));
    let asked = Arc::new(Mutex::new(0));
    let counting = asked.clone();
    let mut with_source = options();
    with_source.token = Some(TokenSource::new(move || {
        let number = {
            let mut asked = counting.lock().unwrap();
            *asked += 1;
            *asked
        };
        async move {
            match number {
                2 => Err("nobody answers"),
                number => Ok(format!("token{number}")),
            }
        }
    }));
    assert!(!format!("{with_source:?}").contains("token1"));
    let (client, _incoming) = connect(&site.url("/ws"), with_source);
    for user in ["token1", "token3", "token4"] {
        let is_it = |state: &ClientState| {
            let session = client.session();
            matches!(state, ClientState::Open)
                && session.is_some_and(|session| session.user.as_deref() == Some(user))
        };
        within(client.state().wait_for(is_it)).await.unwrap();
        assert!(waits(&client, 4401).await.is_ok());
    }
    let mut broken = options();
    broken.token = Some(TokenSource::new(|| async { Ok::<_, std::io::Error>("a\nb".to_owned()) }));
    let (client, _incoming) = connect(&site.url("/ws"), broken);
    assert_eq!(why_closed(&client).await, Disconnect::Lost);
}

/// E36: a server that says not to come back is obeyed; a URL that is none is told at once.
#[tokio::test]
async fn e36_a_server_that_sends_away_is_obeyed() {
    let site = AppSite::start(away()).await;
    for why in [Disconnect::Ended, Disconnect::Forbidden, Disconnect::Policy] {
        let (client, _incoming) = connect(&site.url("/ws"), options());
        client.send("away", &json!({"code": why.code()})).unwrap();
        assert_eq!(why_closed(&client).await, why);
    }
    let (client, _incoming) = connect(&site.url("/nowhere"), options());
    assert_eq!(why_closed(&client).await, Disconnect::Lost);
    let connector = Connector::new(quiet());
    let refused = EventClient::connect(connector, "ftp://a/", options());
    assert!(matches!(refused, Err(sockeye::Error::Url(_))));
}
