//! What was said in rooms, for those who come later.

#![cfg(feature = "hub")]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;
use sockeye::hub::{History, HistoryConfig, Hub, JoinError, Page, Profile, Registration};
use sockeye::{Message, PreparedMessage, Role, WebSocket};
use tokio::io::{DuplexStream, duplex};

use crate::support::hub::build;
use crate::support::pair::quiet;
use crate::support::server::within;
use crate::support::streams::Ignore;

type Client = WebSocket<DuplexStream>;

fn registered(hub: &Hub) -> (Registration, Client) {
    let mut config = quiet();
    config.outbox_messages_max = 1000;
    let config = Arc::new(config);
    let (ours, theirs) = duplex(64 * 1024);
    let server = WebSocket::from_stream(ours, Role::Server, &config);
    let registration = hub.register(&server.sender(), Profile::new()).unwrap();
    tokio::spawn(server.run(Ignore));
    (registration, WebSocket::from_stream(theirs, Role::Client, &config))
}

fn history(set: impl FnOnce(&mut HistoryConfig)) -> History {
    let mut config = HistoryConfig::default();
    set(&mut config);
    History::new(&Hub::new(), config)
}

fn texts(page: &Page) -> Vec<String> {
    let text = |message: &PreparedMessage| String::from_utf8(message.payload().to_vec()).unwrap();
    page.messages.iter().map(|said| text(&said.message)).collect()
}

async fn text(client: &mut Client) -> String {
    match within(client.recv()).await.unwrap() {
        Some(Message::Text(text)) => text.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// BY-34: who joins has the last messages first and then, without a gap and without one twice, what comes,
/// however many speak meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_joins_has_the_last_messages_and_then_what_comes() {
    let hub = Hub::new();
    let history = History::new(&hub, HistoryConfig::default());
    let speaker = history.clone();
    let speaking = tokio::spawn(async move {
        for number in 0..600 {
            speaker.broadcast("news", &*number.to_string()).unwrap();
            if number % 20 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut listeners = Vec::new();
    for _ in 0..5 {
        let (registration, mut client) = registered(&hub);
        let room = history.join(&registration, "news", 10, |page, sender| {
            page.send_to(sender).unwrap();
        });
        assert_eq!(room.unwrap().name(), "news");
        listeners.push(tokio::spawn(async move {
            let mut came: Vec<u32> = vec![text(&mut client).await.parse().unwrap()];
            while *came.last().unwrap() < 599 {
                came.push(text(&mut client).await.parse().unwrap());
            }
            drop(registration);
            came
        }));
    }
    speaking.await.unwrap();
    for listener in listeners {
        let came = listener.await.unwrap();
        assert!(came.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{came:?}");
    }
}

/// BY-34: pages in both directions, until there is no more.
#[tokio::test]
async fn pages_lead_back_and_forth() {
    let history = history(|_| {});
    for number in 1..=10 {
        assert_eq!(history.broadcast("news", &*format!("n{number}")).unwrap(), number);
    }
    let page = history.before("news", None, 4);
    assert_eq!(
        (texts(&page), page.has_more),
        (vec!["n7", "n8", "n9", "n10"].into_iter().map(str::to_owned).collect(), true)
    );
    let page = history.before("news", Some(page.messages[0].number), 4);
    assert_eq!(texts(&page), ["n3", "n4", "n5", "n6"]);
    let page = history.before("news", Some(page.messages[0].number), 4);
    assert_eq!((texts(&page).len(), page.has_more), (2, false));
    let page = history.after("news", 2, 4);
    assert_eq!(
        (texts(&page), page.has_more),
        (["n3", "n4", "n5", "n6"].map(str::to_owned).to_vec(), true)
    );
    let page = history.after("news", 9, 4);
    assert_eq!((texts(&page), page.has_more), (vec!["n10".to_owned()], false));
    for (number, count) in [(10, 4), (u64::MAX, 4), (u64::MAX - 1, 4), (0, 0)] {
        assert!(history.after("news", number, count).messages.is_empty());
    }
    assert!(history.before("news", Some(0), 4).messages.is_empty());
    assert_eq!(history.before("nowhere", None, 4).epoch, 0);
    let epoch = page.epoch;
    history.forget("news");
    assert!(history.before("news", None, 4).messages.is_empty());
    history.broadcast("news", "anew").unwrap();
    let page = history.before("news", None, 4);
    assert_eq!(page.messages[0].number, 1);
    assert_ne!(page.epoch, epoch);
}

/// BY-34: of values with a key only the last is kept.
#[tokio::test]
async fn of_a_key_only_the_last_is_kept() {
    let history = history(|config| config.messages_max = 3);
    for round in 0..10 {
        for key in 1..=2 {
            history.broadcast_latest("prices", key, &*format!("{key}: {round}")).unwrap();
        }
    }
    history.broadcast("prices", "open").unwrap();
    let page = history.before("prices", None, 10);
    assert_eq!(texts(&page), ["1: 9", "2: 9", "open"]);
    // Beyond the bound the oldest goes, key or not.
    history.broadcast("prices", "still open").unwrap();
    history.broadcast_latest("prices", 1, "1: 10").unwrap();
    assert_eq!(texts(&history.before("prices", None, 10)), ["open", "still open", "1: 10"]);
}

/// BY-34: what is too old is gone.
#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_gone() {
    let history = history(|config| config.kept_for = Duration::from_secs(60));
    history.broadcast("news", "old").unwrap();
    tokio::time::advance(Duration::from_secs(40)).await;
    history.broadcast("news", "new").unwrap();
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(texts(&history.before("news", None, 10)), ["new"]);
    tokio::time::advance(Duration::from_secs(40)).await;
    assert!(texts(&history.before("news", None, 10)).is_empty());
    assert_eq!(history.bytes(), 0);
}

/// Beyond the bounds of all rooms those go in which nothing was said for longest.
#[tokio::test]
async fn quiet_rooms_go_first() {
    let by_rooms = history(|config| config.rooms_max = 3);
    let by_bytes = history(|config| config.bytes_total_max = 3 * (100 + 128));
    for history in [by_rooms, by_bytes] {
        let said = "x".repeat(100);
        for room in ["a", "b", "c"] {
            history.broadcast(room, &*said).unwrap();
        }
        let bytes = history.bytes();
        history.forget("a");
        history.broadcast("a", &*said).unwrap();
        assert_eq!(history.bytes(), bytes);
        history.broadcast("d", &*said).unwrap();
        let kept =
            ["a", "b", "c", "d"].map(|room| !texts(&history.before(room, None, 1)).is_empty());
        assert_eq!(kept, [true, false, true, true]);
        assert_eq!(history.bytes(), bytes);
    }
}

/// Who may not join hears nothing of what was said.
#[tokio::test]
async fn who_may_not_join_hears_nothing() {
    let hub = build(|hub| hub.on_join(|_, room| room != "secret"));
    let history = History::new(&hub, HistoryConfig::default());
    history.broadcast("secret", "a secret").unwrap();
    let (registration, _client) = registered(&hub);
    let joined = history.join(&registration, "secret", 10, |_, _| panic!("nothing is told"));
    assert_eq!(joined.err(), Some(JoinError::Refused));
}

/// BY-34, BY-33: whoever is asked about a join and told of it may use the history itself.
#[tokio::test]
async fn hooks_may_use_the_history() {
    let used = Arc::new(OnceLock::<History>::new());
    let (asks, tells) = (used.clone(), used.clone());
    let hub = build(|hub| {
        hub.on_join(move |_, room| asks.get().unwrap().before(room, None, 1).messages.is_empty())
            .on_presence(move |change| {
                let history = tells.get().unwrap();
                history.broadcast(change.room.name(), "somebody is here").unwrap();
            })
    });
    let history = used.get_or_init(|| History::new(&hub, HistoryConfig::default()));
    let (registration, mut client) = registered(&hub);
    let mut last = None;
    history.join(&registration, "lobby", 10, |page, _| last = Some(texts(page))).unwrap();
    assert_eq!(last, Some(Vec::new()));
    assert_eq!(text(&mut client).await, "somebody is here");
    let (other, _client) = registered(&hub);
    let joined = history.join(&other, "lobby", 10, |_, _| panic!("nothing is told"));
    assert_eq!(joined.err(), Some(JoinError::Refused));
}

/// BY-34: where it is asked for, what was said in a room ends with it: nobody finds it in another of its name.
#[tokio::test]
async fn what_was_said_may_end_with_the_room() {
    for ends_with_room in [false, true] {
        let mut config = HistoryConfig::default();
        config.ends_with_room = ends_with_room;
        let hub = Hub::new();
        let history = History::new(&hub, config);
        let (ann, _a) = registered(&hub);
        let (bob, _b) = registered(&hub);
        ann.join("den").unwrap();
        history.broadcast("den", "a secret").unwrap();
        bob.join("den").unwrap();
        ann.leave("den");
        assert_eq!(texts(&history.before("den", None, 9)), ["a secret"], "Bob is in it still");
        bob.leave("den");
        let mut last = Vec::new();
        history.join(&ann, "den", 9, |page, _| last = texts(page)).unwrap();
        assert_eq!(last.is_empty(), ends_with_room);
        assert_eq!(texts(&history.before("den", None, 9)).is_empty(), ends_with_room);
        history.broadcast("den", "anew").unwrap();
        assert_eq!(texts(&history.after("den", 0, 9)).len(), if ends_with_room { 1 } else { 2 });
        let kept = texts(&history.before("den", None, 9));
        assert_eq!(history.bytes(), kept.iter().map(|text| text.len() + 128).sum::<usize>());
    }
}

proptest! {
    /// Whatever is said, what is kept is within the bounds, in order, and what it costs adds up.
    #[test]
    fn what_is_kept_is_within_the_bounds(
        said in prop::collection::vec((0..4_usize, prop::option::of(0..3_u64), 0..300_usize), 0..200),
        messages_max in 0..10_usize,
        bytes_max in 0..2000_usize,
        total in 0..5000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        let history = history(|config| {
            config.messages_max = messages_max;
            config.bytes_max = bytes_max;
            config.bytes_total_max = total;
        });
        for (room, key, len) in said {
            let text = "x".repeat(len);
            let room = ["a", "b", "c", "d"][room];
            match key {
                Some(key) => history.broadcast_latest(room, key, &*text).unwrap(),
                None => history.broadcast(room, &*text).unwrap(),
            };
            let mut cost = 0;
            for room in ["a", "b", "c", "d"] {
                let page = history.before(room, None, usize::MAX);
                let of_room: usize =
                    page.messages.iter().map(|said| said.message.payload().len() + 128).sum();
                prop_assert!(page.messages.len() <= messages_max && of_room <= bytes_max);
                prop_assert!(page.messages.windows(2).all(|pair| pair[0].number < pair[1].number));
                cost += of_room;
            }
            prop_assert_eq!(history.bytes(), cost);
            prop_assert!(cost <= total);
        }
    }
}
